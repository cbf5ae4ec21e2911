package refserver

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage"
)

// Hooks are how a CI or a registry says that an image was pushed, without a login:
// what is sent is signed as Standard Webhooks (standardwebhooks.com) has it, and is
// taken once. A hook acts on behalf of who made it.
const (
	hookKeys     = "hooks/"
	hookSeenKeys = "hooks-seen/"
	hookFormat   = 1
	hookWindow   = 5 * time.Minute // of the clocks, to both sides
	maxHookBody  = 64 << 10
)

var (
	hookID    = regexp.MustCompile(`^[a-z2-7]{16}$`)
	messageID = regexp.MustCompile(`^[!-~]{1,256}$`)
)

type hookRecord struct {
	storage.Envelope
	client.Hook
	Acts   appspan.Subject `json:"acts"`
	Sealed []byte          `json:"sealed"` // the secret
}

func (s *Server) hookRoutes() []*route {
	const tag = "pipelines"
	return []*route{
		op("GET", "/hooks", "listHooks", tag, "Your hooks, without their secrets", s.listHooks),
		op("POST", "/hooks", "createHook", tag, "Make a hook for a CI or a registry; its secret is shown once", s.createHook).with(http.StatusCreated),
		op("POST", "/hooks/{hook}", "receiveHook", tag, "Say that an image was pushed, signed as Standard Webhooks has it", s.receive).with(http.StatusAccepted).open(),
		op("DELETE", "/hooks/{hook}", "deleteHook", tag, "End a hook", s.deleteHook),
	}
}

func (s *Server) listHooks(ctx context.Context, c *call, _ *struct{}) (client.List[client.Hook], error) {
	out := client.List[client.Hook]{Items: []client.Hook{}}
	for rec, err := range c.Records.List(ctx, hookKeys) {
		var r hookRecord
		if err == nil {
			err = storage.Decode(rec.Value, hookFormat, &r)
		}
		if err != nil {
			return out, err
		}
		if r.Acts.ID == c.subject().ID && (c.subject().Team == "" || c.subject().Team == r.Team) {
			out.Items = append(out.Items, r.Hook)
		}
	}
	return out, nil
}

type createHookIn struct {
	dry
	Body struct {
		Description string `json:"description,omitempty"`
	}
}

func (s *Server) createHook(ctx context.Context, c *call, in *createHookIn) (client.NewHook, error) {
	if len(in.Body.Description) > 256 {
		return client.NewHook{}, fmt.Errorf("%w: a description of %d bytes; at most 256", appspan.ErrInvalid, len(in.Body.Description))
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	r := hookRecord{Envelope: storage.Envelope{Format: hookFormat, MinReader: hookFormat}, Acts: c.subject(),
		Hook: client.Hook{ID: strings.ToLower(rand.Text()[:16]), Description: in.Body.Description, Team: c.subject().Team, Subject: c.subject().ID, Created: time.Now().UTC()}}
	out := client.NewHook{Hook: r.Hook, Secret: "whsec_" + base64.StdEncoding.EncodeToString(secret), Path: s.opts.BasePath + apiPrefix + "/hooks/" + r.ID}
	if in.DryRun {
		out.Secret, out.Path = "", ""
		return out, nil
	}
	var err error
	if r.Sealed, err = s.parts.Keys.Seal(secret, []byte("hook\x00"+r.ID)); err != nil {
		return out, err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return out, err
	}
	if _, err := c.Records.Put(ctx, hookKeys+r.ID, data, ""); err != nil {
		return out, err
	}
	return out, s.audit(ctx, c, appspan.VerbCreate, "hook", "hook "+r.ID)
}

type deleteHookIn struct {
	dry
	Hook string `path:"hook"`
}

func (s *Server) deleteHook(ctx context.Context, c *call, in *deleteHookIn) (empty, error) {
	r, revision, err := s.hook(ctx, in.Hook)
	if err == nil && r.Acts.ID != c.subject().ID {
		err = fmt.Errorf("hook: %w", appspan.ErrNotFound)
	}
	if err != nil || in.DryRun {
		return empty{}, err
	}
	if err := c.Records.Delete(ctx, hookKeys+r.ID, revision); err != nil {
		return empty{}, err
	}
	return empty{}, s.audit(ctx, c, appspan.VerbDelete, "hook", "hook "+r.ID)
}

func (s *Server) hook(ctx context.Context, id string) (*hookRecord, string, error) {
	none := fmt.Errorf("hook: %w: there is none of this ID", appspan.ErrNotFound)
	if !hookID.MatchString(id) {
		return nil, "", none
	}
	rec, err := s.parts.Records.Get(ctx, hookKeys+id)
	if errors.Is(err, appspan.ErrNotFound) {
		return nil, "", none
	}
	if err != nil {
		return nil, "", err
	}
	r := &hookRecord{}
	return r, rec.Revision, storage.Decode(rec.Value, hookFormat, r)
}

type receiveIn struct {
	dry
	Hook      string `path:"hook"`
	ID        string `header:"Webhook-Id"`
	Timestamp string `header:"Webhook-Timestamp"`
	Signature string `header:"Webhook-Signature"`
	Body      []byte
}

// receive takes what a hook is sent.
func (s *Server) receive(ctx context.Context, _ *call, in *receiveIn) (client.List[deploy.Stage], error) {
	stages, err := s.received(ctx, in)
	return client.List[deploy.Stage]{Items: append([]deploy.Stage{}, stages...)}, err
}

func (s *Server) received(ctx context.Context, in *receiveIn) ([]deploy.Stage, error) {
	if len(in.Body) > maxHookBody {
		return nil, fmt.Errorf("%w: at most %d bytes are read", errTooLarge, maxHookBody)
	}
	refused := fmt.Errorf("%w: the hook is not known, or the signature is not its own", errUnauthenticated)
	hook, _, err := s.hook(ctx, in.Hook)
	if errors.Is(err, appspan.ErrNotFound) {
		return nil, refused
	}
	if err != nil {
		return nil, err
	}
	secret, err := s.parts.Keys.Open(hook.Sealed, []byte("hook\x00"+hook.ID))
	if err != nil {
		return nil, err
	}
	if !messageID.MatchString(in.ID) || !signed(secret, in.ID, in.Timestamp, in.Body, in.Signature) {
		return nil, refused
	}
	seconds, err := strconv.ParseInt(in.Timestamp, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); err != nil || age > hookWindow || age < -hookWindow {
		return nil, fmt.Errorf("%w: the message is older or younger than %v", errUnauthenticated, hookWindow)
	}
	var push client.Push
	if err := json.Unmarshal(in.Body, &push); err != nil {
		return nil, fmt.Errorf("%w: send {\"image\": \"registry.example.com/web:v2\", \"digest\": \"sha256:…\"}", appspan.ErrInvalid)
	}
	if in.DryRun {
		return nil, nil
	}
	// One that was taken is not taken again: as long as its time is good, it is
	// remembered.
	seen := hookSeenKeys + digestOf(hook.ID + "\x00" + in.ID)[:32]
	revision, err := s.parts.Records.Put(ctx, seen, []byte(strconv.FormatInt(time.Now().Unix(), 10)), "")
	if errors.Is(err, appspan.ErrExists) {
		return nil, fmt.Errorf("%w: this message was taken already", appspan.ErrConflict)
	}
	if err != nil {
		return nil, err
	}
	stages, err := s.parts.Pipeline.For(hook.Acts).ImagePushed(ctx, deploy.ImagePush{Image: push.Image, Digest: push.Digest})
	if err != nil { // it may be sent again: what was begun is not begun twice
		_ = s.parts.Records.Delete(context.WithoutCancel(ctx), seen, revision)
	}
	return stages, err
}

// signed checks a signature: "v1,<base64>", of several one has to be right.
func signed(secret []byte, id, stamp string, body []byte, signatures string) bool {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, stamp)
	_, _ = mac.Write(body)
	want := mac.Sum(nil)
	for i, one := range strings.Fields(signatures) {
		if i == 8 {
			break
		}
		text, ok := strings.CutPrefix(one, "v1,")
		got, err := base64.StdEncoding.DecodeString(text)
		if ok && err == nil && hmac.Equal(got, want) {
			return true
		}
	}
	return false
}

// forgetSeen removes messages whose time is not good any more.
func (s *Server) forgetSeen(ctx context.Context) {
	for rec, err := range s.parts.Records.List(ctx, hookSeenKeys) {
		if err != nil {
			return
		}
		seconds, err := strconv.ParseInt(string(rec.Value), 10, 64)
		if err != nil || time.Since(time.Unix(seconds, 0)) > 3*hookWindow {
			_ = s.parts.Records.Delete(ctx, rec.Key, rec.Revision)
		}
	}
}
