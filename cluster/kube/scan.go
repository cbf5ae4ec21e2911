package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/appspan-dev/appspan"
)

// A scanner of JSON that finds where values begin and end, and decodes nothing
// that nobody asked for. It accepts every valid document; of invalid ones it
// notices what matters to find the way.

var errTruncated = errors.New("it ends too early")

const maxDepth = 1000

// corrupt marks an answer that cannot be read.
func corrupt(what string, err error) error {
	return fmt.Errorf("%w: the server's %s cannot be read: %w", appspan.ErrCorrupt, what, err)
}

// blank skips white space from i on.
func blank(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// text returns the end of the string that begins at i.
func text(data []byte, i int) (int, error) {
	if i >= len(data) || data[i] != '"' {
		return 0, fmt.Errorf("no string at byte %d", i)
	}
	for i++; ; i++ {
		end := bytes.IndexByte(data[i:], '"')
		if end < 0 {
			return 0, errTruncated
		}
		i += end
		escapes := 0
		for data[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1, nil
		}
	}
}

// value returns the end of the value that begins at i.
func value(data []byte, i int) (int, error) {
	if i >= len(data) {
		return 0, errTruncated
	}
	switch data[i] {
	case '"':
		return text(data, i)
	case '{', '[':
		depth := 0
		for i < len(data) {
			switch data[i] {
			case '"':
				end, err := text(data, i)
				if err != nil {
					return 0, err
				}
				i = end
				continue
			case '{', '[':
				if depth++; depth > maxDepth {
					return 0, fmt.Errorf("it is nested deeper than %d", maxDepth)
				}
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1, nil
				}
			}
			i++
		}
		return 0, errTruncated
	}
	begin := i
	for i < len(data) && !bytes.ContainsRune([]byte(",]} \n\t\r"), rune(data[i])) {
		i++
	}
	if i == begin {
		return 0, fmt.Errorf("no value at byte %d", i)
	}
	return i, nil
}

// members visits the members of a JSON object, with key and value as they
// stand there.
func members(data []byte, visit func(key, value []byte) error) error {
	return walk(data, '{', '}', func(i int) (int, error) {
		end, err := text(data, i)
		if err != nil {
			return 0, err
		}
		key := data[i:end]
		if i = blank(data, end); i >= len(data) || data[i] != ':' {
			return 0, fmt.Errorf("no colon at byte %d", i)
		}
		i = blank(data, i+1)
		if end, err = value(data, i); err != nil {
			return 0, err
		}
		return end, visit(key, data[i:end])
	})
}

// elements visits the elements of a JSON array, or none of null.
func elements(data []byte, visit func(value []byte) error) error {
	if isNull(data) {
		return nil
	}
	return walk(data, '[', ']', func(i int) (int, error) {
		end, err := value(data, i)
		if err != nil {
			return 0, err
		}
		return end, visit(data[i:end])
	})
}

// walk goes through what stands, separated by commas, between two brackets.
func walk(data []byte, open, shut byte, item func(i int) (end int, err error)) error {
	i := blank(data, 0)
	if i >= len(data) || data[i] != open {
		return fmt.Errorf("no %q where one belongs", open)
	}
	if i = blank(data, i+1); i < len(data) && data[i] == shut {
		return nil
	}
	for {
		end, err := item(i)
		if err != nil {
			return err
		}
		switch i = blank(data, end); {
		case i >= len(data):
			return errTruncated
		case data[i] == shut:
			return nil
		case data[i] != ',':
			return fmt.Errorf("no comma at byte %d", i)
		}
		i = blank(data, i+1)
	}
}

func isNull(value []byte) bool { return string(bytes.TrimSpace(value)) == "null" }

// decoded is the string that a JSON string stands for; null is empty.
func decoded(value []byte) (string, error) {
	if isNull(value) {
		return "", nil
	}
	if len(value) < 2 || value[0] != '"' {
		return "", errors.New("no string where one belongs")
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	var s string
	err := json.Unmarshal(value, &s)
	return s, err
}
