package kube

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/require"
)

func TestRefusalsAreMarked(t *testing.T) {
	t.Parallel()
	const s = `{"kind":"Status","apiVersion":"v1","status":"Failure",`
	for name, test := range map[string]struct {
		code  int
		body  string
		after string // Retry-After
		want  error
		// retried: of what is safe to repeat, and of what is not
		safe, unsafe bool
		wait         time.Duration
		text         string
	}{
		"bad credentials":              {code: 401, body: s + `"message":"Unauthorized"}`, want: appspan.ErrDenied, text: "denied: the cluster does not accept the credentials; renew them: Unauthorized"},
		"a denial":                     {code: 403, body: s + `"reason":"Forbidden","message":"pods is forbidden: User \"x\" cannot list"}`, want: appspan.ErrDenied},
		"a used up quota":              {code: 403, body: s + `"reason":"Forbidden","message":"secrets \"s\" is forbidden: exceeded quota: none, requested: 1"}`, want: appspan.ErrExhausted},
		"a missing object":             {code: 404, body: s + `"reason":"NotFound","message":"pods \"x\" not found","details":{"name":"x","kind":"pods"}}`, want: appspan.ErrNotFound},
		"a missing path":               {code: 404, body: "404 page not found\n", want: appspan.ErrUnsupported, text: "unsupported: 404 page not found"},
		"a missing resource":           {code: 404, body: s + `"reason":"NotFound","message":"the server could not find the requested resource"}`, want: appspan.ErrUnsupported},
		"a verb that is not served":    {code: 405, body: s + `"reason":"MethodNotAllowed"}`, want: appspan.ErrUnsupported},
		"an existing object":           {code: 409, body: s + `"reason":"AlreadyExists","message":"x already exists"}`, want: appspan.ErrExists},
		"another revision":             {code: 409, body: s + `"reason":"Conflict","message":"the object has been modified"}`, want: appspan.ErrPrecondition},
		"fields of others":             {code: 409, body: s + `"reason":"Conflict","details":{"causes":[{"reason":"FieldManagerConflict","message":"conflict with \"kubectl\" using apps/v1","field":".spec.replicas"}]}}`, want: appspan.ErrConflict, text: "conflict: .spec.replicas is owned by kubectl"},
		"an expired token":             {code: 410, body: s + `"reason":"Expired","message":"too old"}`, want: appspan.ErrPrecondition},
		"too large a request":          {code: 413, body: s + `"reason":"RequestEntityTooLarge"}`, want: appspan.ErrInvalid},
		"an invalid field":             {code: 422, body: s + `"reason":"Invalid","message":"it is invalid","details":{"causes":[{"reason":"FieldValueInvalid","message":"must be positive","field":"spec.replicas"}]}}`, want: appspan.ErrInvalid, text: "invalid: it is invalid; spec.replicas: must be positive"},
		"another UID":                  {code: 422, body: s + `"reason":"Invalid","details":{"causes":[{"field":"metadata.uid","message":"field is immutable"}]}}`, want: appspan.ErrPrecondition},
		"too many calls":               {code: 429, after: "3", body: s + `"reason":"TooManyRequests"}`, want: appspan.ErrUnavailable, safe: true, unsafe: true, wait: 3 * time.Second},
		"too many calls, in the body":  {code: 429, body: s + `"details":{"retryAfterSeconds":2}}`, want: appspan.ErrUnavailable, safe: true, unsafe: true, wait: 2 * time.Second},
		"too long a wait is bounded":   {code: 429, after: "1000000", want: appspan.ErrUnavailable, safe: true, unsafe: true, wait: 10 * time.Minute},
		"a wait beyond all numbers":    {code: 429, after: "9223372036854775807", want: appspan.ErrUnavailable, safe: true, unsafe: true, wait: 10 * time.Minute},
		"a wait of less than nothing":  {code: 429, body: s + `"details":{"retryAfterSeconds":-5}}`, want: appspan.ErrUnavailable, safe: true, unsafe: true},
		"a revision that is to come":   {code: 504, body: s + `"reason":"Timeout","details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}`, want: appspan.ErrPrecondition},
		"steering of a terminal":       {code: 403, body: s + `"message":"a\u001b[2J\u0007b\nc"}`, want: appspan.ErrDenied, text: "denied: a[2Jb\nc"},
		"a merge that cannot be made":  {code: 500, body: s + `"message":"failed to create typed patch object (a/b; /v1, Kind=C): .dada: field not declared in schema"}`, want: appspan.ErrInvalid},
		"a failure of etcd":            {code: 500, body: s + `"message":"etcdserver: request timed out"}`, want: appspan.ErrUnavailable, safe: true},
		"an internal error":            {code: 500, body: s + `"reason":"InternalError","message":"Internal error occurred: failed calling webhook"}`, want: appspan.ErrUnavailable, safe: true},
		"a proxy without a server":     {code: 502, body: "<html>", want: appspan.ErrUnavailable, safe: true},
		"a server that starts":         {code: 503, after: "1", body: s + `"reason":"ServiceUnavailable"}`, want: appspan.ErrUnavailable, safe: true, wait: time.Second},
		"no answer in time":            {code: 504, body: s + `"reason":"Timeout"}`, want: appspan.ErrUnavailable, safe: true},
		"what nobody thought of":       {code: 418, body: "", want: appspan.ErrInvalid, text: "invalid: the server says 418 I'm a teapot"},
		"a body that is not a status":  {code: 400, body: `{"kind":"Pod"}`, want: appspan.ErrInvalid},
		"a body that is not even JSON": {code: 503, body: `{"kind":`, want: appspan.ErrUnavailable, safe: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			header.Set("Retry-After", test.after)
			err := refusal(test.code, header, []byte(test.body), true)
			require.ErrorIs(t, err, test.want)
			require.Equal(t, test.safe, appspan.Retryable(err))
			require.Equal(t, test.wait, appspan.RetryAfter(err))
			if test.text != "" {
				require.EqualError(t, err, test.text)
			}
			err = refusal(test.code, header, []byte(test.body), false)
			require.ErrorIs(t, err, test.want)
			require.Equal(t, test.unsafe, appspan.Retryable(err))
		})
	}
}

func TestAnEvictionThatABudgetForbidsIsNoLoad(t *testing.T) {
	t.Parallel()
	body := []byte(`{"kind":"Status","reason":"TooManyRequests","message":"Cannot evict pod","details":{"causes":[{"reason":"DisruptionBudget"}]}}`)
	err := refusal(http.StatusTooManyRequests, http.Header{}, body, false)
	require.True(t, appspan.Retryable(err))
	require.NotErrorIs(t, err, errOverload)
	require.ErrorIs(t, refusal(http.StatusTooManyRequests, http.Header{}, nil, false), errOverload)
}

func FuzzRefusal(f *testing.F) {
	f.Add(409, []byte(`{"kind":"Status","reason":"Conflict","details":{"causes":[{"reason":"FieldManagerConflict","message":"conflict with \"a","field":".a"}]}}`))
	f.Add(500, []byte(`{"kind":"Status","message":"x: Invalid value: "}`))
	f.Add(404, []byte("404 page not found"))
	f.Fuzz(func(t *testing.T, code int, body []byte) {
		err := refusal(code, http.Header{}, body, true)
		require.Error(t, err)
		var conflict *driver.ConflictError
		if !errors.As(err, &conflict) {
			require.LessOrEqual(t, len(err.Error()), 3*maxMessage+200)
		}
	})
}

// FuzzExecStatus: whatever ends a command is a success only when it says so.
func FuzzExecStatus(f *testing.F) {
	f.Add([]byte(`{"status":"Success"}`))
	f.Add([]byte(`{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		err := execStatus(data)
		var exit *driver.ExitError
		if errors.As(err, &exit) {
			require.NotZero(t, exit.Code)
		}
		require.False(t, err == nil && !strings.Contains(string(data), "ccess") && !strings.Contains(string(data), `\u`))
		if err != nil {
			require.LessOrEqual(t, len(err.Error()), 3*maxMessage+200)
		}
	})
}
