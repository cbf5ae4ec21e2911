// Command appspan-agent connects the cluster that it runs in, or an API server
// beside it, to a hub.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "appspan-agent:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("appspan-agent", flag.ExitOnError)
	tokenFile := flags.String("token-file", "/etc/appspan/token", "the join token; it stays in use when it has expired, to find the hub")
	keySecret := flags.String("key-secret", "", "keep the agent's key in this Secret, namespace/name, which exists")
	keyFile := flags.String("key-file", "", "keep the agent's key in this file")
	server := flags.String("server", "", "the API server's URL; empty is the one of the cluster that this runs in")
	caFile := flags.String("ca-file", "", "with -server: the authorities to trust, in PEM; empty is the system's")
	apiTokenFile := flags.String("api-token-file", "", "with -server: the token to send, read again for every request")
	impersonate := flags.String("impersonate", "appspan:", "beginnings of users and groups that the hub may act as, separated by commas; empty is none, * is all")
	outerInsecure := flags.Bool("outer-tls-insecure", false, "do not check the certificate of what stands before the hub; the hub itself is always checked")
	listen := flags.String("listen", "", "serve /healthz and /readyz at this address")
	verbose := flags.Bool("v", false, "log more")
	if err := flags.Parse(args); err != nil {
		return err
	}

	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	text, err := os.ReadFile(*tokenFile)
	if err != nil {
		return err
	}
	token, err := tunnel.ParseToken(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", *tokenFile, err)
	}
	target := agent.InCluster(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	if *server != "" {
		target = agent.Target{URL: *server, CAFile: *caFile, TokenFile: *apiTokenFile}
	}
	keys, err := keysOf(*keyFile, *keySecret, target)
	if err != nil {
		return err
	}
	a, err := agent.New(token, keys, target, &agent.Options{
		Client: outer(*outerInsecure), Version: version(), Impersonate: beginnings(*impersonate), Logger: log,
	})
	if err != nil {
		return err
	}
	log.Info("started", "version", version(), "hub", token.Hub, "cluster", token.Cluster)

	failed := make(chan error, 1)
	if *listen != "" {
		health := &http.Server{Addr: *listen, Handler: a.Health(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
		defer health.Close()
		go func() { failed <- health.ListenAndServe() }()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	select {
	case err = <-done:
	case err = <-failed:
		cancel()
		<-done
	}
	log.Info("stopped")
	return err
}

// keysOf chooses where the agent's key is kept.
func keysOf(file, secret string, target agent.Target) (agent.Keys, error) {
	namespace, name, both := strings.Cut(secret, "/")
	switch {
	case file != "" && secret == "":
		return agent.FileKey(file), nil
	case file == "" && both && namespace != "" && name != "":
		return agent.SecretKey(target, namespace, name), nil
	}
	return nil, errors.New("give one of -key-file and -key-secret namespace/name")
}

// outer makes the connection to whatever stands before the hub, through the
// proxy that the environment names.
func outer(insecure bool) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure},
	}}
}

func beginnings(list string) []string {
	if list == "*" {
		return []string{""}
	}
	return append([]string{}, strings.FieldsFunc(list, func(r rune) bool { return r == ',' })...)
}

// version is that of the module, or of the commit that this was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && info.Main.Version == "(devel)" {
			return setting.Value[:min(12, len(setting.Value))]
		}
	}
	return info.Main.Version
}
