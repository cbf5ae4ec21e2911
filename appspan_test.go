package appspan_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
)

func TestRetryableIsWhatADriverMarks(t *testing.T) {
	t.Parallel()
	plain := fmt.Errorf("apply: %w", appspan.ErrUnavailable)
	require.False(t, appspan.Retryable(plain))
	marked := fmt.Errorf("apply eu-1: %w", appspan.MarkRetryable(plain, 3*time.Second))
	require.True(t, appspan.Retryable(marked))
	require.Equal(t, 3*time.Second, appspan.RetryAfter(marked))
	require.ErrorIs(t, marked, appspan.ErrUnavailable)
	require.Equal(t, "apply eu-1: apply: unavailable", marked.Error(), "a mark does not change the text")
	require.NoError(t, appspan.MarkRetryable(nil, time.Second))
	require.Zero(t, appspan.RetryAfter(plain))
	require.Zero(t, appspan.RetryAfter(appspan.MarkRetryable(plain, -time.Second)))
}

func TestWhatTheCallerEndedIsNotRetryable(t *testing.T) {
	t.Parallel()
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		require.False(t, appspan.Retryable(appspan.MarkRetryable(fmt.Errorf("get: %w", ended), time.Second)))
	}
}

type only struct{ id string }

func (o only) Authorize(_ context.Context, s appspan.Subject, a appspan.Access) error {
	if s.ID == o.id {
		return nil
	}
	return fmt.Errorf("%s may not %s: %w", s, a, appspan.ErrDenied)
}

func TestAuthorizeDeniesUnlessSomebodyAllows(t *testing.T) {
	t.Parallel()
	access := appspan.Access{Verb: appspan.VerbDeploy, Resource: "application", Application: "shop", Cluster: "eu-1"}
	ada := appspan.Subject{ID: "ada", Team: "retail"}
	require.ErrorIs(t, appspan.Authorize(t.Context(), nil, ada, access), appspan.ErrDenied)
	require.ErrorIs(t, appspan.Authorize(t.Context(), only{"ada"}, appspan.Subject{}, access), appspan.ErrDenied)
	require.ErrorIs(t, appspan.Authorize(t.Context(), only{"bob"}, ada, access), appspan.ErrDenied)
	require.NoError(t, appspan.Authorize(t.Context(), only{"ada"}, ada, access))
	require.NoError(t, appspan.Authorize(t.Context(), appspan.AllowAll{}, appspan.Subject{}, access))
	require.Equal(t, "ada@retail", ada.String())
}

func ExampleRetryable() {
	err := appspan.MarkRetryable(fmt.Errorf("list eu-1 Pod: %w", appspan.ErrUnavailable), 2*time.Second)
	fmt.Println(errors.Is(err, appspan.ErrUnavailable), appspan.Retryable(err), appspan.RetryAfter(err))
	// Output: true true 2s
}

func ExampleAuthorize() {
	access := appspan.Access{Verb: appspan.VerbDeploy, Resource: "application", Application: "shop", Cluster: "eu-1"}
	fmt.Println(appspan.Authorize(context.Background(), nil, appspan.Subject{ID: "ada"}, access))
	fmt.Println(appspan.Authorize(context.Background(), appspan.AllowAll{}, appspan.Subject{}, access))
	// Output:
	// deploy application shop on eu-1: denied: no Authorizer is set; pass one, or appspan.AllowAll{}
	// <nil>
}
