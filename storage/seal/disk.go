package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/appspan-dev/appspan"
)

// OpenKeyFile reads a keyring from a file. A missing file is
// appspan.ErrNotFound; one that anybody but its owner may read or write is
// appspan.ErrDenied (not checked on Windows); otherwise it fails as
// [ParseKeyFile]. Where a platform cannot mount files so, read the file and
// call ParseKeyFile.
func OpenKeyFile(path string) (*Keyring, error) {
	f, err := openKeyFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readKeyFile(f)
}

// openKeyFile opens a file and refuses it if it is none, or not its owner's
// alone.
func openKeyFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nobody may ever write to a pipe
	if err != nil {
		return nil, diskError("open key file", err)
	}
	if err := checkKeyFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func checkKeyFile(f *os.File) error {
	path := f.Name()
	info, err := f.Stat()
	if err != nil {
		return diskError("open key file", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("key file %s: %w: it is not a regular file; name a file", path, appspan.ErrInvalid)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("key file %s: %w: its mode %04o lets others read or write it; run: chmod 600 %s", path, appspan.ErrDenied, mode, path)
	}
	return nil
}

func readKeyFile(f *os.File) (*Keyring, error) {
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, diskError("read key file", err)
	}
	ring, err := ParseKeyFile(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return ring, nil
}

// CreateKeyFile makes a keyring of one new key and stores it in a new file that
// only its owner may read. When it returns, the file is on disk; it is never
// there in part. A file that exists is appspan.ErrExists and is not touched.
// The directory must exist.
func CreateKeyFile(path string) (*Keyring, error) {
	key, err := GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	ring, err := NewKeyring(key)
	if err != nil {
		return nil, err
	}
	// A hard link, not a rename: it fails where the name is taken.
	if err := ring.store(path, os.Link); err != nil {
		return nil, err
	}
	return ring, nil
}

// OpenOrCreateKeyFile opens the file, or creates it where there is none.
// Processes that do so at the same time get the same keys.
func OpenOrCreateKeyFile(path string) (*Keyring, error) {
	ring, err := OpenKeyFile(path)
	if !errors.Is(err, appspan.ErrNotFound) {
		return ring, err
	}
	ring, err = CreateKeyFile(path)
	if errors.Is(err, appspan.ErrExists) {
		return OpenKeyFile(path)
	}
	return ring, err
}

// WriteKeyFile stores the keyring in place of the file, which is on disk when
// it returns and is never there in part. It is for [Keyring.Rotate]. A file
// that holds a key which this ring does not have is appspan.ErrConflict, and
// one that it cannot read fails as in [OpenKeyFile]: neither is touched. Of
// processes of one machine that do so at the same time none overlooks
// another's keys, except on Windows and over a network's file system without
// locks. A symbolic link stays one: the file that it names is replaced.
func (k *Keyring) WriteKeyFile(path string) error {
	if file, err := filepath.EvalSymlinks(path); err == nil {
		path = file
	}
	for range mostReplaced {
		err := k.replace(path)
		if errors.Is(err, appspan.ErrNotFound) {
			err = k.store(path, os.Link) // fails where somebody else was faster
		}
		if !errors.Is(err, errReplaced) && !errors.Is(err, appspan.ErrExists) {
			return err
		}
	}
	return fmt.Errorf("key file %s: %w: others go on replacing it; repeat", path, appspan.ErrConflict)
}

// mostReplaced is how often others may replace a key file while it is written.
const mostReplaced = 1000

var errReplaced = errors.New("another process has replaced it")

// replace stores the keyring in place of a file, whose lock it holds.
func (k *Keyring) replace(path string) error {
	f, err := openKeyFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	old, err := readKeyFile(f)
	if err != nil {
		return err
	}
	for _, key := range old.Keys() {
		if _, ok := k.find(key.id); !ok {
			return fmt.Errorf("key file %s: %w: it holds %s, which would be lost; open it again and repeat, or move it away first", path, appspan.ErrConflict, key)
		}
	}
	opened, err := f.Stat()
	if err != nil {
		return diskError("open key file", err)
	}
	lock(f)
	if now, err := os.Stat(path); err != nil || !os.SameFile(opened, now) {
		return errReplaced
	}
	return k.store(path, os.Rename)
}

// store writes a temporary file beside path and puts it in place.
func (k *Keyring) store(path string, place func(from, to string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".appspan-keys-*") // mode 0600, O_EXCL
	if err != nil {
		return diskError("create key file", err)
	}
	defer os.Remove(f.Name()) // gone already after a rename
	_, err = f.Write(k.MarshalKeyFile())
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return diskError("write key file", err)
	}
	if err := place(f.Name(), path); err != nil {
		return diskError("create key file", err)
	}
	return syncDir(dir)
}

// syncDir makes a new name in a directory durable. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return diskError("sync directory", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return diskError("sync directory", err)
	}
	return nil
}

// diskError marks an error of the file system; its text names the path.
func diskError(what string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: %w", what, appspan.ErrNotFound, err)
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w: %w", what, appspan.ErrExists, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: %w", what, appspan.ErrDenied, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
