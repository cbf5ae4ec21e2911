//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package seal

import (
	"errors"
	"os"
	"syscall"
)

// lock waits until no other process of this machine holds the file. It holds
// until the file is closed. A file system without locks has none.
func lock(f *os.File) {
	for errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX), syscall.EINTR) {
	}
}
