package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Info implements driver.Cluster. Its parts are read at the same time; those
// that the credentials may not see, or the cluster does not have, are empty.
func (c *Cluster) Info(ctx context.Context) (driver.Info, error) {
	var info driver.Info
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	run := func(read func(context.Context) error) {
		all.Go(func() {
			if err := read(ctx); err != nil {
				cancel(err) // the first one counts
			}
		})
	}
	run(func(ctx context.Context) (err error) { info.UID, err = c.uid(ctx); return err })
	run(func(ctx context.Context) (err error) { info.Version, err = c.serverVersion(ctx); return err })
	run(func(ctx context.Context) (err error) {
		served := driver.Info{}
		if served.Kinds, err = c.discover(ctx); err != nil {
			return err
		}
		info.Kinds = served.Kinds
		for _, version := range []string{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"} {
			if served.Has(version, "Gateway") {
				info.Gateways, err = read(ctx, c, version, "Gateway", gateway)
				return err
			}
		}
		return nil
	})
	run(func(ctx context.Context) (err error) {
		info.StorageClasses, err = read(ctx, c, "storage.k8s.io/v1", "StorageClass", storageClass)
		return err
	})
	run(func(ctx context.Context) (err error) {
		info.IngressClasses, err = read(ctx, c, "networking.k8s.io/v1", "IngressClass", ingressClass)
		return err
	})
	run(func(ctx context.Context) (err error) {
		info.Nodes, err = read(ctx, c, "v1", "Node", node)
		return err
	})
	all.Wait()
	if ctx.Err() != nil {
		return driver.Info{}, context.Cause(ctx)
	}
	return info, nil
}

// uid is the cluster's identity, see the package comment.
func (c *Cluster) uid(ctx context.Context) (string, error) {
	data, err := c.do(ctx, request{method: http.MethodGet, path: "/api/v1/namespaces/kube-system", accept: acceptMeta, safe: true})
	switch {
	case errors.Is(err, appspan.ErrDenied):
		h := sha256.New()
		h.Write([]byte(c.base + "\n"))
		h.Write(c.config.CAData)
		return "host:" + hex.EncodeToString(h.Sum(nil)[:16]), nil
	case errors.Is(err, appspan.ErrNotFound): // the server makes it when it starts
		return "", appspan.MarkRetryable(fmt.Errorf("%w: the cluster has no namespace kube-system yet", appspan.ErrUnavailable), 0)
	case err != nil:
		return "", err
	}
	obj, err := parse(data, "v1", "Namespace", driver.Metadata)
	return obj.UID, err
}

func (c *Cluster) serverVersion(ctx context.Context) (string, error) {
	data, err := c.do(ctx, request{method: http.MethodGet, path: "/version", safe: true})
	if err != nil {
		return "", err
	}
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return "", corrupt("version", err)
	}
	return v.GitVersion, nil
}

// read reads a shape from each object of a kind; what may not be seen, or is
// not there, is empty.
func read[T any](ctx context.Context, c *Cluster, apiVersion, kind string, shape func(driver.Object) (T, error)) ([]T, error) {
	shapes, err := all(ctx, c, driver.Query{APIVersion: apiVersion, Kind: kind, Projection: driver.Trimmed}, shape)
	switch {
	case errors.Is(err, appspan.ErrDenied), errors.Is(err, appspan.ErrUnsupported):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return shapes, nil
}

const maxShapes = 100_000 // objects of one kind; no cluster has so many nodes

// all reads a shape from each object of a query, page after page.
func all[T any](ctx context.Context, c *Cluster, q driver.Query, shape func(driver.Object) (T, error)) ([]T, error) {
	var shapes []T
	for {
		page, err := c.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, obj := range page.Items {
			s, err := shape(obj)
			if err != nil {
				return nil, corrupt(obj.Ref.String(), err)
			}
			shapes = append(shapes, s)
		}
		switch {
		case page.Continue == "":
			return shapes, nil
		case page.Continue == q.Continue:
			return nil, fmt.Errorf("%w: the server repeats a continue token", appspan.ErrUnavailable)
		case len(shapes) > maxShapes:
			return nil, fmt.Errorf("%w: there are more than %d", appspan.ErrExhausted, maxShapes)
		}
		q.Continue = page.Continue
	}
}

type annotated struct {
	Annotations map[string]string `json:"annotations"`
}

func storageClass(obj driver.Object) (driver.StorageClass, error) {
	var o struct {
		Metadata             annotated `json:"metadata"`
		Provisioner          string    `json:"provisioner"`
		AllowVolumeExpansion bool      `json:"allowVolumeExpansion"`
		VolumeBindingMode    string    `json:"volumeBindingMode"`
		ReclaimPolicy        string    `json:"reclaimPolicy"`
	}
	err := json.Unmarshal(obj.JSON, &o)
	return driver.StorageClass{
		Name: obj.Name, Provisioner: o.Provisioner, ReclaimPolicy: o.ReclaimPolicy,
		Default:         o.Metadata.Annotations["storageclass.kubernetes.io/is-default-class"] == "true",
		AllowExpansion:  o.AllowVolumeExpansion,
		WaitForConsumer: o.VolumeBindingMode == "WaitForFirstConsumer",
	}, err
}

func ingressClass(obj driver.Object) (driver.IngressClass, error) {
	var o struct {
		Metadata annotated `json:"metadata"`
		Spec     struct {
			Controller string `json:"controller"`
		} `json:"spec"`
	}
	err := json.Unmarshal(obj.JSON, &o)
	return driver.IngressClass{
		Name: obj.Name, Controller: o.Spec.Controller,
		Default: o.Metadata.Annotations["ingressclass.kubernetes.io/is-default-class"] == "true",
	}, err
}

func gateway(obj driver.Object) (driver.Gateway, error) {
	var o struct {
		Spec struct {
			Listeners []driver.Listener `json:"listeners"`
		} `json:"spec"`
	}
	err := json.Unmarshal(obj.JSON, &o)
	return driver.Gateway{Namespace: obj.Namespace, Name: obj.Name, Listeners: o.Spec.Listeners}, err
}

func node(obj driver.Object) (driver.Node, error) {
	var o struct {
		Spec struct {
			Unschedulable bool `json:"unschedulable"`
		} `json:"spec"`
		Status struct {
			Allocatable map[string]string `json:"allocatable"`
			NodeInfo    struct {
				Architecture string `json:"architecture"`
			} `json:"nodeInfo"`
			Conditions []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
			} `json:"conditions"`
		} `json:"status"`
	}
	err := json.Unmarshal(obj.JSON, &o)
	n := driver.Node{
		Name: obj.Name, Labels: obj.Labels, Architecture: o.Status.NodeInfo.Architecture,
		Allocatable: o.Status.Allocatable, Unschedulable: o.Spec.Unschedulable,
	}
	for _, condition := range o.Status.Conditions {
		n.Ready = n.Ready || condition.Type == "Ready" && condition.Status == "True"
	}
	return n, err
}
