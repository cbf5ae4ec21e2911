package leaktest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
	"iter"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// encoding finds what is written in one way within other text, and decodes it.
type encoding struct {
	name   string
	decode func(data []byte) iter.Seq[[]byte]
}

func encodings() []encoding {
	return []encoding{
		{"base64", runs(letters+"+/-_", 12, unbase64)},
		{"hex", runs(hexDigits, 16, unhex)},
		{"spaced hex", runs(hexDigits+" :", 23, unhex)},
		{"byte values", runs("0123456789abcdefx, ", 23, unlist)},
		{"escapes", unescaped},
		{"gzip", packed([]byte{0x1f, 0x8b}, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })},
		{"zstd", packed([]byte{0x28, 0xb5, 0x2f, 0xfd}, func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderConcurrency(1))
		})},
	}
}

const (
	hexDigits = "0123456789abcdefABCDEF"
	letters   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

var escape = regexp.MustCompile(`%[0-9a-fA-F]{2}|\\(["'\\/]|[abfnrtv]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})`)

// runs decodes each run of at least so many of some characters, in as many ways
// as there are.
func runs(of string, least int, decode func(run []byte) [][]byte) func([]byte) iter.Seq[[]byte] {
	var in [256]bool
	for _, c := range []byte(of) {
		in[c] = true
	}
	return func(data []byte) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			for begin := 0; begin < len(data); begin++ {
				end := begin
				for end < len(data) && in[data[end]] {
					end++
				}
				if end-begin >= least {
					for _, decoded := range decode(data[begin:end]) {
						if !yield(decoded) {
							return
						}
					}
				}
				begin = end
			}
		}
	}
}

// unbase64 tries both alphabets at each of the four places where a group of
// characters can begin.
func unbase64(run []byte) (all [][]byte) {
	standard := bytes.Map(func(r rune) rune {
		switch r {
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return r
	}, run)
	for skip := range 4 {
		text := standard[min(skip, len(standard)):]
		if len(text)%4 == 1 {
			text = text[:len(text)-1]
		}
		decoded := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
		if n, err := base64.RawStdEncoding.Decode(decoded, text); err == nil {
			all = append(all, decoded[:n])
		}
	}
	return all
}

func unhex(run []byte) (all [][]byte) {
	digits := bytes.Map(func(r rune) rune {
		if r == ' ' || r == ':' {
			return -1
		}
		return r
	}, run)
	for skip := range 2 {
		text := digits[skip:]
		decoded := make([]byte, len(text)/2)
		if _, err := hex.Decode(decoded, text[:len(text)/2*2]); err == nil {
			all = append(all, decoded)
		}
	}
	return all
}

// unlist reads a slice of bytes as fmt and encoding/json write one.
func unlist(run []byte) [][]byte {
	var out []byte
	for _, word := range bytes.FieldsFunc(run, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, err := strconv.ParseUint(string(word), 10, 8) // 012 is twelve
		if err != nil {
			n, err = strconv.ParseUint(string(word), 0, 8)
		}
		if err == nil {
			out = append(out, byte(n))
		}
	}
	return [][]byte{out}
}

// unescaped resolves percent-encoding and the escapes of JSON and Go, one
// level of them.
func unescaped(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if bytes.ContainsAny(data, `%\`) && printable(data) {
			if decoded := escape.ReplaceAllFunc(data, unescape); len(decoded) != len(data) {
				yield(decoded)
			}
		}
	}
}

// printable reports whether data is text, for the most part.
func printable(data []byte) bool {
	n := 0
	for _, c := range data {
		if c >= ' ' && c < 0x7f || c == '\n' || c == '\t' {
			n++
		}
	}
	return n*4 >= len(data)
}

func unescape(found []byte) []byte {
	switch c := found[1]; {
	case found[0] == '%':
		n, _ := strconv.ParseUint(string(found[1:]), 16, 8)
		return []byte{byte(n)}
	case c == 'x', c == 'u':
		n, _ := strconv.ParseUint(string(found[2:]), 16, 16)
		if c == 'x' {
			return []byte{byte(n)}
		}
		return utf8.AppendRune(nil, rune(n))
	case c == 'n':
		return []byte{'\n'}
	case c == 't':
		return []byte{'\t'}
	case c == 'r':
		return []byte{'\r'}
	case bytes.IndexByte([]byte("abfv"), c) >= 0:
		return []byte{' '}
	default:
		return []byte{c}
	}
}

// packed decompresses whatever begins with a magic number, as far as it goes.
func packed(magic []byte, open func(io.Reader) (io.Reader, error)) func([]byte) iter.Seq[[]byte] {
	return func(data []byte) iter.Seq[[]byte] {
		return func(yield func([]byte) bool) {
			for {
				at := bytes.Index(data, magic)
				if at < 0 {
					return
				}
				data = data[at:]
				if r, err := open(bytes.NewReader(data)); err == nil {
					unpacked, _ := io.ReadAll(io.LimitReader(r, 64<<20)) // a frame that was cut tells what it has
					if len(unpacked) > 0 && !yield(unpacked) {
						return
					}
				}
				data = data[len(magic):]
			}
		}
	}
}
