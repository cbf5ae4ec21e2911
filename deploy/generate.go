package deploy

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/storage/seal"
)

const (
	digits   = "0123456789"
	letters  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	hexChars = "0123456789abcdef"
)

// generate makes the value of a generated secret item. It is derived from the
// keys and from what it is for, not drawn at random: clusters that are planned
// at different times, or while another one is dead, get one value, and a plan
// that is made twice is the same plan. Without the keys it is as good as
// random. A value that a cluster has already is kept, whatever this returns.
func generate(keys *seal.Keyring, spec appmodel.Generate, purpose ...string) string {
	length := spec.Length
	if length == 0 {
		length = 24
	}
	stream := &keyStream{keys: keys, label: strings.Join(purpose, "\x00")}
	switch spec.Format {
	case "hex":
		return stream.text(hexChars, length)
	case "numeric":
		return stream.text(digits, length)
	case "base64": // of length bytes
		b := make([]byte, length)
		for i := range b {
			b[i] = stream.next()
		}
		return base64.StdEncoding.EncodeToString(b)
	case "uuid": // RFC 9562, version 4 in form
		b := make([]byte, 16)
		for i := range b {
			b[i] = stream.next()
		}
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		h := hex.EncodeToString(b)
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	}
	return stream.text(letters+digits, length)
}

// keyStream is a pseudo-random stream of bytes: a keyed hash over a counter.
type keyStream struct {
	keys    *seal.Keyring
	label   string
	counter uint32
	buffer  []byte
}

func (s *keyStream) next() byte {
	if len(s.buffer) == 0 {
		block := binary.BigEndian.AppendUint32([]byte(s.label+"\x00"), s.counter)
		s.counter++
		s.buffer, _ = hex.DecodeString(s.keys.Digest("deploy generate", block))
	}
	b := s.buffer[0]
	s.buffer = s.buffer[1:]
	return b
}

// text draws characters without bias, by rejection.
func (s *keyStream) text(alphabet string, length int) string {
	out := make([]byte, 0, length)
	limit := 256 - 256%len(alphabet)
	for len(out) < length {
		if b := int(s.next()); b < limit {
			out = append(out, alphabet[b%len(alphabet)])
		}
	}
	return string(out)
}
