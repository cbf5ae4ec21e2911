package wire_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel/internal/wire"
	"github.com/stretchr/testify/require"
)

func identity(t testing.TB) (tls.Certificate, wire.Key) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	own, err := wire.Certificate(private)
	require.NoError(t, err)
	key, err := wire.KeyOf(public)
	require.NoError(t, err)
	return own, key
}

// pair is a TCP connection, which has a buffer, as the ends need for their
// farewells.
func pair(t *testing.T) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	b, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestBothEndsProveTheirKeys(t *testing.T) {
	t.Parallel()
	hub, hubKey := identity(t)
	agent, agentKey := identity(t)
	a, b := pair(t)
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		secure, err := wire.Dial(t.Context(), a, agent, hubKey)
		if err == nil {
			err = wire.Write(secure, wire.Hello{Cluster: "edge-1"})
		}
		if err != nil {
			t.Error(err)
		}
	})
	secure, key, err := wire.Serve(t.Context(), b, hub)
	require.NoError(t, err)
	require.Equal(t, agentKey, key)
	require.EqualValues(t, tls.VersionTLS13, secure.ConnectionState().Version)
	var hello wire.Hello
	require.NoError(t, wire.Read(secure, &hello))
	require.Equal(t, "edge-1", hello.Cluster)
}

func TestAStrangersKeyIsRefused(t *testing.T) {
	t.Parallel()
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, ecdsaKey.Public(), ecdsaKey)
	require.NoError(t, err)
	hub, hubKey := identity(t)
	agent, _ := identity(t)
	stolen := tls.Certificate{Certificate: agent.Certificate, PrivateKey: hub.PrivateKey} // another's certificate, without its key

	for name, test := range map[string]struct {
		agent tls.Certificate
		want  wire.Key
	}{
		"of a hub that is not the pinned one":       {agent, wire.Key{1}},
		"of an agent that has no ed25519 key":       {tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ecdsaKey}, hubKey},
		"of an agent without a certificate":         {tls.Certificate{}, hubKey},
		"of an agent that cannot prove it":          {stolen, hubKey},
		"of an agent with a chain of certificates":  {tls.Certificate{Certificate: append(agent.Certificate, agent.Certificate...), PrivateKey: agent.PrivateKey}, hubKey},
		"of a hub whose name is that of a zero key": {agent, wire.Key{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			dialed := make(chan error, 1)
			go func() {
				secure, err := wire.Dial(t.Context(), a, test.agent, test.want)
				if err == nil { // in TLS 1.3 the client is done first
					err = wire.Read(secure, new(wire.Welcome))
				}
				a.Close()
				dialed <- err
			}()
			_, _, err := wire.Serve(t.Context(), b, hub)
			b.Close()
			require.Error(t, err)
			require.Error(t, <-dialed)
		})
	}
}

func TestAnUnexpectedHubIsNamed(t *testing.T) {
	t.Parallel()
	hub, hubKey := identity(t)
	agent, _ := identity(t)
	a, b := pair(t)
	go func() { _, _, _ = wire.Serve(context.Background(), b, hub) }()
	_, err := wire.Dial(t.Context(), a, agent, wire.Key{1})
	var unexpected *wire.UnexpectedKey
	require.ErrorAs(t, err, &unexpected)
	require.Equal(t, wire.Key(hubKey), unexpected.Got)
	require.ErrorIs(t, err, appspan.ErrDenied)
}

func TestAnotherProtocolIsRefused(t *testing.T) {
	t.Parallel()
	hub, _ := identity(t)
	agent, _ := identity(t)
	for name, protocols := range map[string][]string{"none": nil, "a later one": {"appspan-tunnel/2"}, "that of the web": {"h2", "http/1.1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := pair(t)
			go func() {
				client := tls.Client(a, &tls.Config{Certificates: []tls.Certificate{agent}, InsecureSkipVerify: true, NextProtos: protocols})
				_ = client.HandshakeContext(context.Background())
			}()
			_, _, err := wire.Serve(t.Context(), b, hub)
			require.Error(t, err)
		})
	}
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.ErrorIs(t, wire.Write(&out, wire.Hello{Cluster: strings.Repeat("x", 1<<20)}), appspan.ErrInvalid)
	require.Zero(t, out.Len())
	huge := binary.BigEndian.AppendUint32(nil, 1<<31)
	require.ErrorIs(t, wire.Read(bytes.NewReader(huge), new(wire.Hello)), appspan.ErrInvalid)
	require.ErrorIs(t, wire.Read(bytes.NewReader([]byte{0, 0, 0, 9, '{'}), new(wire.Hello)), io.ErrUnexpectedEOF)

	require.NoError(t, wire.Write(&out, wire.Hello{Cluster: "a"}))
	out.WriteString("rest")
	var hello wire.Hello
	require.NoError(t, wire.Read(&out, &hello))
	require.Equal(t, "rest", out.String(), "nothing of what follows is read")
}

func TestWhatAStrangerWroteIsOneLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a b [31mé", wire.Printable("a\nb\x1b[31mé", 100))
	require.Equal(t, "ab…", wire.Printable("abc", 2))
	err := wire.Welcome{Refused: "later", Message: "x\ny"}.Err()
	require.ErrorIs(t, err, appspan.ErrUnavailable, "an unknown refusal is one")
	require.Contains(t, err.Error(), "x y")
	require.NoError(t, wire.Welcome{Cluster: "a"}.Err())
}

func FuzzRead(f *testing.F) {
	var seed bytes.Buffer
	require.NoError(f, wire.Write(&seed, wire.Hello{Cluster: "edge-1", Version: "v1", Instance: "x", Token: "t", Secret: []byte("s")}))
	f.Add(seed.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		var hello wire.Hello
		if wire.Read(bytes.NewReader(data), &hello) != nil {
			return
		}
		var again bytes.Buffer
		if wire.Write(&again, hello) != nil {
			return // escapes made it longer than a message may be
		}
		var same wire.Hello
		require.NoError(t, wire.Read(&again, &same))
		require.Equal(t, string(hello.Secret), string(same.Secret))
	})
}
