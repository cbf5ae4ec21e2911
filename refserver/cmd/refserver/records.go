package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/boltrecords"
	"github.com/appspan-dev/appspan/storage/kuberecords"
	"github.com/appspan-dev/appspan/storage/seal"
)

// records opens what is kept, and the keys that it is sealed with. The keys of a
// hub are given, those of a directory are made.
func (c *config) records() (*storage.Records, *seal.Keyring, error) {
	if c.hub != "" {
		return c.hubRecords()
	}
	if err := os.MkdirAll(c.data, 0o700); err != nil {
		return nil, nil, err
	}
	path := c.keys
	if path == "" {
		path = filepath.Join(c.data, "appspan.key")
	}
	keys, err := seal.OpenOrCreateKeyFile(path)
	if err != nil {
		return nil, nil, err
	}
	file, err := boltrecords.Open(filepath.Join(c.data, "appspan.db"), nil)
	if err != nil {
		return nil, nil, err
	}
	return storage.NewRecords(file, nil), keys, nil
}

func (c *config) hubRecords() (*storage.Records, *seal.Keyring, error) {
	var keys *seal.Keyring
	var err error
	if c.keys != "" { // a token needs none
		if keys, err = sharedKeys(c.keys); err != nil {
			return nil, nil, fmt.Errorf("-keys: %w", err)
		}
	}
	var hub *kube.Cluster
	if c.hub == "in-cluster" {
		hub, err = kube.InCluster(nil)
	} else {
		var kubeconfig []byte
		if kubeconfig, err = os.ReadFile(c.hub); err == nil {
			hub, err = kube.FromKubeconfig(kubeconfig, c.hubContext, &kube.Options{AllowExec: true, AllowFiles: true})
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("-hub: %w", err)
	}
	d, err := kuberecords.NewRecords(hub, kuberecords.Options{Namespace: c.hubNamespace})
	if err != nil {
		return nil, nil, errors.Join(err, hub.Close())
	}
	return storage.NewRecords(d, nil), keys, nil
}

// sharedKeys reads the key file of all replicas. A Secret that is mounted into a
// pod may be read by the pod's group.
func sharedKeys(path string) (*seal.Keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s: %w: everybody may read it (%v); chmod 0600, or 0440 in a pod", path, appspan.ErrDenied, mode)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return seal.ParseKeyFile(data)
}
