package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/require"
)

// busy is what a server says that asks to come again.
func busy(after time.Duration) error {
	return appspan.MarkRetryable(fmt.Errorf("%w: busy", appspan.ErrUnavailable), after)
}

func TestCallsAreRepeatedWhileThatMayHelp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers []error
		opts    cluster.Options
		calls   int
		want    error
		atLeast time.Duration
		atMost  time.Duration
	}{
		"a success is not repeated":          {[]error{nil}, cluster.Options{}, 1, nil, 0, 0},
		"a refusal is not repeated":          {[]error{appspan.ErrDenied}, cluster.Options{}, 1, appspan.ErrDenied, 0, 0},
		"an unmarked failure is not":         {[]error{appspan.ErrUnavailable}, cluster.Options{}, 1, appspan.ErrUnavailable, 0, 0},
		"a busy server is asked again":       {[]error{busy(0), busy(0), nil}, cluster.Options{}, 3, nil, 150 * time.Millisecond, 300 * time.Millisecond},
		"four times by default":              {[]error{busy(0)}, cluster.Options{}, 4, appspan.ErrUnavailable, 350 * time.Millisecond, 700 * time.Millisecond},
		"as often as the options say":        {[]error{busy(0)}, cluster.Options{Attempts: 2}, 2, appspan.ErrUnavailable, 50 * time.Millisecond, 100 * time.Millisecond},
		"not before the server asked for":    {[]error{busy(3 * time.Second), nil}, cluster.Options{}, 2, nil, 3 * time.Second, 3050 * time.Millisecond},
		"not at all if that would be late":   {[]error{busy(time.Minute)}, cluster.Options{}, 1, appspan.ErrUnavailable, 0, 0},
		"the time limit is for all of them":  {[]error{busy(4 * time.Second)}, cluster.Options{Timeout: 10 * time.Second}, 3, appspan.ErrUnavailable, 8 * time.Second, 9 * time.Second},
		"the wait between grows to a bound":  {[]error{busy(0)}, cluster.Options{Attempts: 12, Timeout: time.Hour}, 12, appspan.ErrUnavailable, 18 * time.Second, 37 * time.Second},
		"an answer after all ends the tries": {[]error{busy(0), appspan.ErrNotFound}, cluster.Options{}, 2, appspan.ErrNotFound, 50 * time.Millisecond, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				c := cluster.New("eu-1", &stub{get: func(context.Context, driver.Ref) (driver.Object, error) {
					err := test.answers[min(calls, len(test.answers)-1)]
					calls++
					return pod("web", "1"), err
				}}, &test.opts)
				begun := time.Now()
				obj, err := c.Get(t.Context(), pod("web", "1").Ref)
				require.Equal(t, test.calls, calls)
				require.GreaterOrEqual(t, time.Since(begun), test.atLeast)
				require.LessOrEqual(t, time.Since(begun), test.atMost)
				if test.want == nil {
					require.NoError(t, err)
					require.Equal(t, pod("web", "1"), obj)
					return
				}
				require.ErrorIs(t, err, test.want)
				var where *cluster.Error
				require.ErrorAs(t, err, &where)
				require.Equal(t, cluster.Error{Op: "get", Cluster: "eu-1", Ref: pod("web", "").Ref, Err: where.Err}, *where)
			})
		})
	}
}

func TestAnAnswerThatDoesNotComeIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("send: %w", ctx.Err()) }
		c := cluster.New("eu-1", &stub{
			get: func(ctx context.Context, _ driver.Ref) (driver.Object, error) { return driver.Object{}, hang(ctx) },
			apply: func(ctx context.Context, _ driver.Object, _ driver.ApplyOptions) (driver.Object, error) {
				return driver.Object{}, hang(ctx)
			},
		}, &cluster.Options{Timeout: 7 * time.Second})
		begun := time.Now()
		_, err := c.Get(t.Context(), pod("web", "").Ref)
		require.Equal(t, 7*time.Second, time.Since(begun))
		require.EqualError(t, err, "get eu-1 Pod shop/web: unavailable: no answer within 7s")
		require.True(t, appspan.Retryable(err), "a read may be repeated")
		require.ErrorIs(t, c.LastError(), appspan.ErrUnavailable)

		for name, write := range map[string]struct {
			opts       driver.ApplyOptions
			repeatable bool
		}{
			"an apply can be repeated":                  {driver.ApplyOptions{Manager: "m"}, true},
			"a create cannot":                           {driver.ApplyOptions{Manager: "m", IfAbsent: true}, false},
			"nor can a write onto a revision":           {driver.ApplyOptions{Manager: "m", IfRevision: "1"}, false},
			"a write onto a UID can, it stays the same": {driver.ApplyOptions{Manager: "m", IfUID: "u"}, true},
		} {
			_, err := c.Apply(t.Context(), pod("web", ""), write.opts)
			require.ErrorIs(t, err, appspan.ErrUnavailable, name)
			require.Equal(t, write.repeatable, appspan.Retryable(err), name)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("enough")) })
		_, err = c.Get(ctx, pod("web", "").Ref)
		require.ErrorIs(t, err, context.Canceled, "the caller's context is reported as it is")
		require.ErrorContains(t, err, "enough")
		require.False(t, appspan.Retryable(err))
	})
}

func TestACreateOfWhichNothingWasHeardIsNotRetryable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := cluster.New("eu-1", &stub{apply: func(ctx context.Context, _ driver.Object, _ driver.ApplyOptions) (driver.Object, error) {
			if calls++; calls == 1 {
				return driver.Object{}, busy(0) // refused: nothing has happened
			}
			<-ctx.Done()
			return driver.Object{}, ctx.Err()
		}}, nil)
		_, err := c.Apply(t.Context(), pod("web", ""), driver.ApplyOptions{Manager: "m", IfAbsent: true})
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.False(t, appspan.Retryable(err), "the second attempt may have created it: %v", err)
		require.Equal(t, 2, calls)
	})
}

func TestCancellingEndsTheWaitBetweenAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := cluster.New("eu-1", &stub{get: func(context.Context, driver.Ref) (driver.Object, error) {
			return driver.Object{}, busy(20 * time.Second)
		}}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := c.Get(ctx, pod("web", "").Ref)
		require.ErrorIs(t, err, appspan.ErrUnavailable, "waiting would outlast the context: the server's word is worth more")
		require.Zero(t, time.Since(begun))

		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		_, err = c.Get(ctx, pod("web", "").Ref)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, time.Second, time.Since(begun))
	})
}

func TestApplyIsCheckedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	c := cluster.New("eu-1", &stub{}, nil)
	_, err := c.Apply(t.Context(), pod("web", ""), cluster.ApplyOptions{})
	require.ErrorIs(t, err, appspan.ErrInvalid)
	require.ErrorContains(t, err, "apply eu-1 Pod shop/web: invalid: ")
	other := pod("web", "")
	other.Name = "api"
	_, err = c.Apply(t.Context(), other, cluster.ApplyOptions{Manager: "m"})
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

func TestLastAnswerIsWhenTheServerLastSpoke(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var answer error
		c := cluster.New("eu-1", &stub{delete: func(context.Context, driver.Ref, driver.DeleteOptions) error { return answer }}, nil)
		call := func(err error) time.Time {
			time.Sleep(time.Minute)
			answer = err
			_ = c.Delete(t.Context(), pod("web", "").Ref, driver.DeleteOptions{})
			return time.Now()
		}
		require.Zero(t, c.LastAnswer())
		require.NoError(t, c.LastError())
		at := call(nil)
		require.Equal(t, at, c.LastAnswer())
		at = call(appspan.ErrNotFound)
		require.Equal(t, at, c.LastAnswer(), "a refusal is an answer")
		call(appspan.ErrUnavailable)
		require.Equal(t, at, c.LastAnswer())
		require.ErrorIs(t, c.LastError(), appspan.ErrUnavailable)
		call(appspan.ErrInvalid)
		require.Equal(t, at, c.LastAnswer(), "a driver may say that without the server")
		at = call(nil)
		require.Equal(t, at, c.LastAnswer())
		require.NoError(t, c.LastError())
	})
}

func TestAnErrorSaysWhereOnce(t *testing.T) {
	t.Parallel()
	for text, err := range map[string]*cluster.Error{
		"apply eu-1 Deployment shop/web: denied": {Op: "apply", Cluster: "eu-1", Ref: cluster.Ref{Kind: "Deployment", Namespace: "shop", Name: "web"}, Err: appspan.ErrDenied},
		"list eu-1 Pod in shop: denied":          {Op: "list", Cluster: "eu-1", Ref: cluster.Ref{Kind: "Pod", Namespace: "shop"}, Err: appspan.ErrDenied},
		"list eu-1 Node: denied":                 {Op: "list", Cluster: "eu-1", Ref: cluster.Ref{Kind: "Node"}, Err: appspan.ErrDenied},
		"info eu-1: denied":                      {Op: "info", Cluster: "eu-1", Err: appspan.ErrDenied},
	} {
		require.EqualError(t, err, text)
	}
	inner := &cluster.Error{Op: "get", Cluster: "behind", Ref: pod("web", "").Ref, Err: appspan.ErrDenied}
	c := cluster.New("front", &stub{get: func(context.Context, driver.Ref) (driver.Object, error) { return driver.Object{}, inner }}, nil)
	_, err := c.Get(t.Context(), pod("web", "").Ref)
	require.Same(t, error(inner), err)
}
