package image_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy/render"
	"github.com/appspan-dev/appspan/storage/image"
)

// internet is a world of registries by host, reached without sockets.
type internet struct {
	t      *testing.T
	hosts  map[string]*registry
	before func(*http.Request) *http.Response
	tries  int          // further ones of a request
	sent   atomic.Int64 // bytes of blobs that were uploaded
}

func newInternet(t *testing.T, hosts ...string) *internet {
	n := &internet{t: t, hosts: map[string]*registry{}, tries: -1}
	for _, host := range hosts {
		n.hosts[host] = &registry{Registry: ocimem.New(), t: t, host: host}
	}
	return n
}

func (n *internet) client() *image.Client {
	return image.NewClient(&image.ClientOptions{Retries: n.tries, Transport: wire(func(req *http.Request) (*http.Response, error) {
		if n.before != nil {
			if resp := n.before(req); resp != nil {
				resp.Request = req
				return resp, nil
			}
		}
		host := req.URL.Host
		if host == "registry-1.docker.io" {
			host = "docker.io"
		}
		r := n.hosts[host]
		if r == nil {
			n.t.Errorf("a request to %s", req.URL)
			return status(404), nil
		}
		r.mu.Lock()
		r.requests = append(r.requests, req.Method+" "+req.URL.RequestURI())
		r.mu.Unlock()
		if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/blobs/") {
			n.sent.Add(req.ContentLength)
		}
		return sending(direct(ociserver.New(r.Registry, nil)), req)
	})})
}

func shop(t *testing.T) *appmodel.Application {
	t.Helper()
	return decode(t, filepath.Join("..", "..", "appmodel", "testdata", "shop.yaml"))
}

func decode(t *testing.T, file string) *appmodel.Application {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	app, faults, err := appmodel.Decode(data, nil)
	require.NoError(t, err, faults)
	return app
}

// stocked is an internet that has every image of the shop.
func stocked(t *testing.T, app *appmodel.Application) *internet {
	n := newInternet(t, "docker.io", "registry.example.com", "mirror.example.com")
	uses, _ := image.Find(app)
	for _, use := range uses {
		ref, err := image.ParseRef(use.Image)
		require.NoError(t, err)
		n.hosts[ref.Registry].image(ref.Repository, ref.Tag, "a base layer that all have", "of "+ref.Repository)
	}
	return n
}

func TestAnApplicationIsRelocated(t *testing.T) {
	t.Parallel()
	app := shop(t)
	before, err := appmodel.Encode(app, nil)
	require.NoError(t, err)
	n := stocked(t, app)
	m, err := n.client().Relocate(t.Context(), app, "mirror.example.com/shop", nil)
	require.NoError(t, err)
	require.Equal(t, "mirror.example.com/shop", m.To)
	require.Len(t, m.Images, 9, "each once, however often it is used")
	mirror := n.hosts["mirror.example.com"]
	for _, i := range m.Images {
		from, err := image.ParseRef(i.From)
		require.NoError(t, err)
		to, err := image.ParseRef(i.To)
		require.NoError(t, err)
		require.Equal(t, image.Ref{Registry: "mirror.example.com", Repository: "shop/" + image.DefaultName(from), Tag: from.Tag, Digest: to.Digest}, to)
		require.Equal(t, n.hosts[from.Registry].content(from.Repository, digest.Digest(to.Digest)), mirror.content(to.Repository, digest.Digest(to.Digest)))
		tag, err := mirror.ResolveTag(t.Context(), to.Repository, to.Tag)
		require.NoError(t, err)
		require.Equal(t, to.Digest, tag.Digest.String())
	}
	require.Contains(t, m.References()["redis:7.4"], "mirror.example.com/shop/docker.io/library/redis:7.4@sha256:")

	after, err := appmodel.Encode(app, nil)
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "the application stays the author's")

	rewritten, err := m.Rewrite(app)
	require.NoError(t, err)
	require.NoError(t, appmodel.Validate(rewritten).Err())
	uses, _ := image.Find(rewritten)
	for _, use := range uses {
		require.True(t, strings.HasPrefix(use.Image, "mirror.example.com/shop/"), use)
	}
	again, err := m.Rewrite(rewritten)
	require.NoError(t, err)
	require.Equal(t, rewritten, again)
}

// rendered are the images that run when the application is rendered.
func rendered(t *testing.T, app *appmodel.Application, refs map[string]string) []string {
	t.Helper()
	app, params, err := appmodel.Resolve(app, map[string]appmodel.JSON{"paymentKey": appmodel.JSON(`"0123456789abcdef"`)})
	require.NoError(t, err)
	f := fake.New(nil)
	defer func() { require.NoError(t, f.Close()) }()
	info, err := f.Info(t.Context())
	require.NoError(t, err)
	info.Kinds = append(info.Kinds, driver.KindInfo{APIVersion: "monitoring.coreos.com/v1", Kind: "PrometheusRule", Namespaced: true})
	in := render.Input{Application: app, Info: info, Namespace: "shop", Installation: "test", Params: params, HashKey: []byte("key"), Images: refs,
		Generated: map[string]map[string]appmodel.Sensitive{},
		Bindings:  map[render.NeedRef]render.Endpoint{{Component: "api", Need: "ledger"}: {Host: "ledger", Port: 80}}}
	for _, g := range render.Generated(app) {
		if in.Generated[g.Group] == nil {
			in.Generated[g.Group] = map[string]appmodel.Sensitive{}
		}
		in.Generated[g.Group][g.Item] = appmodel.NewSensitive("generated")
	}
	out, err := render.Render(in)
	require.NoError(t, err)
	var images []string
	for _, o := range out.Objects {
		for _, part := range strings.Split(string(o.JSON), `"image":"`)[1:] {
			images = append(images, part[:strings.Index(part, `"`)])
		}
	}
	return images
}

func TestTheMapIsWhatRenderingTakes(t *testing.T) {
	t.Parallel()
	app := shop(t)
	m, err := stocked(t, app).client().Relocate(t.Context(), app, "mirror.example.com", nil)
	require.NoError(t, err)
	rewritten, err := m.Rewrite(app)
	require.NoError(t, err)
	mapped := rendered(t, app, m.References())
	require.Len(t, mapped, len(rendered(t, app, nil)))
	require.Equal(t, rendered(t, rewritten, nil), mapped)
	for _, i := range mapped {
		require.Regexp(t, `^mirror\.example\.com/.*@sha256:`, i)
	}
}

func TestALayerThatAllImagesHaveIsSentOnce(t *testing.T) {
	t.Parallel()
	app := shop(t)
	n := stocked(t, app)
	_, err := n.client().Relocate(t.Context(), app, "mirror.example.com", &image.RelocateOptions{CopyOptions: image.CopyOptions{Concurrency: 9}})
	require.NoError(t, err)
	layer := digest.FromString("a base layer that all have").String()
	uploads := 0
	for _, request := range n.hosts["mirror.example.com"].requests {
		if strings.HasPrefix(request, "PUT ") && strings.Contains(request, strings.Replace(layer, ":", "%3A", 1)) {
			uploads++
		}
	}
	require.Equal(t, 1, uploads)
	require.Equal(t, 8, n.hosts["mirror.example.com"].seen("POST", "mount="+layer))
}

func TestAnInterruptedRelocationGoesOn(t *testing.T) {
	t.Parallel()
	app := shop(t)
	n := stocked(t, app)
	var puts atomic.Int64
	n.before = func(req *http.Request) *http.Response {
		if req.Method == http.MethodPut && puts.Add(1) > 12 {
			return status(500)
		}
		return nil
	}
	inOrder := &image.RelocateOptions{CopyOptions: image.CopyOptions{Concurrency: 1}}
	_, err := n.client().Relocate(t.Context(), app, "mirror.example.com", inOrder)
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	first := n.sent.Load()
	n.before = nil
	_, err = n.client().Relocate(t.Context(), app, "mirror.example.com", inOrder)
	require.NoError(t, err)
	whole := stocked(t, app)
	_, err = whole.client().Relocate(t.Context(), app, "mirror.example.com", nil)
	require.NoError(t, err)
	require.Equal(t, whole.sent.Load(), n.sent.Load(), "no byte is sent twice")
	require.Less(t, first, whole.sent.Load())
}

func TestEveryImageThatIsMissingIsNamedBeforeAnythingIsCopied(t *testing.T) {
	t.Parallel()
	app := shop(t)
	n := stocked(t, app)
	n.before = func(req *http.Request) *http.Response {
		if strings.Contains(req.URL.Path, "/redis/") || strings.Contains(req.URL.Path, "/mariadb/") {
			return status(404)
		}
		return nil
	}
	_, err := n.client().Relocate(t.Context(), app, "mirror.example.com", nil)
	require.ErrorIs(t, err, appspan.ErrNotFound)
	require.ErrorContains(t, err, "components[redis].image: resolve docker.io/library/redis:7.4")
	require.ErrorContains(t, err, "components[mariadb].image")
	require.Empty(t, n.hosts["mirror.example.com"].requests)
}

func one(images ...string) *appmodel.Application {
	app := &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication, Metadata: appmodel.Metadata{Name: "a"}}
	for i, ref := range images {
		app.Components = append(app.Components, appmodel.Component{ID: "c" + string(rune('a'+i)), Kind: appmodel.KindService, Container: appmodel.Container{Image: ref}})
	}
	return app
}

func TestNamesInTheTarget(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		images []string
		opts   *image.RelocateOptions
		to     string
		want   []string // without digests
		err    error
	}{
		"the host becomes a path, so that nothing collides": {
			images: []string{"nginx:1", "quay.io/x/nginx:1", "localhost:5000/nginx:1"},
			want:   []string{"m.example.com/mirror/docker.io/library/nginx:1", "m.example.com/mirror/quay.io/x/nginx:1", "m.example.com/mirror/localhost__5000/nginx:1"}},
		"no path":          {images: []string{"nginx:1"}, to: "m.example.com", want: []string{"m.example.com/docker.io/library/nginx:1"}},
		"no tag is latest": {images: []string{"quay.io/x/nginx"}, want: []string{"m.example.com/mirror/quay.io/x/nginx:latest"}},
		"names of one's own": {images: []string{"nginx:1", "quay.io/x/redis:2"},
			opts: &image.RelocateOptions{Name: func(r image.Ref) string { return r.Repository[strings.LastIndex(r.Repository, "/")+1:] }},
			want: []string{"m.example.com/mirror/nginx:1", "m.example.com/mirror/redis:2"}},
		"names of one's own that collide": {images: []string{"nginx:1", "quay.io/x/nginx:1"}, err: appspan.ErrInvalid,
			opts: &image.RelocateOptions{Name: func(image.Ref) string { return "nginx" }}},
		"names of one's own that are none": {images: []string{"nginx:1"}, err: appspan.ErrInvalid,
			opts: &image.RelocateOptions{Name: func(image.Ref) string { return "../Nginx" }}},
		"a name that is too long": {images: []string{"nginx:1"}, err: appspan.ErrInvalid,
			opts: &image.RelocateOptions{Name: func(image.Ref) string { return strings.Repeat("x", 300) }}},
		"no tags": {images: []string{"nginx:1"}, opts: &image.RelocateOptions{Tag: func(image.Ref) string { return "" }}, want: []string{"m.example.com/mirror/docker.io/library/nginx"}},
		"tags with the digest": {images: []string{"quay.io/x/nginx"}, opts: &image.RelocateOptions{Tag: func(src image.Ref) string { return src.Tag + "-" + src.Digest[:6] }},
			want: []string{"m.example.com/mirror/quay.io/x/nginx:latest-sha256"}},
		"tags that are none":       {images: []string{"nginx:1"}, opts: &image.RelocateOptions{Tag: func(image.Ref) string { return "a/b" }}, err: appspan.ErrInvalid},
		"what is there stays":      {images: []string{"m.example.com/mirror/own/app:1"}, want: []string{"m.example.com/mirror/own/app:1"}},
		"a path is not a prefix":   {images: []string{"m.example.com/mirror2/app:1"}, want: []string{"m.example.com/mirror/m.example.com/mirror2/app:1"}},
		"one image, two spellings": {images: []string{"nginx:1", "docker.io/library/nginx:1"}, want: []string{"m.example.com/mirror/docker.io/library/nginx:1", "m.example.com/mirror/docker.io/library/nginx:1"}},
		"a target without a host":  {images: []string{"nginx:1"}, to: "mirror", err: appspan.ErrInvalid},
		"a target with a tag":      {images: []string{"nginx:1"}, to: "m.example.com/mirror:1", err: appspan.ErrInvalid},
		"a URL as target":          {images: []string{"nginx:1"}, to: "https://m.example.com", err: appspan.ErrInvalid},
		"an image that is none":    {images: []string{"Nginx:1"}, err: appspan.ErrInvalid},
		"an empty application":     {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newInternet(t, "docker.io", "quay.io", "m.example.com", "localhost:5000")
			n.hosts["docker.io"].image("library/nginx", "1", "docker")
			n.hosts["quay.io"].image("x/nginx", "1", "quay")
			n.hosts["quay.io"].image("x/nginx", "latest", "quay")
			n.hosts["quay.io"].image("x/redis", "2", "redis")
			n.hosts["localhost:5000"].image("nginx", "1", "local")
			n.hosts["m.example.com"].image("mirror/own/app", "1", "own")
			n.hosts["m.example.com"].image("mirror2/app", "1", "own")
			to := test.to
			if to == "" {
				to = "m.example.com/mirror"
			}
			m, err := n.client().Relocate(t.Context(), one(test.images...), to, test.opts)
			if test.err != nil {
				require.ErrorIs(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.Len(t, m.Images, len(test.want))
			for i, from := range test.images {
				to, digest, _ := strings.Cut(m.References()[from], "@")
				require.Equal(t, test.want[i], to)
				require.True(t, strings.HasPrefix(digest, "sha256:"))
			}
		})
	}
}

func TestATagOfTwoDigestsIsThatOfTheReferenceWithoutOne(t *testing.T) {
	t.Parallel()
	n := newInternet(t, "docker.io", "m.example.com")
	old := n.hosts["docker.io"].image("library/nginx", "1", "old").Digest.String()
	now := n.hosts["docker.io"].image("library/nginx", "1", "new").Digest.String()
	m, err := n.client().Relocate(t.Context(), one("nginx:1@"+old, "nginx:1"), "m.example.com", nil)
	require.NoError(t, err)
	require.Equal(t, "m.example.com/docker.io/library/nginx@"+old, m.References()["nginx:1@"+old])
	require.Equal(t, "m.example.com/docker.io/library/nginx:1@"+now, m.References()["nginx:1"])
	tag, err := n.hosts["m.example.com"].ResolveTag(t.Context(), "docker.io/library/nginx", "1")
	require.NoError(t, err)
	require.Equal(t, now, tag.Digest.String())
}

func TestATagThatMovesMeanwhileChangesNothing(t *testing.T) {
	t.Parallel()
	n := newInternet(t, "docker.io", "m.example.com")
	want := n.hosts["docker.io"].image("library/nginx", "1", "first").Digest.String()
	var moved atomic.Bool
	n.before = func(req *http.Request) *http.Response {
		if req.URL.Host == "m.example.com" && !moved.Swap(true) {
			n.hosts["docker.io"].image("library/nginx", "1", "second")
		}
		return nil
	}
	m, err := n.client().Relocate(t.Context(), one("nginx:1"), "m.example.com", nil)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(m.Images[0].To, want))
}
