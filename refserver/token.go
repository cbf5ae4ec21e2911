package refserver

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage"
)

// Tokens are bearer tokens. Records hold their digests, so that whoever reads
// these has no token. It is an Authenticator, and safe for concurrent use.
type Tokens struct{ records *storage.Records }

// NewTokens returns the tokens in records.
func NewTokens(records *storage.Records) *Tokens { return &Tokens{records: records} }

const (
	tokenKeys    = "tokens/"
	tokenFormat  = 1
	tokenPrefix  = "appspan_"
	maxTokenLife = 366 * 24 * time.Hour
)

var tokenText = regexp.MustCompile(`^appspan_[A-Z2-7]{52}$`)

// tokenRecord is a token as it is stored, under the beginning of its digest.
type tokenRecord struct {
	storage.Envelope
	client.Token
	Groups []string `json:"groups,omitempty"`
	Digest string   `json:"digest"`
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Create makes a token for a subject, and returns it with its text, which is
// kept nowhere. A life of zero is 90 days; more than a year is
// appspan.ErrInvalid.
func (t *Tokens) Create(ctx context.Context, subject appspan.Subject, description string, life time.Duration) (client.NewToken, error) {
	if life == 0 {
		life = 90 * 24 * time.Hour
	}
	switch {
	case subject.ID == "" || len(subject.ID) > 256:
		return client.NewToken{}, fmt.Errorf("token: %w: a subject has an ID of at most 256 bytes", appspan.ErrInvalid)
	case life < time.Minute || life > maxTokenLife:
		return client.NewToken{}, fmt.Errorf("token: %w: a life of %v; give a minute to %v", appspan.ErrInvalid, life, maxTokenLife)
	case len(description) > 256:
		return client.NewToken{}, fmt.Errorf("token: %w: a description of %d bytes; at most 256", appspan.ErrInvalid, len(description))
	}
	text := tokenPrefix + rand.Text() + rand.Text()
	digest := digestOf(text)
	now := time.Now().UTC()
	r := tokenRecord{Envelope: storage.Envelope{Format: tokenFormat, MinReader: tokenFormat}, Groups: subject.Groups, Digest: digest,
		Token: client.Token{ID: digest[:16], Subject: subject.ID, Team: subject.Team, Description: description, Created: now, Expires: now.Add(life)}}
	data, err := json.Marshal(r)
	if err != nil {
		return client.NewToken{}, err
	}
	_, err = t.records.Put(ctx, tokenKeys+r.ID, data, "")
	return client.NewToken{Token: r.Token, Text: text}, err
}

// List yields the tokens of a subject, or all if it is empty.
func (t *Tokens) List(ctx context.Context, subject string) iter.Seq2[client.Token, error] {
	return func(yield func(client.Token, error) bool) {
		for rec, err := range t.records.List(ctx, tokenKeys) {
			var r tokenRecord
			if err == nil {
				err = storage.Decode(rec.Value, tokenFormat, &r)
			}
			if err != nil {
				yield(client.Token{}, err)
				return
			}
			if (subject == "" || r.Subject == subject) && !yield(r.Token, nil) {
				return
			}
		}
	}
}

// Get returns a token without its text; one that is not there is
// appspan.ErrNotFound.
func (t *Tokens) Get(ctx context.Context, id string) (client.Token, error) {
	r, _, err := t.load(ctx, id)
	return r.Token, err
}

// Revoke ends a token.
func (t *Tokens) Revoke(ctx context.Context, id string) error {
	_, revision, err := t.load(ctx, id)
	if err != nil {
		return err
	}
	return t.records.Delete(ctx, tokenKeys+id, revision)
}

var tokenID = regexp.MustCompile(`^[0-9a-f]{16}$`)

func (t *Tokens) load(ctx context.Context, id string) (tokenRecord, string, error) {
	var r tokenRecord
	if !tokenID.MatchString(id) {
		return r, "", fmt.Errorf("token: %w: there is none of this ID", appspan.ErrNotFound)
	}
	rec, err := t.records.Get(ctx, tokenKeys+id)
	if errors.Is(err, appspan.ErrNotFound) {
		return r, "", fmt.Errorf("token %s: %w", id, appspan.ErrNotFound)
	}
	if err == nil {
		err = storage.Decode(rec.Value, tokenFormat, &r)
	}
	return r, rec.Revision, err
}

// Authenticate implements Authenticator, for the Authorization header.
func (t *Tokens) Authenticate(r *http.Request) (*Login, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(text, tokenPrefix) {
		return nil, nil
	}
	wrong := fmt.Errorf("%w: the token is not known, or has expired", appspan.ErrDenied)
	if !tokenText.MatchString(text) || len(r.Header.Values("Authorization")) != 1 {
		return nil, wrong
	}
	digest := digestOf(text)
	found, _, err := t.load(r.Context(), digest[:16])
	if errors.Is(err, appspan.ErrNotFound) {
		return nil, wrong
	}
	if err != nil {
		return nil, err
	}
	if found.Digest != digest || time.Now().After(found.Expires) {
		return nil, wrong
	}
	return &Login{Subject: appspan.Subject{ID: found.Subject, Team: found.Team, Groups: found.Groups}, Method: "token"}, nil
}
