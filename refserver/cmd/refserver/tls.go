package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificates is a certificate that is read again when its files change, as
// when it is renewed.
type certificates struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	now     *tls.Certificate
	changed [2]time.Time // of the files that now is of
	asked   time.Time
}

// certificateInterval is how often the files are looked at, at most.
const certificateInterval = 5 * time.Second

func loadCertificates(cert, key string, log *slog.Logger) (*certificates, error) {
	c := &certificates{cert: cert, key: key, log: log}
	return c, c.load()
}

func (c *certificates) load() error {
	var changed [2]time.Time
	for i, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("-tls-cert, -tls-key: %w", err)
		}
		changed[i] = info.ModTime()
	}
	if c.now != nil && changed == c.changed {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("-tls-cert, -tls-key: %w", err)
	}
	c.now, c.changed = &pair, changed
	return nil
}

// get is for tls.Config. A certificate that cannot be read, as while it is
// replaced, leaves the one before in use.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.asked) >= certificateInterval {
		c.asked = time.Now()
		if err := c.load(); err != nil {
			c.log.Warn("the certificate was not read again", "error", err)
		}
	}
	return c.now, nil
}
