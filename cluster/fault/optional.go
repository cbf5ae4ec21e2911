package fault

import (
	"context"
	"encoding/json"
	"io"

	"github.com/appspan-dev/appspan/cluster/driver"
)

var (
	_ driver.Watcher       = (*Cluster)(nil)
	_ driver.Subresourcer  = (*Cluster)(nil)
	_ driver.Impersonator  = (*Cluster)(nil)
	_ driver.UsageReader   = (*Cluster)(nil)
	_ driver.LogStreamer   = (*Cluster)(nil)
	_ driver.Execer        = (*Cluster)(nil)
	_ driver.PortForwarder = (*Cluster)(nil)
)

// optional runs an operation of an optional interface.
func optional[I, T any](ctx context.Context, c *Cluster, t target, run func(I) (T, error), lie func(Lie, T) T) (T, error) {
	d, err := inside[I](c)
	if err != nil {
		var none T
		return none, err
	}
	return call(ctx, c, t, func() (T, error) { return run(d) }, lie)
}

// GetSub implements driver.Subresourcer.
func (c *Cluster) GetSub(ctx context.Context, ref driver.Ref, sub string) (json.RawMessage, error) {
	return optional(ctx, c, target{GetSub, ref}, func(d driver.Subresourcer) (json.RawMessage, error) { return d.GetSub(ctx, ref, sub) }, lieJSON)
}

// UpdateSub implements driver.Subresourcer.
func (c *Cluster) UpdateSub(ctx context.Context, ref driver.Ref, sub string, patch json.RawMessage) (json.RawMessage, error) {
	return optional(ctx, c, target{UpdateSub, ref}, func(d driver.Subresourcer) (json.RawMessage, error) {
		return d.UpdateSub(ctx, ref, sub, patch)
	}, lieJSON)
}

// CreateSub implements driver.Subresourcer.
func (c *Cluster) CreateSub(ctx context.Context, ref driver.Ref, sub string, body json.RawMessage) (json.RawMessage, error) {
	return optional(ctx, c, target{CreateSub, ref}, func(d driver.Subresourcer) (json.RawMessage, error) {
		return d.CreateSub(ctx, ref, sub, body)
	}, lieJSON)
}

// Usage implements driver.UsageReader.
func (c *Cluster) Usage(ctx context.Context) ([]driver.Usage, error) {
	return optional(ctx, c, target{op: Usage}, func(d driver.UsageReader) ([]driver.Usage, error) { return d.Usage(ctx) }, nil)
}

// Logs implements driver.LogStreamer; rules strike its opening.
func (c *Cluster) Logs(ctx context.Context, pod driver.Ref, opts driver.LogOptions) (io.ReadCloser, error) {
	return optional(ctx, c, target{Logs, pod}, func(d driver.LogStreamer) (io.ReadCloser, error) { return d.Logs(ctx, pod, opts) }, nil)
}

// Exec implements driver.Execer.
func (c *Cluster) Exec(ctx context.Context, pod driver.Ref, opts driver.ExecOptions) error {
	_, err := optional(ctx, c, target{Exec, pod}, func(d driver.Execer) (struct{}, error) { return struct{}{}, d.Exec(ctx, pod, opts) }, nil)
	return err
}

// Forward implements driver.PortForwarder; rules strike its opening.
func (c *Cluster) Forward(ctx context.Context, pod driver.Ref, port int) (io.ReadWriteCloser, error) {
	return optional(ctx, c, target{Forward, pod}, func(d driver.PortForwarder) (io.ReadWriteCloser, error) { return d.Forward(ctx, pod, port) }, nil)
}
