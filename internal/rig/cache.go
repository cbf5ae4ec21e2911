package rig

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The versions of the programs; what they are built from is fixed by the checksums in build/*.sum.
const (
	KubernetesVersion = "v1.37.2"
	EtcdVersion       = "v3.7.3"
	KwokVersion       = "v0.8.0"
	HelmVersion       = "v4.3.1"
)

// modules holds the go.mod and go.sum of the modules in which the programs are built. They have other names because
// a directory with a go.mod in it cannot be embedded.
//
//go:embed build
var modules embed.FS

// A recipe builds the programs of one module.
type recipe struct {
	module   string   // file name in build/, without .mod
	packages []string // import paths; the last element, or name, is the program's name
	name     string   // for the one package whose last element says nothing
	ldflags  string   // version stamps
	optional bool
}

func recipes() []recipe {
	minor := strings.Split(strings.TrimPrefix(KubernetesVersion, "v"), ".")
	stamp := "k8s.io/component-base/version."
	return []recipe{
		{module: "etcd", packages: []string{"go.etcd.io/etcd/server/v3"}, name: "etcd"},
		{module: "kwok", packages: []string{"sigs.k8s.io/kwok/cmd/kwok"}, ldflags: "-X sigs.k8s.io/kwok/pkg/consts.Version=" + KwokVersion},
		{module: "kubernetes", packages: []string{
			"k8s.io/kubernetes/cmd/kube-apiserver",
			"k8s.io/kubernetes/cmd/kube-controller-manager",
			"k8s.io/kubernetes/cmd/kube-scheduler",
			"k8s.io/kubernetes/cmd/kubectl",
		}, ldflags: fmt.Sprintf("-X %[1]sgitVersion=%[2]s -X %[1]sgitMajor=%[3]s -X %[1]sgitMinor=%[4]s -X %[1]sgitTreeState=clean", stamp, KubernetesVersion, minor[0], minor[1])},
		{module: "helm", packages: []string{"helm.sh/helm/v4/cmd/helm"}, ldflags: "-X helm.sh/helm/v4/internal/version.version=" + HelmVersion, optional: true},
	}
}

// Binaries are the programs of one version of the rig.
type Binaries struct {
	// Dir has the programs, each under its own name.
	Dir    string
	stages string // kwok's own Stage files
}

func (b *Binaries) path(name string) string { return filepath.Join(b.Dir, name) }

// BuildOptions say what to build and where to. Nil and the zero value are the defaults.
type BuildOptions struct {
	// Helm builds helm too, which only the benches need.
	Helm bool
	// CacheDir is where the programs are kept. Default: appspan-rig in os.UserCacheDir.
	CacheDir string
	// Log receives a line per program that is built, and what the go command says. Nil discards.
	Log io.Writer
}

// Build returns the programs, and builds those that are missing: about six minutes of processor time when Go's build
// cache is empty, nothing afterwards. It needs the go command in PATH and a Go module proxy. Ending it at any point
// leaves only finished programs behind.
func Build(ctx context.Context, opts *BuildOptions) (*Binaries, error) {
	if opts == nil {
		opts = &BuildOptions{}
	}
	log := opts.Log
	if log == nil {
		log = io.Discard
	}
	root := opts.CacheDir
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the cache directory (set HOME or XDG_CACHE_HOME): %w", err)
		}
		root = filepath.Join(user, "appspan-rig")
	}
	key, err := versionKey()
	if err != nil {
		return nil, err
	}
	root = filepath.Join(root, key)
	b := &Binaries{Dir: filepath.Join(root, "bin"), stages: filepath.Join(root, "stages")}
	if b.complete(opts.Helm) {
		return b, nil
	}
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(root, "lock"), func() {
		fmt.Fprintln(log, "rig: another process is building, waiting for it")
	})
	if err != nil {
		return nil, err
	}
	defer unlock()
	abandoned, _ := filepath.Glob(filepath.Join(root, "build-*"))
	for _, dir := range abandoned {
		_ = os.RemoveAll(dir)
	}
	for _, r := range recipes() {
		if r.optional && !opts.Helm {
			continue
		}
		if err := b.build(ctx, r, root, log); err != nil {
			return nil, fmt.Errorf("build %s: %w", r.module, err)
		}
	}
	return b, nil
}

// versionKey names the cache directory: the version that people know, and a hash of all that decides about the bytes
// except for the Go release, so that a new Go does not cost everybody a build.
func versionKey() (string, error) {
	h := sha256.New()
	for _, r := range recipes() {
		fmt.Fprintf(h, "%+v\n", r)
		for _, ext := range []string{".mod", ".sum"} {
			data, err := modules.ReadFile("build/" + r.module + ext)
			if err != nil {
				return "", err
			}
			h.Write(data)
		}
	}
	return KubernetesVersion + "-" + hex.EncodeToString(h.Sum(nil))[:10], nil
}

func (r recipe) program(pkg string) string {
	if r.name != "" {
		return r.name
	}
	return pkg[strings.LastIndexByte(pkg, '/')+1:]
}

func (b *Binaries) complete(helm bool) bool {
	for _, r := range recipes() {
		for _, pkg := range r.packages {
			if (!r.optional || helm) && !exists(b.path(r.program(pkg))) {
				return false
			}
		}
	}
	return exists(b.stages)
}

func (b *Binaries) build(ctx context.Context, r recipe, root string, log io.Writer) error {
	work, err := os.MkdirTemp(root, "build-"+r.module+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, ext := range []string{"mod", "sum"} {
		data, err := modules.ReadFile("build/" + r.module + "." + ext)
		if err == nil {
			err = os.WriteFile(filepath.Join(work, "go."+ext), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	for i, pkg := range r.packages {
		name := r.program(pkg)
		if exists(b.path(name)) {
			continue
		}
		fmt.Fprintf(log, "rig: building %s (%d of %d in %s; once per version)\n", name, i+1, len(r.packages), r.module)
		out := filepath.Join(work, name)
		if _, err := goCommand(ctx, work, log, "build", "-trimpath", "-ldflags", "-s -w "+r.ldflags, "-o", out, pkg); err != nil {
			return fmt.Errorf("%s: %w", pkg, err)
		}
		if err := os.Rename(out, b.path(name)); err != nil {
			return err
		}
	}
	if r.module == "kwok" && !exists(b.stages) {
		return b.copyStages(ctx, work, log)
	}
	return nil
}

// copyStages takes kwok's Stage files from its module, which the build has just downloaded.
func (b *Binaries) copyStages(ctx context.Context, work string, log io.Writer) error {
	dir, err := goCommand(ctx, work, log, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok")
	if err != nil {
		return err
	}
	tmp := filepath.Join(work, "stages")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	for _, stage := range []string{
		"node/fast/node-initialize.yaml", "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
		"pod/fast/pod-ready.yaml", "pod/fast/pod-complete.yaml", "pod/fast/pod-delete.yaml",
	} {
		data, err := os.ReadFile(filepath.Join(strings.TrimSpace(dir), "kustomize", "stage", filepath.FromSlash(stage)))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tmp, filepath.Base(stage)), data, 0o644); err != nil {
			return err
		}
	}
	return os.Rename(tmp, b.stages)
}

// goCommand runs the go command in dir, untouched by the caller's workspace and flags, and returns what it printed.
func goCommand(ctx context.Context, dir string, log io.Writer, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly", "GOOS=", "GOARCH=")
	cmd.Stderr = log
	out, err := cmd.Output()
	return string(out), err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}
