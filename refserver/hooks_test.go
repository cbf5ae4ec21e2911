package refserver_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

// sign signs a message as Standard Webhooks has it.
func sign(t *testing.T, secret, id string, at time.Time, body string) []string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
	return []string{"Webhook-Id", id, "Webhook-Timestamp", fmt.Sprint(at.Unix()), "Webhook-Signature", "v1,AAAA v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}

func TestAHookTakesWhatIsSignedAndTakesItOnce(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	env := client.Environment{Environment: deploy.Environment{Target: deploy.Target{Clusters: []string{"a"}, Namespace: "shop"},
		Follows: []deploy.Follow{{Repository: "registry.example.com/web", Tags: "v*"}}}}
	s.send("admin", "PUT", "/api/v1/environments/shop/development", env).into(t, 201, nil)
	var stage deploy.Stage
	s.send("admin", "POST", "/api/v1/environments/shop/development/stages", client.StageRequest{Document: &client.Document{Text: shop}}).into(t, 201, &stage)
	require.Eventually(t, func() bool {
		s.send("admin", "GET", "/api/v1/stages/shop/"+stage.ID, nil).into(t, 200, &stage)
		return stage.State == deploy.StageDone
	}, 30*time.Second, 50*time.Millisecond)

	var hook client.NewHook
	s.send("admin", "POST", "/api/v1/hooks", map[string]string{"description": "ci"}).into(t, 201, &hook)
	body := `{"image": "registry.example.com/web:v2"}`
	now := time.Now()
	for name, headers := range map[string][]string{
		"not signed":                  nil,
		"signed with another secret":  sign(t, "whsec_"+base64.StdEncoding.EncodeToString([]byte("another")), "m", now, body),
		"of another body":             sign(t, hook.Secret, "m", now, body+" "),
		"too old":                     sign(t, hook.Secret, "m", now.Add(-6*time.Minute), body),
		"from the future":             sign(t, hook.Secret, "m", now.Add(6*time.Minute), body),
		"with a time that is no time": append(sign(t, hook.Secret, "m", now, body), "Webhook-Timestamp", "soon"),
	} {
		require.Equal(t, 401, s.send("", "POST", hook.Path, body, headers...).StatusCode, name)
	}
	require.Equal(t, 401, s.send("", "POST", "/api/v1/hooks/aaaaaaaaaaaaaaaa", body, sign(t, hook.Secret, "m", now, body)...).StatusCode)
	var begun client.List[deploy.Stage]
	s.send("", "POST", hook.Path, body, sign(t, hook.Secret, "m", now, body)...).into(t, 202, &begun)
	require.Len(t, begun.Items, 1)
	s.send("", "POST", hook.Path, body, sign(t, hook.Secret, "m", now, body)...).into(t, 409, nil)
	require.Eventually(t, func() bool {
		s.send("admin", "GET", "/api/v1/stages/shop/"+begun.Items[0].ID, nil).into(t, 200, &stage)
		return stage.State == deploy.StageDone
	}, 30*time.Second, 50*time.Millisecond)
	none := `{"image": "registry.example.com/other:v2"}`
	s.send("", "POST", hook.Path, none, sign(t, hook.Secret, "other", now, none)...).into(t, 202, &begun)
	require.Empty(t, begun.Items)

	s.send("somebody", "DELETE", "/api/v1/hooks/"+hook.ID, nil).into(t, 404, nil)
	s.send("admin", "DELETE", "/api/v1/hooks/"+hook.ID+"?dryRun=true", nil).into(t, 204, nil)
	var hooks client.List[client.Hook]
	s.send("admin", "GET", "/api/v1/hooks", nil).into(t, 200, &hooks)
	require.Len(t, hooks.Items, 1)
	s.send("admin", "DELETE", "/api/v1/hooks/"+hook.ID, nil).into(t, 204, nil)
	s.send("", "POST", hook.Path, body, sign(t, hook.Secret, "again", now, body)...).into(t, 401, nil)
}
