package boltrecords_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/boltrecords"
)

// TestMain is also the program that is killed, or whose disk is full: it
// writes records and says which of them were acknowledged.
func TestMain(m *testing.M) {
	if path := os.Getenv("BOLTRECORDS_CHILD"); path != "" {
		os.Exit(child(path, os.Getenv("BOLTRECORDS_LIMIT")))
	}
	os.Exit(m.Run())
}

func child(path, limit string) int {
	if n, err := strconv.ParseUint(limit, 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ) // a write that goes too far fails with EFBIG
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			fmt.Println("limit", err)
			return 1
		}
	}
	d, err := boltrecords.Open(path, nil)
	if err != nil {
		fmt.Println("open", err)
		return 1
	}
	ctx := context.Background()
	round := os.Getenv("BOLTRECORDS_ROUND")
	for n := 0; ; n++ {
		key := fmt.Sprintf("%s/%d", round, n)
		if _, err := d.Put(ctx, key, value(key), ""); err != nil {
			fmt.Println("full", err)
			if _, err := d.Get(ctx, fmt.Sprintf("%s/0", round)); err != nil { // reading goes on
				fmt.Println("unreadable", err)
			}
			return 0
		}
		fmt.Println("ok", key)
	}
}

func start(t *testing.T, path, round, limit string) (*exec.Cmd, *bufio.Scanner) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "BOLTRECORDS_CHILD="+path, "BOLTRECORDS_ROUND="+round, "BOLTRECORDS_LIMIT="+limit)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewScanner(out)
}

// holds opens the file and looks for what was acknowledged.
func holds(t *testing.T, path string, keys []string) {
	d, err := boltrecords.Open(path, nil)
	require.NoError(t, err)
	for _, key := range keys {
		rec, err := d.Get(t.Context(), key)
		require.NoError(t, err, key)
		require.Equal(t, value(key), rec.Value)
	}
	require.NoError(t, d.Close())
}

func TestWhatWasAcknowledgedSurvivesKillMinus9(t *testing.T) {
	t.Parallel()
	rounds := 100
	if os.Getenv("APPSPAN_SOAK") != "" {
		rounds = 1000
	}
	path := filepath.Join(t.TempDir(), "db")
	for round := range rounds {
		cmd, lines := start(t, path, strconv.Itoa(round), "")
		var acknowledged []string
		for lines.Scan() {
			key, ok := strings.CutPrefix(lines.Text(), "ok ")
			require.True(t, ok, lines.Text())
			acknowledged = append(acknowledged, key)
			if len(acknowledged) == 1+round%7 {
				require.NoError(t, cmd.Process.Kill()) // what was printed before it died still comes
			}
		}
		require.Error(t, cmd.Wait())
		holds(t, path, acknowledged)
	}
}

func TestAFullDiskIsAnErrorAndLosesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	for round, limit := range []int{64 << 10, 65<<10 + 100, 128 << 10, 300 << 10} {
		cmd, lines := start(t, path, strconv.Itoa(round), strconv.Itoa(limit))
		var acknowledged []string
		full := false
		for lines.Scan() {
			if key, ok := strings.CutPrefix(lines.Text(), "ok "); ok {
				acknowledged = append(acknowledged, key)
				continue
			}
			require.True(t, strings.HasPrefix(lines.Text(), "full "+appspan.ErrUnavailable.Error()), lines.Text())
			full = true
		}
		require.NoError(t, cmd.Wait())
		require.True(t, full)
		require.NotEmpty(t, acknowledged)
		holds(t, path, acknowledged)
	}
	_, lines := start(t, path, "with room again", "")
	require.True(t, lines.Scan())
	require.Equal(t, "ok with room again/0", lines.Text())
}

// TestEveryWriteIsFlushed counts what the kernel was asked for: a power cut
// cannot be had in a test. The writes of this process alone would survive its
// death without a flush, so the test above does not see one that is missing.
func TestEveryWriteIsFlushed(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-e", "trace=fdatasync,fsync", "-o", trace, os.Args[0])
	cmd.Env = append(os.Environ(), "BOLTRECORDS_CHILD="+filepath.Join(t.TempDir(), "db"), "BOLTRECORDS_LIMIT="+strconv.Itoa(256<<10), "BOLTRECORDS_ROUND=1")
	out, err := cmd.Output()
	require.NoError(t, err)
	acknowledged := strings.Count(string(out), "ok ")
	log, err := os.ReadFile(trace)
	require.NoError(t, err)
	require.Greater(t, acknowledged, 5)
	require.GreaterOrEqual(t, strings.Count(string(log), "sync("), 2*acknowledged, "each commit flushes its pages, and then its meta page")
}
