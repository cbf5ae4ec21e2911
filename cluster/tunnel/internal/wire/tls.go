package wire

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/appspan-dev/appspan"
)

// protocol is what both ends must speak; a later one gets another name.
const protocol = "appspan-tunnel/1"

// Key is the SHA-256 of a public key as certificates carry it
// (SubjectPublicKeyInfo).
type Key = [sha256.Size]byte

// UnexpectedKey says that the peer is another one than it should be.
type UnexpectedKey struct{ Want, Got Key }

// Error implements error.
func (e *UnexpectedKey) Error() string {
	return fmt.Sprintf("the other side proved the key %s, not %s", hex.EncodeToString(e.Got[:]), hex.EncodeToString(e.Want[:]))
}

// Unwrap says that such a peer is denied.
func (e *UnexpectedKey) Unwrap() error { return appspan.ErrDenied }

// KeyOf is the hash of a public key.
func KeyOf(public ed25519.PublicKey) (Key, error) {
	if len(public) != ed25519.PublicKeySize {
		return Key{}, fmt.Errorf("%w: the key is no ed25519 key", appspan.ErrInvalid)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	return sha256.Sum256(der), nil
}

// Certificate is a certificate that the key signs for itself. Nothing in it is
// looked at but the key, so that it is valid for ever.
func Certificate(key ed25519.PrivateKey) (tls.Certificate, error) {
	if len(key) != ed25519.PrivateKeySize {
		return tls.Certificate{}, fmt.Errorf("%w: the key is no ed25519 key", appspan.ErrInvalid)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "appspan tunnel"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5: no expiry
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// Serve is the hub's half of the handshake. It proves the key that the agent
// asks for, or the first one when it has no such key. It returns the key that
// the agent proved to have.
func Serve(ctx context.Context, conn net.Conn, own ...tls.Certificate) (*tls.Conn, Key, error) {
	var key Key
	settings := config(func(got Key) error { key = got; return nil }, own...)
	settings.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		for i := range own {
			if got, err := keyOf(own[i].Leaf); err == nil && hello.ServerName == name(got) {
				return &own[i], nil
			}
		}
		return &own[0], nil
	}
	secure := tls.Server(conn, settings)
	if err := handshake(ctx, secure); err != nil {
		return nil, Key{}, err
	}
	return secure, key, nil
}

// Wants reports whether the agent at the other end of a served connection asked
// for a key.
func Wants(conn *tls.Conn, key Key) bool { return conn.ConnectionState().ServerName == name(key) }

// name is a key as a host's name, in which an agent says what it expects: a hub
// may have more than one.
func name(key Key) string {
	digits := hex.EncodeToString(key[:])
	return digits[:len(digits)/2] + "." + digits[len(digits)/2:]
}

// Dial is the agent's half of the handshake. A hub that proves another key than
// the wanted one is an UnexpectedKey.
func Dial(ctx context.Context, conn net.Conn, own tls.Certificate, want Key) (*tls.Conn, error) {
	settings := config(func(got Key) error {
		if got != want {
			return &UnexpectedKey{Want: want, Got: got}
		}
		return nil
	}, own)
	settings.ServerName = name(want)
	secure := tls.Client(conn, settings)
	if err := handshake(ctx, secure); err != nil {
		return nil, err
	}
	return secure, nil
}

// keyOf is the hash of a certificate's key.
func keyOf(certificate *x509.Certificate) (Key, error) {
	public, ok := certificate.PublicKey.(ed25519.PublicKey)
	if !ok {
		return Key{}, fmt.Errorf("%w: the other side's key is no ed25519 key", appspan.ErrDenied)
	}
	return KeyOf(public)
}

func handshake(ctx context.Context, conn *tls.Conn) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("handshake of the tunnel: %w", err)
	}
	if conn.ConnectionState().NegotiatedProtocol != protocol {
		return fmt.Errorf("handshake of the tunnel: %w: the other side does not speak %s", appspan.ErrUnsupported, protocol)
	}
	return nil
}

// config is the same for both ends: names and authorities mean nothing here,
// only keys do, which VerifyConnection looks at. Sessions are never resumed.
func config(verify func(Key) error, own ...tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: own, MinVersion: tls.VersionTLS13, NextProtos: []string{protocol},
		ClientAuth: tls.RequireAnyClientCert, InsecureSkipVerify: true, SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) != 1 {
				return fmt.Errorf("%w: the other side shows %d certificates, not one", appspan.ErrDenied, len(state.PeerCertificates))
			}
			key, err := keyOf(state.PeerCertificates[0])
			if err != nil {
				return err
			}
			return verify(key)
		},
	}
}
