package rig

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("RIG_TEST_CHILD"); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// child is another process: it starts a control plane, prints its processes and waits to be killed.
func child(dir string) {
	ctx := context.Background()
	bin, err := Build(ctx, &BuildOptions{CacheDir: dir})
	if err != nil {
		panic(err)
	}
	c, err := Start(ctx, bin, Options{})
	if err != nil {
		panic(err)
	}
	for _, pid := range c.PIDs() {
		fmt.Println(pid)
	}
	fmt.Println("started")
	select {}
}

func TestProcessesDieWithAParentThatIsKilled(t *testing.T) {
	t.Parallel()
	bin := binaries(t)
	temp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "RIG_TEST_CHILD="+filepath.Dir(filepath.Dir(bin.Dir)), "TMPDIR="+temp)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var processes []int // handles of processes, which do not lie when an id is used again
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "started" {
		pid, err := strconv.Atoi(lines.Text())
		require.NoError(t, err)
		fd, err := unix.PidfdOpen(pid, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		processes = append(processes, fd)
	}
	require.Len(t, processes, 5)

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	for _, fd := range processes {
		ended, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000)
		require.NoError(t, err)
		require.Equal(t, 1, ended, "a process has outlived its parent")
	}
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.NotEmpty(t, left)
	sweep(temp)
	left, err = os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left, "the next start clears up")
}
