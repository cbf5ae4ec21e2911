package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

// Keys is where an agent keeps who it is and whom it trusts. It is asked by one
// goroutine at a time.
type Keys interface {
	// Key is the agent's key, and the same one every time: it is who the agent
	// is. It is called before every attempt to connect.
	Key(ctx context.Context) (ed25519.PrivateKey, error)
	// Note is what was last kept, empty for nothing: one short line of text
	// about the hub, and no secret.
	Note(ctx context.Context) (string, error)
	// Keep keeps it, durably when it returns.
	Keep(ctx context.Context, note string) error
}

const (
	pemType  = "PRIVATE KEY"
	keyItem  = "key.pem" // of a Secret
	noteItem = "hub"
)

func newKey() (ed25519.PrivateKey, []byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

func parseKey(data []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("%w: there is no PEM block %q; restore the key, or remove it and join anew", appspan.ErrCorrupt, pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: it is no ed25519 key", appspan.ErrCorrupt)
	}
	return key, nil
}

// SecretKey keeps the key in a Secret of the target, which has to exist and may
// be empty: the right to create could not be limited to one name. It needs the
// rights to get and update it.
func SecretKey(target Target, namespace, name string) Keys {
	return &secretKeys{target: target, namespace: namespace, name: name}
}

type secretKeys struct {
	target          Target
	namespace, name string

	mu   sync.Mutex
	key  ed25519.PrivateKey // nil: not read yet
	note string
}

func (s *secretKeys) Key(ctx context.Context) (ed25519.PrivateKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.read(ctx)
	return s.key, err
}

func (s *secretKeys) Note(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.read(ctx)
	return s.note, err
}

func (s *secretKeys) Keep(ctx context.Context, note string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.edit(ctx, func(data map[string][]byte) (bool, error) {
		changed := string(data[noteItem]) != note
		data[noteItem] = []byte(note)
		return changed, nil
	})
	if err == nil {
		s.note = note
	}
	return err
}

// read makes the key and the note known, and before that stores a key when there
// is none. Once they are known the API server need not be there for the hub to
// know that the agent is.
func (s *secretKeys) read(ctx context.Context) error {
	if s.key != nil {
		return nil
	}
	data, err := s.edit(ctx, func(data map[string][]byte) (bool, error) {
		if len(data[keyItem]) > 0 {
			return false, nil
		}
		_, text, err := newKey()
		data[keyItem] = text
		return true, err
	})
	if err != nil {
		return err
	}
	key, err := parseKey(data[keyItem])
	if err != nil {
		return fmt.Errorf("the Secret %s/%s: %w", s.namespace, s.name, err)
	}
	s.key, s.note = key, string(data[noteItem])
	return nil
}

// edit reads the Secret's data and writes it when it was changed. Of two agents
// that do so at the same time one meets a conflict, and reads what the other
// has written.
func (s *secretKeys) edit(ctx context.Context, change func(map[string][]byte) (bool, error)) (map[string][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	data, err := s.exchange(ctx, change)
	if err != nil {
		return nil, fmt.Errorf("the Secret %s/%s: %w", s.namespace, s.name, err)
	}
	return data, nil
}

func (s *secretKeys) exchange(ctx context.Context, change func(map[string][]byte) (bool, error)) (map[string][]byte, error) {
	trip, err := s.target.transport()
	if err != nil {
		return nil, err
	}
	defer trip.CloseIdleConnections()
	client := &http.Client{Transport: trip, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	address := strings.TrimSuffix(s.target.URL, "/") + "/api/v1/namespaces/" + url.PathEscape(s.namespace) + "/secrets/" + url.PathEscape(s.name)
	for range 5 {
		var secret map[string]json.RawMessage
		if _, err := call(ctx, client, http.MethodGet, address, nil, &secret); err != nil {
			return nil, err
		}
		var data map[string][]byte
		if err := json.Unmarshal(orNull(secret["data"]), &data); err != nil {
			return nil, fmt.Errorf("%w: its data cannot be read: %w", appspan.ErrInvalid, err)
		}
		if data == nil {
			data = map[string][]byte{}
		}
		changed, err := change(data)
		if err != nil || !changed {
			return data, err
		}
		if secret["data"], err = json.Marshal(data); err != nil {
			return nil, err
		}
		code, err := call(ctx, client, http.MethodPut, address, secret, nil) // at the resourceVersion that was read
		if err == nil {
			return data, nil
		}
		if code != http.StatusConflict {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: others keep changing it", appspan.ErrConflict)
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// call sends one request of the API. It returns the code of a refusal too.
func call(ctx context.Context, client *http.Client, method, address string, in, out any) (int, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 2*maxFile))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	if answer.StatusCode != http.StatusOK {
		return answer.StatusCode, fmt.Errorf("%w: the API server answers %s to %s", refusal(answer.StatusCode), answer.Status, method)
	}
	if out == nil {
		return answer.StatusCode, nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return 0, fmt.Errorf("%w: the API server's answer cannot be read", appspan.ErrInvalid) // it may hold the key
	}
	return answer.StatusCode, nil
}

func refusal(code int) error {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return appspan.ErrDenied
	case http.StatusNotFound:
		return appspan.ErrNotFound
	case http.StatusConflict:
		return appspan.ErrConflict
	}
	return appspan.ErrUnavailable
}
