package agent

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

// Keys returns the agent's key, and the same one every time: it is who the
// agent is. It is called before every attempt to connect, by one goroutine at a
// time.
type Keys func(ctx context.Context) (ed25519.PrivateKey, error)

const (
	pemType = "PRIVATE KEY"
	keyItem = "key.pem" // of a Secret
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

// FileKey keeps the key in a file of its own, which it makes, with mode 0600,
// when there is none.
func FileKey(name string) Keys {
	return func(context.Context) (ed25519.PrivateKey, error) {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			data, err = makeFile(name)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
		}
		key, err := parseKey(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return key, nil
	}
}

// makeFile writes a new key, whole or not at all, and returns what the file
// holds: of two agents that do so at the same time, the first one's.
func makeFile(name string) ([]byte, error) {
	_, text, err := newKey()
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".key-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(name)
}

// SecretKey keeps the key in a Secret of the target, which has to exist and may
// be empty: the right to create could not be limited to one name. It needs the
// rights to get and update it.
func SecretKey(target Target, namespace, name string) Keys {
	var mu sync.Mutex
	var known ed25519.PrivateKey
	return func(ctx context.Context) (ed25519.PrivateKey, error) {
		mu.Lock()
		defer mu.Unlock()
		if known != nil { // the API server need not be there for the hub to know that the agent is
			return known, nil
		}
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		key, err := secretKey(ctx, target, namespace, name)
		if err != nil {
			return nil, fmt.Errorf("the Secret %s/%s: %w", namespace, name, err)
		}
		known = key
		return key, nil
	}
}

// secretKey reads the key, and before that stores one when there is none. Of
// two agents that do so at the same time one meets a conflict, and reads the
// other's.
func secretKey(ctx context.Context, target Target, namespace, name string) (ed25519.PrivateKey, error) {
	trip, err := target.transport()
	if err != nil {
		return nil, err
	}
	defer trip.CloseIdleConnections()
	client := &http.Client{Transport: trip, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	address := strings.TrimSuffix(target.URL, "/") + "/api/v1/namespaces/" + url.PathEscape(namespace) + "/secrets/" + url.PathEscape(name)
	for range 5 {
		var secret map[string]json.RawMessage
		if _, err := call(ctx, client, http.MethodGet, address, nil, &secret); err != nil {
			return nil, err
		}
		var data map[string][]byte
		if err := json.Unmarshal(orNull(secret["data"]), &data); err != nil {
			return nil, fmt.Errorf("%w: its data cannot be read: %w", appspan.ErrInvalid, err)
		}
		if text := data[keyItem]; len(text) > 0 {
			return parseKey(text)
		}
		_, text, err := newKey()
		if err != nil {
			return nil, err
		}
		if data == nil {
			data = map[string][]byte{}
		}
		data[keyItem] = text
		if secret["data"], err = json.Marshal(data); err != nil {
			return nil, err
		}
		code, err := call(ctx, client, http.MethodPut, address, secret, nil) // at the resourceVersion that was read
		if err != nil && code != http.StatusConflict {
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
