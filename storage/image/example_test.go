package image_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/storage/image"
)

// twoRegistries are in memory; the first one has an image shop/web:3.2.0.
func twoRegistries(ctx context.Context) http.RoundTripper {
	development, production := ocimem.New(), ocimem.New()
	config := ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: digest.FromString("{}"), Size: 2}
	manifest, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{config}})
	if err == nil {
		_, err = development.PushBlob(ctx, "shop/web", config, ocimem.NewBytesReader([]byte("{}"), config))
	}
	if err == nil {
		_, err = development.PushManifest(ctx, "shop/web", "3.2.0", manifest, ocispec.MediaTypeImageManifest)
	}
	if err != nil {
		fmt.Println(err)
	}
	return wire(func(req *http.Request) (*http.Response, error) {
		var to ociregistry.Interface = development
		if req.URL.Host == "registry.example.com" {
			to = production
		}
		return sending(direct(ociserver.New(to, nil)), req)
	})
}

func ExampleNewClient() {
	ctx := context.Background()
	client := image.NewClient(&image.ClientOptions{Transport: twoRegistries(ctx)}) // a program gives Credentials
	defer client.Close()

	src, err := image.ParseRef("dev.example.com/shop/web:3.2.0")
	if err != nil {
		fmt.Println(err)
		return
	}
	dst, err := image.ParseRef("registry.example.com/production/web:3.2.0")
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		copied, err := client.Copy(ctx, dst, src, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(copied.Ref.Name(), copied.Ref.Tag, copied.Ref.Digest[:14], "sent:", copied.Sent)
	}
	// Output:
	// registry.example.com/production/web 3.2.0 sha256:9cb0fe5 sent: 2
	// registry.example.com/production/web 3.2.0 sha256:9cb0fe5 sent: 0
}

func ExampleClient_Relocate() {
	ctx := context.Background()
	client := image.NewClient(&image.ClientOptions{Transport: twoRegistries(ctx)})
	defer client.Close()
	app := &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication, Metadata: appmodel.Metadata{Name: "shop"},
		Components: []appmodel.Component{{ID: "web", Kind: appmodel.KindService, Container: appmodel.Container{Image: "dev.example.com/shop/web:3.2.0"}}}}

	m, err := client.Relocate(ctx, app, "registry.example.com/mirror", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for from, to := range m.References() { // deploy.PlanOptions.Images
		fmt.Println(from, "is")
		fmt.Println(to[:len("registry.example.com/mirror/dev.example.com/shop/web:3.2.0@sha256:")] + "…")
	}
	data, err := m.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	stored, err := image.DecodeMap(data)
	fmt.Println(len(stored.Images), err)
	// Output:
	// dev.example.com/shop/web:3.2.0 is
	// registry.example.com/mirror/dev.example.com/shop/web:3.2.0@sha256:…
	// 1 <nil>
}

func ExampleDockerConfig() {
	credentials, err := image.DockerConfig([]byte(`{"auths": {"registry.example.com": {"username": "robot", "password": "secret"}}}`), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := credentials(context.Background(), "registry.example.com")
	fmt.Println(c, err)
	c, err = credentials(context.Background(), "another.example.com")
	fmt.Println(c == image.Credential{}, err)
	// Output:
	// credential of "robot" <nil>
	// true <nil>
}
