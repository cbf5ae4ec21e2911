package kube

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// discreet keeps what a request says in secret out of what is told of its
// failure: some servers, and proxies before them, answer with what they were
// told. It is the innermost wrapper of a transport, where the credentials are
// in the request, wherever they came from.
type discreet struct {
	http.RoundTripper
	proxy func(*http.Request) (*url.URL, error) // nil: none
}

// WrappedRoundTripper lets idle connections be closed.
func (d *discreet) WrappedRoundTripper() http.RoundTripper { return d.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (d *discreet) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := d.RoundTripper.RoundTrip(r)
	if err == nil && answer.StatusCode < 300 { // 101 too
		return answer, nil
	}
	secrets := secretsOf(r, d.proxy)
	if err != nil {
		if text := secrets.Replace(err.Error()); text != err.Error() {
			return nil, errors.New(text)
		}
		return nil, err
	}
	hide(answer, secrets)
	return answer, nil
}

// hide takes secrets out of a refusal.
func hide(answer *http.Response, secrets *strings.Replacer) {
	for _, values := range answer.Header {
		for i := range values {
			values[i] = secrets.Replace(values[i])
		}
	}
	answer.Status = secrets.Replace(answer.Status)
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxError))
	rest := io.Reader(bytes.NewReader([]byte(secrets.Replace(string(data)))))
	if err != nil {
		rest = io.MultiReader(rest, broken{err})
	}
	answer.Body = &body{rest, answer.Body}
	answer.ContentLength = -1
	answer.Header.Del("Content-Length")
}

// body reads from one and closes another.
type body struct {
	io.Reader
	io.Closer
}

// broken is where a body breaks off.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

const hidden = "(redacted)"

// secretsOf replaces the secrets of a request, in the ways in which servers and
// errors quote them: its credentials, those for its proxy, and the values of a
// Secret that it writes.
func secretsOf(r *http.Request, proxy func(*http.Request) (*url.URL, error)) *strings.Replacer {
	var pairs []string
	add := func(secret string) {
		if len(secret) < 6 { // is in other words too, and hides nothing
			return
		}
		quoted := strconv.Quote(secret)
		plain, _ := json.Marshal(secret)
		for _, form := range []string{secret, quoted[1 : len(quoted)-1], string(plain[1 : len(plain)-1]),
			url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			pairs = append(pairs, form, hidden)
		}
	}
	for _, header := range []string{"Authorization", "Proxy-Authorization"} {
		scheme, credentials, _ := strings.Cut(r.Header.Get(header), " ")
		add(credentials)
		if strings.EqualFold(scheme, "Basic") {
			pair, _ := base64.StdEncoding.DecodeString(credentials)
			_, password, _ := strings.Cut(string(pair), ":")
			add(string(pair))
			add(password)
		}
	}
	if proxy != nil {
		if address, err := proxy(r); err == nil && address != nil && address.User != nil {
			password, _ := address.User.Password()
			add(base64.StdEncoding.EncodeToString([]byte(address.User.Username() + ":" + password)))
			add(address.User.Username() + ":" + password)
			add(password)
		}
	}
	for _, value := range written(r) {
		add(value)
	}
	return strings.NewReplacer(pairs...)
}

// written are the values of a Secret in a request's body, decoded.
func written(r *http.Request) []string {
	if r.GetBody == nil || !strings.Contains(r.URL.Path, "/secrets") {
		return nil
	}
	in, err := r.GetBody()
	if err != nil {
		return nil
	}
	defer in.Close()
	var secret struct {
		Data       map[string][]byte `json:"data"`
		StringData map[string]string `json:"stringData"`
	}
	data, err := io.ReadAll(in)
	if err != nil || json.Unmarshal(data, &secret) != nil {
		return nil
	}
	var values []string
	for _, v := range secret.Data {
		values = append(values, string(v))
	}
	for _, v := range secret.StringData {
		values = append(values, v)
	}
	return values
}

// Format writes the cluster's address for every verb: what is in it holds
// credentials.
func (c *Cluster) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "cluster at "+c.base) }
