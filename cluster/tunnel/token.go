package tunnel

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
)

const (
	tokenPrefix = "appspan-join-1."
	maxToken    = 4 << 10 // characters
)

var clusterName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Token lets one agent join one hub, once, until it expires. It also tells
// where the hub is and which key to expect there, so that the agent keeps it
// when its secret has long been used up.
//
// It prints, logs and marshals without its secret; only Encode tells it.
type Token struct {
	// Hub is the URL of the hub's Server: https, http, wss or ws.
	Hub string
	// HubKey names the key that the hub must prove.
	HubKey KeyID
	// Cluster is the name of the cluster that joins: a DNS label.
	Cluster string
	// ID names the token.
	ID string
	// Expires is when it can no longer be used to join.
	Expires time.Time

	secret [32]byte
}

// SecretHash is the SHA-256 of the token's secret: what an agent shows of it.
func (t Token) SecretHash() [32]byte { return sha256.Sum256(t.secret[:]) }

// Grant is what a hub remembers of a Token. It lets nobody join.
type Grant struct {
	// ID names the token, and Cluster the cluster for which it is.
	ID, Cluster string
	// SecretHash is the SHA-256 of the token's secret.
	SecretHash [32]byte
	// Expires is when it can no longer be used to join.
	Expires time.Time
}

// NewToken makes a token for an agent to come, and what the hub has to remember
// of it. hub is the URL under which agents reach the Server, hubKey is that of
// [Server.KeyID]. What does not fit is appspan.ErrInvalid.
func NewToken(hub string, hubKey KeyID, cluster string, expires time.Time) (Token, Grant, error) {
	t := Token{Hub: hub, HubKey: hubKey, Cluster: cluster, ID: strings.ToLower(rand.Text()), Expires: expires.UTC().Truncate(time.Second)}
	rand.Read(t.secret[:]) // never fails
	if err := t.Validate(); err != nil {
		return Token{}, Grant{}, err
	}
	return t, Grant{ID: t.ID, Cluster: cluster, SecretHash: t.SecretHash(), Expires: t.Expires}, nil
}

// Validate reports what is wrong with a token as appspan.ErrInvalid; what
// NewToken and ParseToken return is right.
func (t Token) Validate() error {
	address, err := url.Parse(t.Hub)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the hub's URL cannot be read: %w", appspan.ErrInvalid, err)
	case len(t.Hub) > 1024 || address.Host == "" || address.User != nil || address.Fragment != "":
		return fmt.Errorf("%w: %.100q is no URL of a hub; it has a host, no user and no fragment", appspan.ErrInvalid, t.Hub)
	case address.Scheme != "https" && address.Scheme != "http" && address.Scheme != "wss" && address.Scheme != "ws":
		return fmt.Errorf("%w: the hub's URL has the scheme %.20q; https, http, wss and ws are possible", appspan.ErrInvalid, address.Scheme)
	case t.HubKey.IsZero():
		return fmt.Errorf("%w: the hub's key is not named; take it from Server.KeyID", appspan.ErrInvalid)
	case !clusterName.MatchString(t.Cluster):
		return fmt.Errorf("%w: the cluster's name %.100q is no DNS label", appspan.ErrInvalid, t.Cluster)
	case t.ID == "" || len(t.ID) > 64:
		return fmt.Errorf("%w: the token has no ID, or one longer than 64 characters", appspan.ErrInvalid)
	case t.Expires.IsZero():
		return fmt.Errorf("%w: the token never expires; say when it does", appspan.ErrInvalid)
	}
	return nil
}

// encoded is a token as text holds it.
type encoded struct {
	Hub     string `json:"hub"`
	HubKey  string `json:"key"`
	Cluster string `json:"cluster"`
	ID      string `json:"id"`
	Expires int64  `json:"expires"`
	Secret  []byte `json:"secret"`
}

// Encode is the whole token as text, with its secret: for the agent, and for
// nobody else.
func (t Token) Encode() string {
	text, _ := json.Marshal(encoded{t.Hub, t.HubKey.String(), t.Cluster, t.ID, t.Expires.Unix(), t.secret[:]})
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(text)
}

// ParseToken reads what Encode wrote; white space around it does not matter.
// Anything else is appspan.ErrInvalid, an expired token is not: its agent may
// have joined long ago.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	body, found := strings.CutPrefix(text, tokenPrefix)
	if !found || len(text) > maxToken {
		return Token{}, fmt.Errorf("%w: this is no join token; one begins with %q and has at most %d characters", appspan.ErrInvalid, tokenPrefix, maxToken)
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return Token{}, fmt.Errorf("%w: the join token is damaged: %w", appspan.ErrInvalid, err)
	}
	var e encoded
	if json.Unmarshal(data, &e) != nil || len(e.Secret) != 32 { // the error could quote the secret
		return Token{}, fmt.Errorf("%w: the join token is damaged; copy the whole of it", appspan.ErrInvalid)
	}
	key, err := ParseKeyID(e.HubKey)
	if err != nil {
		return Token{}, err
	}
	t := Token{Hub: e.Hub, HubKey: key, Cluster: e.Cluster, ID: e.ID, Expires: time.Unix(e.Expires, 0).UTC(), secret: [32]byte(e.Secret)}
	return t, t.Validate()
}

// Secret is what the agent sends to the hub to join, once it has seen the hub's
// key.
func (t Token) Secret() []byte { return append([]byte(nil), t.secret[:]...) }

// String describes the token without its secret.
func (t Token) String() string {
	return fmt.Sprintf("join token %s of cluster %s at %s, until %s", t.ID, t.Cluster, t.Hub, t.Expires.Format(time.RFC3339))
}

// GoString is String, so that %#v keeps the secret too.
func (t Token) GoString() string { return t.String() }
