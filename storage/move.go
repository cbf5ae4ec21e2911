package storage

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/appspan-dev/appspan"
)

const (
	exportFormat = 1
	exportKind   = "appspan records"
	maxLine      = 2 * MaxValue
)

// exportLine is one line of an export: the first one has Kind, the last one
// Records and Digest, and those between them a record each.
type exportLine struct {
	*Envelope
	Kind    string `json:"kind,omitempty"`
	Key     string `json:"key,omitempty"`
	Value   []byte `json:"value,omitempty"`
	Records *int   `json:"records,omitempty"`
	// Digest is the SHA-256 of all lines before.
	Digest string `json:"sha256,omitempty"`
}

// Export writes every record but the leases, as JSON lines with a digest at
// the end, and returns how many they are. Sealed values stay sealed. What is
// written meanwhile may be in it or not, each record whole; stop the writers
// if records have to agree with each other.
func (r *Records) Export(ctx context.Context, w io.Writer) (int, error) {
	out := bufio.NewWriter(w)
	sum := sha256.New()
	line := func(l exportLine) error {
		data, err := json.Marshal(l)
		if err != nil {
			return err
		}
		data = append(data, '\n')
		sum.Write(data)
		_, err = out.Write(data)
		return err
	}
	if err := line(exportLine{Envelope: &Envelope{Format: exportFormat, MinReader: exportFormat}, Kind: exportKind}); err != nil {
		return 0, wrap("export", "", err)
	}
	n := 0
	for rec, err := range r.List(ctx, "") {
		if err != nil {
			return n, err
		}
		if isLease(rec.Key) {
			continue
		}
		if err := line(exportLine{Key: rec.Key, Value: rec.Value}); err != nil {
			return n, wrap("export", "", err)
		}
		n++
	}
	if err := line(exportLine{Records: &n, Digest: hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return n, wrap("export", "", err)
	}
	return n, wrap("export", "", out.Flush())
}

func isLease(key string) bool { return len(key) > len(leaseKeys) && key[:len(leaseKeys)] == leaseKeys }

// ImportOptions shape an Import. The zero value, like nil, is the default.
type ImportOptions struct {
	// Overwrite replaces records that exist with another value. Without it
	// they are appspan.ErrExists, before anything is written.
	Overwrite bool
}

// Import writes what Export wrote into this store and returns how many records
// it wrote; those that are there already, equal, are passed over, so that an
// import that broke off can be run again. The whole is read and checked first:
// an export that was changed or cut is appspan.ErrCorrupt, one of a newer
// format appspan.ErrUnsupported, and nothing is written.
func (r *Records) Import(ctx context.Context, in io.ReadSeeker, opts *ImportOptions) (int, error) {
	overwrite := opts != nil && opts.Overwrite
	start, err := in.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, wrap("import", "", err)
	}
	err = readExport(ctx, in, func(l exportLine) error {
		if err := CheckKey(l.Key); err != nil {
			return fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
		}
		if len(l.Value) > MaxValue {
			return fmt.Errorf("%w: %s has %d bytes", appspan.ErrCorrupt, l.Key, len(l.Value))
		}
		if overwrite {
			return nil
		}
		there, err := r.Get(ctx, l.Key)
		if err == nil && string(there.Value) != string(l.Value) {
			return fmt.Errorf("%s: %w: it is there with another value; import into an empty store, or set ImportOptions.Overwrite", l.Key, appspan.ErrExists)
		}
		if errors.Is(err, appspan.ErrNotFound) {
			err = nil
		}
		return err
	})
	if err == nil {
		_, err = in.Seek(start, io.SeekStart)
	}
	if err != nil {
		return 0, wrap("import", "", err)
	}
	n := 0
	err = readExport(ctx, in, func(l exportLine) error {
		wrote := false
		_, err := r.Update(ctx, l.Key, func(old []byte) ([]byte, error) {
			if old != nil && string(old) != string(l.Value) && !overwrite {
				return nil, fmt.Errorf("%s: %w: it was written meanwhile", l.Key, appspan.ErrExists)
			}
			wrote = old == nil || string(old) != string(l.Value)
			if l.Value == nil {
				return []byte{}, nil
			}
			return l.Value, nil
		})
		if wrote && err == nil {
			n++
		}
		return err
	})
	return n, wrap("import", "", err)
}

// readExport reads and checks an export, line by line.
func readExport(ctx context.Context, in io.Reader, each func(exportLine) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	sum, count := sha256.New(), 0
	corrupt := func(format string, args ...any) error {
		return fmt.Errorf("%w: line %d: %s", appspan.ErrCorrupt, count+1, fmt.Sprintf(format, args...))
	}
	for begun := false; lines.Scan(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		var l exportLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return corrupt("%v", err)
		}
		switch {
		case !begun:
			if l.Kind != exportKind || l.Envelope == nil {
				return fmt.Errorf("%w: this is no export of records", appspan.ErrInvalid)
			}
			if err := Decode(lines.Bytes(), exportFormat, &Envelope{}); err != nil {
				return err
			}
			begun = true
		case l.Records != nil:
			return checkEnd(lines, sum, l, count, corrupt)
		default:
			if err := each(l); err != nil {
				return err
			}
			count++
		}
		sum.Write(lines.Bytes())
		sum.Write([]byte{'\n'})
	}
	if err := lines.Err(); err != nil {
		return corrupt("%v", err)
	}
	return corrupt("it ends before its end")
}

// checkEnd checks the last line.
func checkEnd(lines *bufio.Scanner, sum hash.Hash, l exportLine, count int, corrupt func(string, ...any) error) error {
	if *l.Records != count || l.Digest != hex.EncodeToString(sum.Sum(nil)) {
		return corrupt("its digest does not hold: it was changed")
	}
	if lines.Scan() {
		return corrupt("something follows its end")
	}
	return nil
}
