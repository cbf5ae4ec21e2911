package cluster_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// slowRecords are records whose reads can be overtaken.
type slowRecords struct {
	driver.Records
	read func() // runs once, between a read and its answer
}

func (s *slowRecords) Get(ctx context.Context, key string) (driver.Record, error) {
	rec, err := s.Records.Get(ctx, key)
	if read := s.read; read != nil && strings.HasPrefix(key, "clusters/") {
		s.read = nil
		read()
	}
	return rec, err
}

func TestAReadThatAChangeOvertakesChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPark(t, "eu-1")
	defer p.close(t)
	slow := &slowRecords{Records: memstore.NewRecords()}
	p.records = storage.NewRecords(slow, nil)
	f := p.fleet(t)
	defer f.Close()
	_, err := f.Add(t.Context(), of("eu-1"), nil)
	require.NoError(t, err)

	slow.read = func() {
		require.NoError(t, f.Change(t.Context(), "eu-1", func(r *cluster.Registration) error { r.Labels["tier"] = "gold"; return nil }))
	}
	c, err := f.Cluster(t.Context(), "eu-1")
	require.NoError(t, err)
	require.Nil(t, slow.read, "it was overtaken")
	require.Equal(t, "gold", c.Labels()["tier"])

	slow.read = func() {
		require.NoError(t, f.Remove(t.Context(), "eu-1", &cluster.RemoveOptions{Force: true}))
		_, err := f.Status(t.Context(), "eu-1")
		require.ErrorIs(t, err, appspan.ErrNotFound)
	}
	_, err = f.Cluster(t.Context(), "eu-1")
	require.ErrorIs(t, err, appspan.ErrNotFound)
}
