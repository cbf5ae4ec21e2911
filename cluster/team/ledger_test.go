package team_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/team"
)

func documents(text string) []string { return strings.Split(text, "\n---\n") }

func TestOfFiftyThatAskForOneCPUTenGetIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	other := team.NewLedger(w.records) // another process on the same records
	var got atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		ledger := w.Ledger()
		if i%2 == 0 {
			ledger = other
		}
		wg.Go(func() {
			errs[i] = ledger.Reserve(t.Context(), "blue", fmt.Sprintf("app-%d", i), string("abc"[i%3]), cluster.Amounts{"cpu": "1"})
			if errs[i] == nil {
				got.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 10, got.Load())
	for _, err := range errs {
		if err == nil {
			continue
		}
		require.ErrorIs(t, err, appspan.ErrExhausted)
		var quota *team.QuotaError
		require.ErrorAs(t, err, &quota)
		require.Equal(t, team.QuotaError{Team: "blue", Resource: "cpu", Quota: "10", Free: "0", Asked: "1"}, *quota)
		require.ErrorContains(t, err, "the quota of cpu over all clusters is 10, of which 0 is free, and 1 is asked for")
	}
	held, err := w.Ledger().Reservations(t.Context(), "blue")
	require.NoError(t, err)
	require.Len(t, held, 10)

	r := held[0] // an update at the limit that asks for no more goes on, twice too
	for range 2 {
		require.NoError(t, other.Reserve(t.Context(), "blue", r.Application, r.Cluster, cluster.Amounts{"cpu": "1"}))
	}
	require.ErrorIs(t, other.Reserve(t.Context(), "blue", r.Application, r.Cluster, cluster.Amounts{"cpu": "2"}), appspan.ErrExhausted)

	for _, r := range held {
		require.NoError(t, other.Release(t.Context(), "blue", r.Application, r.Cluster))
	}
	usage, err := w.Usage(t.Context(), "blue")
	require.NoError(t, err)
	require.Equal(t, cluster.Amounts{"cpu": "10"}, usage.Free)
	_, err = w.records.Get(t.Context(), "team-quota/blue")
	require.ErrorIs(t, err, appspan.ErrNotFound)
}

func TestReservations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(*testing.T, *team.Ledger)
		want map[string]string // CPU by application
	}{
		{"a change holds the greater of both its sides", func(t *testing.T, l *team.Ledger) {
			reserve(t, l, "x", "4")
			reserve(t, l, "x", "2")
		}, map[string]string{"x": "4"}},
		{"settling frees what the change held beside", func(t *testing.T, l *team.Ledger) {
			reserve(t, l, "x", "4")
			reserve(t, l, "x", "2")
			require.NoError(t, l.Settle(t.Context(), "blue", "x", "a", cluster.Amounts{"cpu": "2"}))
		}, map[string]string{"x": "2"}},
		{"settling raises nothing", func(t *testing.T, l *team.Ledger) {
			reserve(t, l, "x", "4")
			require.NoError(t, l.Settle(t.Context(), "blue", "x", "a", cluster.Amounts{"cpu": "7"}))
			require.NoError(t, l.Settle(t.Context(), "blue", "y", "a", cluster.Amounts{"cpu": "7"}))
		}, map[string]string{"x": "4"}},
		{"the cluster's own quota holds too", func(t *testing.T, l *team.Ledger) {
			reserve(t, l, "x", "8")
			err := l.Reserve(t.Context(), "blue", "y", "a", cluster.Amounts{"cpu": "1"})
			require.ErrorIs(t, err, appspan.ErrExhausted)
			require.ErrorContains(t, err, "on cluster a is 8, of which 0 is free")
		}, map[string]string{"x": "8"}},
		{"releasing twice is fine", func(t *testing.T, l *team.Ledger) {
			reserve(t, l, "x", "1")
			require.NoError(t, l.Release(t.Context(), "blue", "x", "a"))
			require.NoError(t, l.Release(t.Context(), "blue", "x", "a"))
		}, map[string]string{}},
		{"a team has nothing where nothing is allocated", func(t *testing.T, l *team.Ledger) {
			require.ErrorIs(t, l.Reserve(t.Context(), "blue", "x", "z", nil), appspan.ErrDenied)
			require.ErrorIs(t, l.Reserve(t.Context(), "red", "x", "a", nil), appspan.ErrNotFound)
			require.ErrorIs(t, l.Reserve(t.Context(), "blue", "x", "a", cluster.Amounts{"cpu": "-1"}), appspan.ErrInvalid)
		}, map[string]string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.create(blue())
			c.do(t, w.Ledger())
			held, err := w.Ledger().Reservations(t.Context(), "blue")
			require.NoError(t, err)
			got := map[string]string{}
			for _, r := range held {
				got[r.Application] = r.Amounts["cpu"]
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestWhatIsLessIsAdmittedAlsoAboveALoweredQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	reserve(t, w.Ledger(), "x", "8")
	_, err := w.Update(t.Context(), "blue", func(tm *team.Team) error { tm.Quota["cpu"] = "2"; return nil })
	require.NoError(t, err)
	reserve(t, w.Ledger(), "x", "8")
	reserve(t, w.Ledger(), "x", "6")
	require.ErrorIs(t, w.Ledger().Reserve(t.Context(), "blue", "y", "b", cluster.Amounts{"cpu": "1"}), appspan.ErrExhausted)
}

func TestReclaimFreesWhatDeadProcessesLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.create(blue())
		l := w.Ledger()
		reserve(t, l, "gone", "1")
		reserve(t, l, "shrunk", "3")
		reserve(t, l, "runs", "2")
		require.NoError(t, l.Settle(t.Context(), "blue", "runs", "a", cluster.Amounts{"cpu": "2"}))
		require.NoError(t, l.Reserve(t.Context(), "blue", "unknown", "b", cluster.Amounts{"cpu": "1"}))
		time.Sleep(16 * time.Minute)
		reserve(t, l, "young", "1")
		running := running{"a": {"shrunk": {"cpu": "1"}, "runs": nil}}
		freed, err := l.Reclaim(t.Context(), "blue", running, nil)
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.ErrorContains(t, err, "on b")
		require.Len(t, freed, 2)
		held, err := l.Reservations(t.Context(), "blue")
		require.NoError(t, err)
		got := map[string]string{}
		for _, r := range held {
			got[r.Application] = r.Amounts["cpu"]
		}
		require.Equal(t, map[string]string{"shrunk": "1", "runs": "2", "unknown": "1", "young": "1"}, got)
	})
}

type running map[string]map[string]cluster.Amounts

func (r running) Running(_ context.Context, _, name string) (map[string]cluster.Amounts, error) {
	if found, ok := r[name]; ok {
		return found, nil
	}
	return nil, errors.Join(appspan.ErrUnavailable, errors.New("no answer"))
}

func reserve(t *testing.T, l *team.Ledger, application, cpu string) {
	t.Helper()
	require.NoError(t, l.Reserve(t.Context(), "blue", application, "a", cluster.Amounts{"cpu": cpu}))
}
