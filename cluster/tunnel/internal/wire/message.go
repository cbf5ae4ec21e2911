package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/appspan-dev/appspan"
)

// maxMessage bounds one message in bytes.
const maxMessage = 16 << 10

// Hello is the agent's first message.
type Hello struct {
	// Cluster is the name under which the agent means to be known.
	Cluster string `json:"cluster"`
	// Version of the agent's program, and Instance: a random name of its
	// process.
	Version  string `json:"version"`
	Instance string `json:"instance"`
	// Token and Secret are the join token's, as long as the agent has one.
	Token  string `json:"token,omitempty"`
	Secret []byte `json:"secret,omitempty"`
	// Hub is the key of the hub that the agent would expect were it started
	// again, in hexadecimal.
	Hub string `json:"hub,omitempty"`
}

// Welcome is the hub's answer.
type Welcome struct {
	// Cluster is the name under which the hub knows the agent.
	Cluster string `json:"cluster,omitempty"`
	// Refused says why there is no tunnel; empty means that there is one.
	Refused Refusal `json:"refused,omitempty"`
	// Hub is the key to expect from now on, in hexadecimal, where the refusal is
	// Moved.
	Hub string `json:"hub,omitempty"`
	// Message is for people.
	Message string `json:"message,omitempty"`
}

// Refusal is a category of errors on the wire.
type Refusal string

// The categories in which a hub refuses an agent.
const (
	Denied      Refusal = "denied"
	Conflict    Refusal = "conflict"
	Exhausted   Refusal = "exhausted"
	Unavailable Refusal = "unavailable"
	// Moved says that the hub has a new key, and that the agent is welcome by
	// that one.
	Moved Refusal = "moved"
)

// Err is the refusal as an error, nil for none.
func (w Welcome) Err() error {
	category := appspan.ErrUnavailable
	switch w.Refused {
	case "":
		return nil
	case Denied:
		category = appspan.ErrDenied
	case Conflict:
		category = appspan.ErrConflict
	case Exhausted:
		category = appspan.ErrExhausted
	}
	return fmt.Errorf("the hub refuses this agent: %w: %s", category, Printable(strings.TrimPrefix(w.Message, category.Error()+": "), 512))
}

// Drain is what the hub writes on the control stream, the first one, when the
// agent is to end what is under way and to go.
const Drain byte = 'd'

// Write sends one message.
func Write(w io.Writer, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	if len(body) > maxMessage {
		return fmt.Errorf("%w: a message of %d bytes; %d are the most", appspan.ErrInvalid, len(body), maxMessage)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

// Read receives one message, and nothing of what follows it.
func Read(r io.Reader, message any) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxMessage {
		return fmt.Errorf("%w: a message of %d bytes; %d are the most", appspan.ErrInvalid, n, maxMessage)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, message); err != nil {
		return fmt.Errorf("%w: the message cannot be read: %w", appspan.ErrInvalid, err)
	}
	return nil
}

// Printable is what a stranger wrote, bounded in runes and on one line.
func Printable(s string, most int) string {
	var b strings.Builder
	for _, r := range s {
		if most == 0 {
			b.WriteString("…")
			break
		}
		most--
		if !unicode.IsPrint(r) {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}
