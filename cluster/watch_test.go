package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/require"
)

// opening is one answer to Watch: a stream of steps, or an error.
type opening struct {
	steps []step
	err   error
}

// script is a driver that answers lists and watches in order; the last answer
// of each is given for ever.
type script struct {
	watchStub
	lists    []any // driver.Page or error
	openings []opening
	listed   int
	opened   int
	ended    int // streams that were stopped
	from     []string
}

func (s *script) driver() driver.Cluster {
	s.list = func(context.Context, driver.Query) (driver.Page, error) {
		answer := s.lists[min(s.listed, len(s.lists)-1)]
		s.listed++
		if err, failed := answer.(error); failed {
			return driver.Page{}, err
		}
		return answer.(driver.Page), nil
	}
	if s.openings == nil {
		return &s.stub
	}
	s.watch = func(ctx context.Context, q driver.Query) (driver.Watch, error) {
		o := s.openings[min(s.opened, len(s.openings)-1)]
		s.opened++
		s.from = append(s.from, q.Revision)
		if o.err != nil {
			return nil, o.err
		}
		return newStream(ctx, &s.ended, o.steps...), nil
	}
	return &s.watchStub
}

// told is an event as the tests compare it.
func told(e cluster.Event) string {
	switch e.Type {
	case cluster.Added, cluster.Modified, cluster.Deleted:
		return fmt.Sprintf("%s %s@%s", e.Type, e.Object.Name, e.Object.Revision)
	}
	return string(e.Type)
}

func TestWatchTellsEverything(t *testing.T) {
	t.Parallel()
	var (
		a1, a2, b1, b3, c4 = pod("a", "1"), pod("a", "2"), pod("b", "1"), pod("b", "3"), pod("c", "4")
		other              = driver.Object{Ref: a1.Ref, UID: "another", Revision: "5"}
		down               = appspan.MarkRetryable(fmt.Errorf("%w: connection reset", appspan.ErrUnavailable), 0)
		tooOld             = fmt.Errorf("%w: too old resource version", appspan.ErrPrecondition)
		at                 = func(revision string, items ...driver.Object) driver.Page {
			return driver.Page{Items: items, Revision: revision}
		}
		bookmark = func(revision string) step {
			return event(driver.Bookmark, driver.Object{Revision: revision})
		}
	)
	for name, test := range map[string]struct {
		script  script
		from    string
		want    string
		resumed []string // the revisions of the watches
		err     error
	}{
		"what there is, then the changes": {
			script: script{lists: []any{at("1", a1, b1)}, openings: []opening{{steps: []step{
				event(driver.Modified, a2), event(driver.Deleted, b3), event(driver.Added, c4)}}}},
			want: "added a@1, added b@1, synced, modified a@2, deleted b@3, added c@4", resumed: []string{"1"},
		},
		"a stream that ends in good order is resumed where it was": {
			script: script{lists: []any{at("1")}, openings: []opening{
				{steps: []step{event(driver.Added, a2), endOfStream}}, {steps: []step{event(driver.Added, b3), bookmark("8"), endOfStream}}, {}}},
			want: "synced, added a@2, added b@3", resumed: []string{"1", "2", "8"},
		},
		"a stream that breaks is resumed without a word": {
			script: script{lists: []any{at("1", a1)}, openings: []opening{{steps: []step{{err: down}}}, {steps: []step{event(driver.Modified, a2)}}}},
			want:   "added a@1, synced, modified a@2", resumed: []string{"1", "1"},
		},
		"a cluster that does not answer is stale, once, until it does": {
			script: script{lists: []any{at("1", a1)}, openings: []opening{{err: down}, {err: down}, {err: down}, {steps: []step{event(driver.Modified, a2)}}}},
			want:   "added a@1, synced, stale, synced, modified a@2", resumed: []string{"1", "1", "1", "1"},
		},
		"also while it lists": {
			script: script{lists: []any{appspan.ErrUnavailable, appspan.ErrUnavailable, at("1", a1)}, openings: []opening{{}}},
			want:   "stale, added a@1, synced", resumed: []string{"1"},
		},
		"a stream that is too old makes it list again and tell the difference": {
			script: script{lists: []any{at("1", a1, b1), at("7", a2, c4)}, openings: []opening{{steps: []step{{err: tooOld}}}, {}}},
			want:   "added a@1, added b@1, synced, modified a@2, added c@4, deleted b@1", resumed: []string{"1", "7"},
		},
		"so does a watch that cannot begin": {
			script: script{lists: []any{at("1", a1), at("7", a1)}, openings: []opening{{err: tooOld}, {}}},
			want:   "added a@1, synced", resumed: []string{"1", "7"},
		},
		"a watch from a revision lists nothing": {
			script: script{lists: []any{errors.New("unexpected list")}, openings: []opening{{steps: []step{event(driver.Modified, a2), event(driver.Added, c4)}}}},
			from:   "1", want: "synced, modified a@2, added c@4", resumed: []string{"1"},
		},
		"and begins afresh when that is too old": {
			script: script{lists: []any{at("7", a2)}, openings: []opening{{err: tooOld}, {}}},
			from:   "1", want: "reset, added a@2, synced", resumed: []string{"1", "7"},
		},
		"what the list had is not told again": {
			script: script{lists: []any{at("2", a2)}, openings: []opening{{steps: []step{event(driver.Modified, a2), event(driver.Deleted, a2)}}}},
			want:   "added a@2, synced, deleted a@2", resumed: []string{"2"},
		},
		"a driver that cannot watch is polled": {
			script: script{lists: []any{at("1", a1, b1), at("2", a2, b1), appspan.ErrUnavailable, appspan.ErrUnavailable, at("3", a2)}},
			want:   "added a@1, added b@1, synced, modified a@2, stale, deleted b@1, synced",
		},
		"what has been replaced while nobody looked is deleted first": {
			script: script{lists: []any{at("1", a1, b1), at("7", other)}, openings: []opening{{steps: []step{{err: tooOld}}}, {steps: []step{event(driver.Deleted, a1), event(driver.Deleted, other)}}}},
			want:   "added a@1, added b@1, synced, deleted a@1, added a@5, deleted b@1, deleted a@5", resumed: []string{"1", "7"},
		},
		"a list that cannot be read is an outage": {
			script: script{lists: []any{fmt.Errorf("%w: <html>", appspan.ErrCorrupt), at("1", a1)}, openings: []opening{{}}},
			want:   "stale, added a@1, synced", resumed: []string{"1"},
		},
		"streams that end without a word do not hide what happens": {
			script: script{lists: []any{at("1", a1), at("7", a2)}, openings: []opening{{steps: []step{endOfStream}}, {steps: []step{endOfStream}}, {steps: []step{endOfStream}}, {}}},
			want:   "added a@1, synced, modified a@2", resumed: []string{"1", "1", "1", "7"},
		},
		"a denied list ends it": {
			script: script{lists: []any{appspan.ErrDenied}, openings: []opening{{}}}, err: appspan.ErrDenied,
		},
		"a denied watch ends it": {
			script: script{lists: []any{at("1", a1)}, openings: []opening{{err: appspan.ErrDenied}}},
			want:   "added a@1, synced", resumed: []string{"1"}, err: appspan.ErrDenied,
		},
		"a kind that is not served any more ends it": {
			script: script{lists: []any{at("1")}, openings: []opening{{steps: []step{{err: appspan.ErrUnsupported}}}}},
			want:   "synced", resumed: []string{"1"}, err: appspan.ErrUnsupported,
		},
		"a closed cluster ends it": {
			script: script{lists: []any{at("1")}, openings: []opening{{err: driver.ErrClosed}}},
			want:   "synced", resumed: []string{"1"}, err: appspan.ErrUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := test.script
				c := cluster.New("eu-1", s.driver(), nil)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				q := pods
				q.Revision = test.from
				var events []string
				var failure error
				for e, err := range c.Watch(ctx, q) {
					require.NoError(t, failure, "an error comes last")
					if failure = err; err == nil {
						events = append(events, told(e))
					}
				}
				require.Equal(t, test.want, strings.Join(events, ", "))
				if test.resumed != nil {
					require.Equal(t, test.resumed, s.from[:len(test.resumed)])
				}
				require.ErrorContains(t, failure, "watch eu-1 Pod in shop: ")
				if test.err == nil {
					test.err = context.DeadlineExceeded
				}
				require.ErrorIs(t, failure, test.err)
			})
		})
	}
}

func TestLeavingTheLoopEndsTheWatch(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]int{"in the list": 1, "at synced": 3, "in the stream": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := script{
					lists:    []any{driver.Page{Items: []driver.Object{pod("a", "1"), pod("b", "1")}, Revision: "1"}},
					openings: []opening{{steps: []step{event(driver.Added, pod("c", "2"))}}},
				}
				c := cluster.New("eu-1", s.driver(), nil)
				seq, n := c.Watch(t.Context(), pods), 0
				for _, err := range seq {
					require.NoError(t, err)
					if n++; n == at {
						break
					}
				}
				require.Equal(t, at, n)
				require.Equal(t, s.opened, s.ended, "every stream is stopped")
				for _, err := range seq {
					require.ErrorIs(t, err, appspan.ErrInvalid, "it is read once")
				}
			})
		})
	}
}

func TestADeadClusterIsTriedEverMoreSlowly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := script{lists: []any{driver.Page{Revision: "1"}}, openings: []opening{{err: appspan.ErrUnavailable}}}
		c := cluster.New("eu-1", s.driver(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begun := time.Now()
		for e, err := range c.Watch(ctx, pods) {
			if err == nil && e.Type == cluster.Stale {
				require.Equal(t, begun, e.Since)
				require.ErrorIs(t, e.Cause, appspan.ErrUnavailable)
			}
		}
		require.Greater(t, s.opened, 120, "every half minute at least")
		require.Less(t, s.opened, 260, "not more often than every quarter")
	})
}

func TestAStreamThatEndsAtOnceIsNotHammered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := script{lists: []any{driver.Page{Revision: "1"}}, openings: []opening{{steps: []step{endOfStream}}}}
		c := cluster.New("eu-1", s.driver(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for range c.Watch(ctx, pods) {
		}
		require.Less(t, s.opened, 260)
	})
}

func TestAKindWithoutRevisionsIsPolled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := script{lists: []any{driver.Page{}}, openings: []opening{{}}}
		c := cluster.New("eu-1", s.driver(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for range c.Watch(ctx, pods) {
		}
		require.Zero(t, s.opened)
		require.Greater(t, s.listed, 300)
		require.Less(t, s.listed, 400)
	})
}

func TestAWatchThatDoesNotOpenIsStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := script{lists: []any{driver.Page{Revision: "1"}}, openings: []opening{{}}}
		d := s.driver().(*watchStub)
		d.watch = func(ctx context.Context, _ driver.Query) (driver.Watch, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		begun := time.Now()
		for e, err := range cluster.New("eu-1", d, &cluster.Options{Timeout: 9 * time.Second}).Watch(t.Context(), pods) {
			require.NoError(t, err)
			if e.Type == cluster.Stale {
				require.EqualError(t, e.Cause, "unavailable: no answer within 9s")
				break
			}
		}
		require.Equal(t, 9*time.Second, time.Since(begun))
	})
}
