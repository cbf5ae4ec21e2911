package leaktest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// user is a user of a kubeconfig whose credentials are secrets of the world.
type user struct {
	fields map[string]any
	let    func(r *http.Request) bool
}

// users are one for each way in which a kubeconfig can say who somebody is.
func (w *world) users() map[string]user {
	certificate, key := w.certificate("the key of a client certificate")
	token, password, plugin := w.secret("a kubeconfig's token"), w.password("a kubeconfig's password"), w.secret("a plug-in's token")
	script := fmt.Sprintf(`echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"'$ANSWER'"}}' # %s`, w.secret("a plug-in's argument"))
	return map[string]user{
		"certificate": {map[string]any{"client-certificate-data": certificate, "client-key-data": key},
			func(r *http.Request) bool { // and members, with tokens of their own
				return len(r.TLS.PeerCertificates) > 0 || strings.HasPrefix(r.Header.Get("Authorization"), "Bearer fake-token.")
			}},
		"token": {map[string]any{"token": token}, bearer(token)},
		"basic": {map[string]any{"username": "somebody", "password": password},
			func(r *http.Request) bool { _, p, _ := r.BasicAuth(); return p == password }},
		"plug-in": {map[string]any{"exec": map[string]any{"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "sh",
			"args": []string{"-c", script}, "env": []any{map[string]any{"name": "ANSWER", "value": plugin}}}}, bearer(plugin)},
	}
}

// fleet registers clusters of every source and of every way to fail.
// It returns the server of the one whose users have certificates.
func (w *world) fleet(fleet *cluster.Fleet) (certified *api) {
	t := w.t
	ctx := t.Context()
	users := w.users()
	for name, u := range users {
		_, server := w.fake(name, u.let)
		if name == "certificate" {
			certified = server
		}
		w.add(fleet, cluster.Registration{Name: name, Provider: "trusted", Config: kubeconfig(server.URL, server.ca, u.fields, nil)})
	}
	token := w.secret("the token of a rest.Config")
	_, server := w.fake("rest", bearer(token))
	w.add(fleet, cluster.Registration{Name: "rest", Provider: "rest", Config: must(json.Marshal(own{server.URL, token, server.ca}))})

	file := filepath.Join(w.dir, "token")
	token = w.secret("the token in a file")
	require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
	_, server = w.fake("file", bearer(token))
	w.add(fleet, cluster.Registration{Name: "file", Provider: "trusted", Config: kubeconfig(server.URL, server.ca, map[string]any{"tokenFile": file}, nil)})

	w.refused(fleet)
	w.echoed(fleet, users)
	w.unreachable(fleet)

	// Other credentials for the same cluster, wrong ones too.
	other, wrong := w.secret("a changed token"), w.secret("a wrong token")
	_, server = w.fake("changing", func(r *http.Request) bool { return !bearer(wrong)(r) })
	w.add(fleet, cluster.Registration{Name: "changing", Provider: "kubeconfig", Labels: map[string]string{"region": "eu"},
		Config: kubeconfig(server.URL, server.ca, map[string]any{"token": w.secret("a token to be changed")}, nil)})
	for _, token := range []string{other, wrong} {
		err := fleet.Change(ctx, "changing", func(r *cluster.Registration) error {
			w.hear("a registration", *r)
			w.hear("a registration", r)
			r.Config = kubeconfig(server.URL, server.ca, map[string]any{"token": token}, nil)
			w.hear("a registration", *r)
			return nil
		})
		if token == wrong {
			w.fails("a change to wrong credentials", err)
		} else {
			w.ok("a change", err)
		}
	}

	w.ok("a refresh", fleet.Refresh(ctx, cluster.Selector{}))
	for st, err := range fleet.Clusters(ctx, cluster.Selector{}) {
		w.ok("a list of clusters", err)
		w.hear("the status of a cluster", st)
		history, err := fleet.History(ctx, st.Name)
		w.ok("a history", err)
		w.hear("a history", history)
		c, err := fleet.Cluster(ctx, st.Name)
		w.ok("a cluster", err)
		w.hear("a cluster", c)
		w.hear("a driver", c.Driver())
		if err := c.LastError(); err != nil {
			w.hear("the last error of a cluster", err)
		}
	}
	w.hear("a fleet", fleet)
	return certified
}

// add registers a cluster, which must do.
func (w *world) add(fleet *cluster.Fleet, r cluster.Registration) {
	w.t.Helper()
	st, err := fleet.Add(w.t.Context(), r, nil)
	w.ok("a registration of "+r.Name, err)
	w.hear("the status of a cluster", st)
	w.hear("a registration", r)
	w.hear("a registration", &r)
	w.hear("a registration", []cluster.Registration{r})
	w.hear("a provider's spec", driver.Spec{Name: r.Name, Config: r.Config})
	_, err = fleet.Add(w.t.Context(), r, nil)
	w.fails("a second registration", err)
	r.Name += "-again"
	_, err = fleet.Add(w.t.Context(), r, nil)
	w.fails("a registration under another name", err)
}

// refused are kubeconfigs that a fleet does not take.
func (w *world) refused(fleet *cluster.Fleet) {
	secret := w.secret("what is in a refused kubeconfig")
	password := w.password("the password in an address")
	server := "https://eu.example.org"
	exec := map[string]any{"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "/bin/no-such-plug-in",
		"args": []string{secret}, "env": []any{map[string]any{"name": "TOKEN", "value": secret}}}
	addressed := "https://user:" + secret + "@"
	for name, config := range map[string][]byte{
		"a plug-in":                  kubeconfig(server, nil, map[string]any{"exec": exec}, nil),
		"an old plug-in":             kubeconfig(server, nil, map[string]any{"auth-provider": map[string]any{"name": "oidc", "config": map[string]any{"refresh-token": secret}}}, nil),
		"a file":                     kubeconfig(server, nil, map[string]any{"tokenFile": "/no/such/file", "token": secret}, nil),
		"a key's file":               kubeconfig(server, nil, map[string]any{"client-key": "/no/such/file", "token": secret}, nil),
		"a proxy":                    kubeconfig(server, nil, map[string]any{"token": secret}, map[string]any{"proxy-url": addressed + "proxy.example.org"}),
		"two users":                  kubeconfig(server, nil, map[string]any{"username": "a", "password": secret, "token": secret, "exec": exec}, nil),
		"a token with a line break":  kubeconfig(server, nil, map[string]any{"token": secret + "\n" + secret}, nil),
		"a token and a password":     kubeconfig(server, nil, map[string]any{"username": "a", "password": secret, "token": secret}, nil),
		"a key that is none":         kubeconfig(server, nil, map[string]any{"client-certificate-data": []byte(secret), "client-key-data": []byte(secret)}, nil),
		"a CA that is none":          kubeconfig(server, []byte(secret), map[string]any{"token": secret}, nil),
		"a CA that is not even text": kubeconfig(server, nil, map[string]any{"token": secret}, map[string]any{"certificate-authority-data": secret + "!"}),
		"a password in the address":  kubeconfig(addressed+"127.0.0.1:1", nil, nil, nil),
		"a bad address":              kubeconfig(addressed+"[bad", nil, nil, nil),
		"an odd scheme":              kubeconfig("ftp://user:"+secret+"@127.0.0.1:1", nil, nil, nil),
		"a password that is escaped": kubeconfig("https://user:"+password+"@127.0.0.1:1", nil, nil, nil),
		"a token for a name":         kubeconfig(server, nil, map[string]any{"token": map[string]any{secret: secret}}, nil),
		"a token in a list":          kubeconfig(server, nil, map[string]any{"token": []string{secret}}, nil),
		"no context":                 []byte("token: " + secret),
		"a bare token":               []byte(secret),
		"a quoted token":             []byte(`"` + secret + `"`),
		"a token before a list":      []byte("token: " + secret + "\n- a"),
		"a token as a tag":           []byte("!!" + secret + " a"),
		"a token as an anchor":       []byte("a: *" + secret),
		"a token as a key":           []byte(secret + ": [" + secret + "\n"),
		"a token in a directive":     []byte("%" + secret + "\n"),
		"a token in a wrong escape":  []byte(`token: "\` + secret + `"`),
		"a number for a token":       []byte("users: [{name: a, user: {token: 1" + secret + ", impersonate: [" + secret + "]}}]"),
	} {
		for _, provider := range []string{"kubeconfig", "trusted"} {
			_, err := fleet.Add(w.t.Context(), cluster.Registration{Name: "refused", Provider: provider, Config: config}, nil)
			w.fails("a registration with "+name, err)
		}
	}
	w.cut(fleet, secret)
}

// cut are kubeconfigs that break off, or have something odd in them, anywhere.
func (w *world) cut(fleet *cluster.Fleet, secret string) {
	whole := []byte(`apiVersion: v1
kind: Config
current-context: it
contexts: [{name: it, context: {cluster: it, user: it}}]
clusters: [{name: it, cluster: {server: "https://127.0.0.1:1", proxy-url: "ftp://user:` + secret + `@127.0.0.1:1"}}]
users:
- name: it
  user:
    token: ` + secret + `
    username: a
    password: "` + secret + `"
    client-key-data: ` + string(b64([]byte(secret))) + `
`)
	d := kube.Provider{Options: &kube.Options{AllowExec: true, AllowFiles: true, AllowProxy: true}}
	for at := range whole {
		for _, odd := range []string{"", "\n", "\t", "{", "[", "\"", "&", "*", "!", "%", ": ", "\n- ", "\x00", "\xff", "'", "|", "#"} {
			config := slices.Concat(whole[:at], []byte(odd), whole[at:])
			if odd == "" {
				config = whole[:at]
			}
			if c, err := d.Open(w.t.Context(), driver.Spec{Name: "cut", Config: config}); err != nil {
				fmt.Fprintf(w.at("errors of odd kubeconfigs"), "%v\n", err)
			} else {
				require.NoError(w.t, c.Close())
			}
		}
	}
}

// echoed are servers that tell what they were told, with each kind of
// credentials.
func (w *world) echoed(fleet *cluster.Fleet, users map[string]user) {
	for name, handler := range w.echoes() {
		server := w.serve(handler, nil)
		for kind, u := range users {
			if strings.HasPrefix(name, "pods-") {
				d, err := kube.FromKubeconfig(kubeconfig(server.URL, server.ca, u.fields, nil), "", &kube.Options{AllowExec: true})
				w.ok("a driver", err)
				c := cluster.New(name, d, &cluster.Options{Attempts: 1})
				w.calls(c)
				w.ok("closing", c.Close())
				continue
			}
			r := cluster.Registration{Name: "echo-" + name + "-" + kind, Provider: "trusted", Config: kubeconfig(server.URL, server.ca, u.fields, nil)}
			_, err := fleet.Add(w.t.Context(), r, nil)
			w.fails("a registration of a server that answers with "+name, err)
			_, err = fleet.Add(w.t.Context(), r, &cluster.AddOptions{Unverified: true})
			w.ok("an unverified registration", err)
			w.ok("a refresh of a server that echoes", fleet.Refresh(w.t.Context(), cluster.Selector{Names: []string{r.Name}}))
			c, err := fleet.Cluster(w.t.Context(), r.Name)
			w.ok("a cluster", err)
			w.calls(c)
		}
	}
}

// calls tries everything that a driver can do with a server that does not do
// it.
func (w *world) calls(c *cluster.Cluster) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 300*time.Millisecond)
	defer cancel()
	d := c.Driver()
	pod := driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "a", Name: "b"}
	failures := 0
	failed := func(what string, err error) {
		if err != nil {
			w.hear("the error of "+what, err)
			failures++
		}
	}
	_, err := c.Get(ctx, pod)
	failed("a get", err)
	if x, ok := driver.As[driver.Execer](d); ok {
		failed("an exec", x.Exec(ctx, pod, driver.ExecOptions{Command: []string{"true"}}))
	}
	if x, ok := driver.As[driver.PortForwarder](d); ok {
		_, err := x.Forward(ctx, pod, 80)
		failed("a forward", err)
	}
	if x, ok := driver.As[driver.LogStreamer](d); ok {
		_, err := x.Logs(ctx, pod, driver.LogOptions{})
		failed("logs", err)
	}
	if x, ok := driver.As[driver.Watcher](d); ok {
		stream, err := x.Watch(ctx, driver.Query{APIVersion: "v1", Kind: "Pod"})
		if err == nil {
			_, err = stream.Next()
			stream.Stop()
		}
		failed("a watch", err)
	}
	_, err = c.Inspect(ctx)
	failed("an inspection", err)
	require.GreaterOrEqual(w.t, failures, 4, c.Name())
}

// unreachable are clusters that do not answer.
func (w *world) unreachable(fleet *cluster.Fleet) {
	token, password := w.secret("the token of an unreachable cluster"), w.password("the password of an unreachable cluster")
	stranger := w.serve(http.NotFoundHandler(), nil)
	for name, config := range map[string][]byte{
		"nobody":       kubeconfig("https://127.0.0.1:1", nil, map[string]any{"token": token}, nil),
		"nowhere":      kubeconfig("https://nowhere.invalid", nil, map[string]any{"username": "a", "password": password}, nil),
		"untrusted":    kubeconfig(stranger.URL, nil, map[string]any{"token": token}, nil),
		"plain":        kubeconfig("http"+stranger.URL[len("https"):], nil, map[string]any{"token": token}, nil),
		"proxied":      kubeconfig("https://10.0.0.1", nil, map[string]any{"token": token}, map[string]any{"proxy-url": "http://user:" + token + "@127.0.0.1:1"}),
		"proxied-echo": kubeconfig("https://10.0.0.1", nil, map[string]any{"token": token}, map[string]any{"proxy-url": "http://user:" + token + "@" + w.proxy()}),
		"plug-in-fails": kubeconfig(stranger.URL, stranger.ca, map[string]any{"exec": map[string]any{"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
			"command": "sh", "args": []string{"-c", "exit 7 # " + token}, "env": []any{map[string]any{"name": "A", "value": token}}}}, nil),
		"plug-in-tells": kubeconfig(stranger.URL, stranger.ca, map[string]any{"exec": map[string]any{"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
			"command": "sh", "args": []string{"-c", "echo '{\"token\": \"'$A'\"}'"}, "env": []any{map[string]any{"name": "A", "value": token}}}}, nil),
	} {
		r := cluster.Registration{Name: name, Provider: "trusted", Config: config}
		_, err := fleet.Add(w.t.Context(), r, nil)
		w.fails("a registration of "+name, err)
		_, err = fleet.Add(w.t.Context(), r, &cluster.AddOptions{Unverified: true})
		w.ok("an unverified registration", err)
	}
}

// proxy tells what it was told.
func (w *world) proxy() string {
	told := func(out http.ResponseWriter, r *http.Request) {
		http.Error(out, fmt.Sprint(r.Header), http.StatusProxyAuthRequired)
	}
	return w.plain(http.HandlerFunc(told))
}

// leave ends memberships in each way.
func (w *world) leave(fleet *cluster.Fleet) {
	ctx := w.t.Context()
	w.fails("a removal of what does not answer", fleet.Remove(ctx, "nobody", nil))
	w.ok("a forced removal", fleet.Remove(ctx, "nobody", &cluster.RemoveOptions{Force: true}))
	w.ok("a removal", fleet.Remove(ctx, "changing", &cluster.RemoveOptions{Force: true}))
	w.ok("a cluster that is forgotten", fleet.Forget(ctx, "rest"))
	w.looked(fleet)
	forgotten, err := fleet.Forgotten(ctx)
	w.ok("the forgotten clusters", err)
	w.hear("the forgotten clusters", forgotten)
}

// looked has a fleet look after its clusters, until each has been looked at.
func (w *world) looked(fleet *cluster.Fleet) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error)
	go func() { done <- fleet.Run(ctx) }()
	begun := time.Now()
	require.Eventually(w.t, func() bool {
		for st, err := range fleet.Clusters(ctx, cluster.Selector{}) {
			if err != nil || st.Checked.Before(begun) {
				return false
			}
		}
		return true
	}, time.Minute, 10*time.Millisecond)
	cancel()
	if err := <-done; err != nil {
		w.hear("the error of a fleet", err)
	}
}

// own is a configuration of a program's own making.
type own struct {
	Host, Token string
	CA          []byte
}

// providers are what a fleet's clusters come from.
func providers() map[string]driver.Provider {
	return map[string]driver.Provider{
		"kubeconfig": kube.Provider{},
		"trusted":    kube.Provider{Options: &kube.Options{AllowExec: true, AllowFiles: true, AllowProxy: true}},
		"rest": driver.ProviderFunc(func(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
			var o own
			if err := json.Unmarshal(spec.Config, &o); err != nil {
				return nil, fmt.Errorf("%w: the configuration cannot be read", appspan.ErrInvalid)
			}
			return kube.New(&rest.Config{Host: o.Host, BearerToken: o.Token, TLSClientConfig: rest.TLSClientConfig{CAData: o.CA}}, nil)
		}),
	}
}
