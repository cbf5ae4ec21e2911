package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver"
)

// localOperator is who somebody on this machine is without a login.
const localOperator = "operator"

// serve serves until ctx ends, and then lets what is under way end.
func serve(ctx context.Context, c *config, stdout io.Writer, log *slog.Logger) (err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	defer listener.Close()
	if err := c.reachable(listener.Addr()); err != nil {
		return err
	}
	scheme := "http"
	var certs *certificates
	if c.tlsCert != "" {
		scheme = "https"
		if certs, err = loadCertificates(c.tlsCert, c.tlsKey, log); err != nil {
			return err
		}
	}
	address := cmp.Or(c.publicURL, scheme+"://"+listener.Addr().String())

	o, release, err := c.options(address, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	server, err := refserver.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()

	// What goes on in the background goes on until the last request is answered.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- server.Run(background) }()
	h := newHTTP(server, log)
	served := make(chan error, 1)
	go func() {
		if certs == nil {
			served <- h.Serve(listener)
			return
		}
		h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certs.get}
		served <- h.ServeTLS(listener, "", "")
	}()
	if c.demo {
		if err := showOff(ctx, server); err != nil {
			err = errors.Join(err, h.Close())
			stop()
			return errors.Join(err, <-ran)
		}
	}
	fmt.Fprintf(stdout, "Open %s%s/\n", address, c.basePath)
	if !c.login() {
		fmt.Fprintln(stdout, "Whoever is on this machine is the operator; for others, see refserver -help.")
	}
	log.Info("started", "version", version(), "address", listener.Addr().String(), "url", address+c.basePath+"/")

	select {
	case <-ctx.Done():
		log.Info("ending", "within", c.shutdown)
		err = shut(server, h, c.shutdown)
		<-served
		stop()
		err = errors.Join(err, <-ran) // operations that are not over are left to the other replicas, or the next start
	case err = <-served:
		stop()
		err = errors.Join(err, <-ran)
	case err = <-ran:
		err = errors.Join(err, h.Close())
		<-served
	}
	log.Info("ended")
	return err
}

// shut lets requests end: streams do at once, the others within a time.
func shut(server *refserver.Server, h *http.Server, within time.Duration) error {
	server.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := h.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return h.Close()
}

// newHTTP is the server around the handler: nobody keeps a connection by
// sending, or reading, as slowly as they like.
func newHTTP(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: log.New(quiet{logger}, "", 0)}
}

// quiet are the words of net/http about clients, which are no errors of ours.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(line []byte) (int, error) {
	q.log.Debug("http", "message", string(line))
	return len(line), nil
}

// reachable refuses an address that others reach while there is no login.
func (c *config) reachable(addr net.Addr) error {
	at, err := netip.ParseAddrPort(addr.String())
	if c.login() || err == nil && at.Addr().Unmap().IsLoopback() {
		return nil
	}
	return fmt.Errorf("%w: without a login the server listens to this machine only, and %s is reached by others.\n"+
		"Say how people log in: -tokens (make one with: refserver token -subject you), -oidc-issuer, or -trusted-header behind a portal;\n"+
		"or give an -addr like 127.0.0.1:8080", appspan.ErrDenied, addr)
}

// options are those of the server. What release gives back is what they opened.
func (c *config) options(address string, log *slog.Logger) (_ *refserver.Options, release func() error, err error) {
	o := &refserver.Options{Operators: c.operators, OperatorGroups: c.operatorGroups, Installation: c.installation}
	o.BasePath, o.FrameAncestors, o.AllowOrigins, o.Version, o.Logger = c.basePath, c.frameAncestors, c.allowOrigins, version(), log
	o.HubURL = cmp.Or(c.hubURL, address+c.basePath)
	if err := c.logins(o, address); err != nil {
		return nil, nil, err
	}
	var closers []func() error
	release = func() error {
		var errs []error
		for _, f := range closers {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	if c.demo {
		if c.data, err = os.MkdirTemp("", "appspan-demo-"); err != nil {
			return nil, nil, err
		}
		clusters := demoClusters()
		o.Providers = clusters.providers()
		o.Apply.FailAfter = 5 * time.Second // nobody mends these clusters meanwhile
		closers = append(closers, clusters.close, func() error { return os.RemoveAll(c.data) })
	}
	records, keys, err := c.records()
	if err != nil {
		return nil, nil, errors.Join(err, release())
	}
	o.Records, o.Keys = records, keys
	closers = append([]func() error{records.Close}, closers...)
	return o, release, nil
}
