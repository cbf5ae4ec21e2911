package rig

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

func start(ctx context.Context, bin *Binaries, opts Options) (_ *ControlPlane, err error) {
	dir, release, err := newDir(os.TempDir(), opts.Name)
	if err != nil {
		return nil, err
	}
	c := &ControlPlane{name: opts.Name, dir: dir, release: release, launcher: newLauncher()}
	defer func() {
		if err != nil {
			_ = c.Stop()
		}
	}()
	logs := opts.LogDir
	if logs == "" {
		logs = filepath.Join(dir, "logs")
	}
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := writeCredentials(dir); err != nil {
		return nil, err
	}
	token := rand.Text()
	if err := os.WriteFile(file("tokens.csv"), []byte(token+",admin,admin,system:masters\n"), 0o600); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	etcd, peer, server := "http://"+ports[0], "http://"+ports[1], ports[2]
	_, port, _ := net.SplitHostPort(server)
	ca, err := os.ReadFile(file("ca.crt"))
	if err != nil {
		return nil, err
	}
	c.config = &rest.Config{
		Host: "https://" + server, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: ca},
		QPS: -1, UserAgent: "appspan-rig",
	}
	c.kubeconfig = file("kubeconfig")
	if err := writeFile(c.kubeconfig, func(w io.Writer) error { return WriteKubeconfig(w, c) }); err != nil {
		return nil, err
	}

	if _, err := c.run(bin, logs, "etcd",
		"--name=rig", "--data-dir="+file("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=rig="+peer,
	); err != nil {
		return nil, err
	}
	flags := []string{
		"--etcd-servers=" + etcd, "--bind-address=127.0.0.1", "--secure-port=" + port,
		// Nobody reaches the API server through the Service "kubernetes": no address of this machine is published.
		"--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none",
		"--cert-dir=" + file("certs"), "--tls-cert-file=" + file("tls.crt"), "--tls-private-key-file=" + file("tls.key"),
		"--token-auth-file=" + file("tokens.csv"), "--authorization-mode=RBAC", "--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + file("sa.key"), "--service-account-signing-key-file=" + file("sa.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
	}
	if opts.Profile == Bare {
		// Without a controller that makes service accounts, no pod would be admitted.
		flags = append(flags, "--disable-admission-plugins=ServiceAccount")
	}
	if c.apiserver, err = c.run(bin, logs, "kube-apiserver", append(flags, opts.APIServerFlags...)...); err != nil {
		return nil, err
	}
	clients, err := newClients(c.config)
	if err != nil {
		return nil, err
	}
	if opts.Profile == Bare {
		return c, c.until(ctx, "the API server", clients.ready)
	}

	stages, err := writeStages(bin.stages, dir)
	if err != nil {
		return nil, err
	}
	if err := c.until(ctx, "the API server to live", clients.alive); err != nil {
		return nil, err
	}
	if _, err := c.run(bin, logs, "kube-controller-manager", append([]string{
		"--kubeconfig=" + c.kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--service-account-private-key-file=" + file("sa.key"), "--root-ca-file=" + file("ca.crt"),
		// The defaults, 20 and 30, make a test of a thousand objects wait for minutes.
		"--kube-api-qps=200", "--kube-api-burst=400",
	}, opts.ControllerFlags...)...); err != nil {
		return nil, err
	}
	if _, err := c.run(bin, logs, "kube-scheduler",
		"--kubeconfig="+c.kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--kube-api-qps=200", "--kube-api-burst=400",
	); err != nil {
		return nil, err
	}
	if err := c.until(ctx, "the API server", clients.ready); err != nil {
		return nil, err
	}
	if err := c.until(ctx, "nodes and classes to be accepted", func(ctx context.Context) error {
		return clients.seed(ctx, opts.Nodes)
	}); err != nil {
		return nil, err
	}
	if _, err := c.run(bin, logs, "kwok",
		"--kubeconfig="+c.kubeconfig, "--config="+stages, "--manage-all-nodes=true", "--node-lease-duration-seconds=40",
		"--node-ip=127.0.0.1",
	); err != nil {
		return nil, err
	}
	c.provision = startProvisioner(clients)
	if err := c.until(ctx, "the nodes and the controllers", func(ctx context.Context) error {
		return clients.settled(ctx, opts.Nodes)
	}); err != nil {
		return nil, err
	}
	return c, nil
}

// freePorts returns n loopback addresses that nobody listened on a moment ago, all different.
func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().String())
	}
	return ports, nil
}

func kubeconfig(all ...*ControlPlane) ([]byte, error) {
	config := api.NewConfig()
	for _, c := range all {
		config.Clusters[c.name] = &api.Cluster{Server: c.config.Host, CertificateAuthorityData: c.config.CAData}
		config.AuthInfos[c.name] = &api.AuthInfo{Token: c.config.BearerToken}
		config.Contexts[c.name] = &api.Context{Cluster: c.name, AuthInfo: c.name}
		if config.CurrentContext == "" {
			config.CurrentContext = c.name
		}
	}
	return clientcmd.Write(*config)
}

const requestTimeout = 10 * time.Second
