package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/appspan-dev/appspan"
)

// FileKey keeps the key in a file of its own, which it makes, with mode 0600,
// when there is none. The note is in a file beside it, whose name ends with
// ".hub".
func FileKey(name string) Keys { return fileKeys(name) }

type fileKeys string

func (f fileKeys) Key(context.Context) (ed25519.PrivateKey, error) {
	data, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		data, err = f.make()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", string(f), err)
	}
	return key, nil
}

func (f fileKeys) Note(context.Context) (string, error) {
	text, err := os.ReadFile(string(f) + ".hub")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	return string(text), nil
}

func (f fileKeys) Keep(_ context.Context, note string) error {
	err := f.write([]byte(note), func(from string) error { return os.Rename(from, string(f)+".hub") })
	if err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	return nil
}

// make writes a new key, whole or not at all, and returns what the file holds:
// of two agents that do so at the same time, the first one's.
func (f fileKeys) make() ([]byte, error) {
	_, text, err := newKey()
	if err != nil {
		return nil, err
	}
	err = f.write(text, func(from string) error { return os.Link(from, string(f)) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(string(f))
}

// write puts a new file, with mode 0600, into its place.
func (f fileKeys) write(text []byte, place func(from string) error) error {
	dir := filepath.Dir(string(f))
	file, err := os.CreateTemp(dir, ".key-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(text)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := place(file.Name()); err != nil {
		return err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
