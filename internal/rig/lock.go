package rig

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lock takes the file lock at path, which the kernel gives back when this process ends. It calls waiting once if
// somebody else has it.
func lock(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

const dirPrefix = "appspan-rig-"

// newDir makes a directory for one control plane under parent, owned by this process until release, which removes it.
// Before, it removes those whose owner is gone without having been able to do so.
func newDir(parent, name string) (dir string, release func() error, err error) {
	sweep(parent)
	dir, err = os.MkdirTemp(parent, dirPrefix+name+"-")
	if err != nil {
		return "", nil, err
	}
	// The lock file gets its name only when it is locked, so that nobody takes this directory for an abandoned one.
	fresh := filepath.Join(dir, ".lock")
	unlock, err := lock(context.Background(), fresh, func() {})
	if err == nil {
		err = os.Rename(fresh, filepath.Join(dir, "lock"))
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, func() error {
		err := os.RemoveAll(dir)
		unlock()
		return err
	}, nil
}

func sweep(parent string) {
	locks, _ := filepath.Glob(filepath.Join(parent, dirPrefix+"*", "lock"))
	for _, path := range locks {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(filepath.Dir(path))
		}
		f.Close()
	}
}
