package image_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/image"
)

const dockerConfig = `{
	"auths": {
		"https://index.docker.io/v1/": {"auth": "cm9ib3Q6czNjcjN0"},
		"registry.example.com:5000": {"username": "u", "password": "p"},
		"https://Quay.io": {"identitytoken": "i"},
		"ghcr.io": {"registrytoken": "r"},
		"empty.example.com": {}
	},
	"credHelpers": {"ecr.example.com": "ecr-login"}
}`

func TestADockerConfigGivesCredentialsByHost(t *testing.T) {
	t.Parallel()
	asked := ""
	get, err := image.DockerConfig([]byte(dockerConfig), &image.DockerConfigOptions{Helper: func(_ ctx, name, host string) (image.Credential, error) {
		asked = name + " for " + host
		return image.Credential{Username: "helped"}, nil
	}})
	require.NoError(t, err)
	for host, want := range map[string]image.Credential{
		"docker.io":                 {Username: "robot", Password: "s3cr3t"},
		"registry.example.com:5000": {Username: "u", Password: "p"},
		"registry.example.com":      {},
		"quay.io":                   {IdentityToken: "i"},
		"ghcr.io":                   {RegistryToken: "r"},
		"empty.example.com":         {},
		"ecr.example.com":           {Username: "helped"},
	} {
		got, err := get(t.Context(), host)
		require.NoError(t, err)
		require.Equal(t, want, got, host)
	}
	require.Equal(t, "ecr-login for ecr.example.com", asked)

	get, err = image.DockerConfig([]byte(dockerConfig), nil)
	require.NoError(t, err)
	_, err = get(t.Context(), "ecr.example.com")
	require.ErrorIs(t, err, appspan.ErrUnsupported, "nothing is executed")
	get, err = image.DockerConfig([]byte(`{"credsStore":"desktop"}`), nil)
	require.NoError(t, err)
	_, err = get(t.Context(), "any.example.com")
	require.ErrorIs(t, err, appspan.ErrUnsupported)
}

func TestADockerConfigThatIsNoneIsRefusedWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"no JSON":         `{"auths":{"a":{"password":"s3cr3t"`,
		"another shape":   `{"auths":["s3cr3t"]}`,
		"no base64":       `{"auths":{"a":{"auth":"s3cr3t!"}}}`,
		"no colon":        `{"auths":{"a":{"auth":"czNjcjN0"}}}`,
		"two for a host":  `{"auths":{"docker.io":{"username":"a","password":"s3cr3t"},"https://index.docker.io/v1/":{"username":"b","password":"s3cr3t"}}}`,
		"more than a MiB": string(bytes.Repeat([]byte(" "), 2<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := image.DockerConfig([]byte(data), nil)
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.NotContains(t, err.Error(), "s3cr3t")
		})
	}
}

func TestACredentialIsNeverPrinted(t *testing.T) {
	t.Parallel()
	c := image.Credential{Username: "robot", Password: secret, IdentityToken: secret, RegistryToken: secret}
	encoded, err := json.Marshal(c)
	require.NoError(t, err)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("using", "credential", c)
	for _, text := range []string{string(encoded), log.String(), fmt.Sprintf("%v %+v %#v %s %q %d %x %t", c, c, c, c, c, c, c, c), fmt.Sprintf("%+v", struct{ C image.Credential }{c}), fmt.Sprintf("%v", &c)} {
		require.NotContains(t, text, secret)
		require.Contains(t, text, "robot")
	}
}

func FuzzDockerConfig(f *testing.F) {
	f.Add([]byte(dockerConfig))
	f.Add([]byte(`{"auths":{"a":{"auth":"Og=="}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		get, err := image.DockerConfig(data, nil)
		if err != nil {
			require.ErrorIs(t, err, appspan.ErrInvalid)
			return
		}
		_, _ = get(t.Context(), "docker.io")
	})
}
