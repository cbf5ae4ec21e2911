package image

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/appspan-dev/appspan"
)

const maxDockerConfig = 1 << 20

// Credential is what a registry knows a program by; the zero value is
// anonymous. It never shows its secrets: not when printed, logged or encoded.
type Credential struct {
	Username string
	Password string
	// IdentityToken is given to the registry's token service in place of the
	// password, RegistryToken to the registry itself.
	IdentityToken string
	RegistryToken string
}

// String is the user's name; the secrets are left out.
func (c Credential) String() string { return fmt.Sprintf("credential of %q", c.Username) }

// Format writes String, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON is String, as JSON: a credential can't be stored by accident.
func (c Credential) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// Credentials returns the credential for a registry, the zero value for none.
// The host is the one of references ("docker.io" for Docker Hub), with its
// port if it has one. It may be called concurrently; an error fails the call
// that asked.
type Credentials func(ctx context.Context, host string) (Credential, error)

// dockerConfig is what is read of a config.json of Docker.
type dockerConfig struct {
	Auths map[string]struct {
		Auth          string `json:"auth"`
		Username      string `json:"username"`
		Password      string `json:"password"`
		IdentityToken string `json:"identitytoken"`
		RegistryToken string `json:"registrytoken"`
	} `json:"auths"`
	Store   string            `json:"credsStore"`
	Helpers map[string]string `json:"credHelpers"`
}

// DockerConfigOptions shape DockerConfig. Nil is the default.
type DockerConfigOptions struct {
	// Helper asks the named credential helper ("ecr-login") for a host's
	// credential. Nothing is ever executed by this package: without a Helper, a
	// host for which the document names one is appspan.ErrUnsupported.
	Helper func(ctx context.Context, name, host string) (Credential, error)
}

// DockerConfig reads the credentials of a config.json of Docker, which is also
// what a Secret of type kubernetes.io/dockerconfigjson holds. The bytes are
// all that is read, and 1 MiB at most. A host that the document does not name
// is anonymous. What is no such document is appspan.ErrInvalid; the error
// quotes none of it.
func DockerConfig(data []byte, opts *DockerConfigOptions) (Credentials, error) {
	if len(data) > maxDockerConfig {
		return nil, fmt.Errorf("%w: a Docker config has at most %d bytes; this one has %d", appspan.ErrInvalid, maxDockerConfig, len(data))
	}
	var config dockerConfig
	if json.Unmarshal(data, &config) != nil {
		return nil, fmt.Errorf("%w: this is no config.json of Docker", appspan.ErrInvalid)
	}
	known := map[string]Credential{}
	for key, a := range config.Auths {
		c := Credential{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
		if a.Auth != "" {
			plain, err := base64.StdEncoding.DecodeString(a.Auth)
			name, password, ok := strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
			if err != nil || !ok {
				return nil, fmt.Errorf("%w: auths[%q].auth of the Docker config is not the base64 of user:password", appspan.ErrInvalid, key)
			}
			c.Username, c.Password = name, password
		}
		if host := configHost(key); c != (Credential{}) {
			if there, twice := known[host]; twice && there != c {
				return nil, fmt.Errorf("%w: the Docker config has two credentials for %s: leave one", appspan.ErrInvalid, host)
			}
			known[host] = c
		}
	}
	helpers := map[string]string{}
	for key, name := range config.Helpers {
		helpers[configHost(key)] = name
	}
	var helper func(context.Context, string, string) (Credential, error)
	if opts != nil {
		helper = opts.Helper
	}
	return func(ctx context.Context, host string) (Credential, error) {
		name := helpers[host]
		if name == "" {
			if c, ok := known[host]; ok {
				return c, nil
			}
			name = config.Store
		}
		switch {
		case name == "":
			return Credential{}, nil
		case helper == nil:
			return Credential{}, fmt.Errorf("%w: the Docker config keeps the credential of %s in the helper %q: set DockerConfigOptions.Helper, or put it under auths", appspan.ErrUnsupported, host, name)
		}
		return helper(ctx, name, host)
	}, nil
}

// configHost is the host that a key of a Docker config means: keys may be
// URLs, and Docker Hub's is one.
func configHost(key string) string {
	_, rest, isURL := strings.Cut(key, "://")
	if !isURL {
		rest = key
	}
	host, _, _ := strings.Cut(rest, "/")
	switch host = strings.ToLower(host); host {
	case "index.docker.io", "registry-1.docker.io":
		return dockerHub
	}
	return host
}
