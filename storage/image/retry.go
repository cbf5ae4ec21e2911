package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/appspan-dev/appspan"
)

// retrier repeats requests that can be sent again. What fails for the last
// time is an error that is marked with the time that the server asked for.
type retrier struct {
	base    http.RoundTripper
	retries int
	maxWait time.Duration
}

func (t *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		resp, err := t.base.RoundTrip(req)
		stream := req.Body != nil && req.Body != http.NoBody && req.GetBody == nil
		if err == nil {
			if stream && resp.StatusCode == http.StatusUnauthorized {
				// Its token ended while it was sent. The library would send it again,
				// which a stream can't be; whoever has the stream can.
				_ = resp.Body.Close()
				return nil, appspan.MarkRetryable(answered(appspan.ErrDenied, req, resp), 0)
			}
			if !transientStatus(resp.StatusCode) {
				return resp, nil
			}
			err = appspan.MarkRetryable(answered(appspan.ErrUnavailable, req, resp), retryAfter(resp))
			_ = resp.Body.Close()
		} else if err = transient(err); !appspan.Retryable(err) {
			return nil, err
		}
		if attempt >= t.retries {
			return nil, &spent{err}
		}
		if stream {
			return nil, err
		}
		if req.GetBody != nil {
			body, bodyErr := req.GetBody()
			if bodyErr != nil {
				return nil, err
			}
			req = req.Clone(req.Context())
			req.Body = body
		}
		if err := pause(req.Context(), attempt, err, t.maxWait); err != nil {
			return nil, err
		}
	}
}

func answered(kind error, req *http.Request, resp *http.Response) error {
	return fmt.Errorf("%w: %s answers %d %s", kind, req.URL.Host, resp.StatusCode, http.StatusText(resp.StatusCode))
}

// spent is an error of a request that was sent as often as it may be.
type spent struct{ error }

func (s *spent) Unwrap() error { return s.error }

// repeat does f again where a request can't be sent again on its own: because
// its body is a stream, or because it was the answer that broke off.
func (c *Client) repeat(ctx context.Context, f func(attempt int) error) error {
	for attempt := 0; ; attempt++ {
		err := transient(f(attempt))
		var over *spent
		if !appspan.Retryable(err) || errors.As(err, &over) || attempt >= c.opts.Retries {
			return err
		}
		if err := pause(ctx, attempt, err, c.opts.MaxWait); err != nil {
			return err
		}
	}
}

// pause waits until a request that failed with cause may be sent again. It
// returns cause when the server asked for more than maxWait.
func pause(ctx context.Context, attempt int, cause error, maxWait time.Duration) error {
	wait := min(250*time.Millisecond<<min(attempt, 20), maxWait)
	wait -= time.Duration(rand.Int64N(int64(wait)/2 + 1))
	if asked := appspan.RetryAfter(cause); asked > maxWait {
		return cause
	} else if asked > 0 {
		wait = asked
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// transient marks an error of the network as retryable, where it is.
func transient(err error) error {
	var network net.Error
	var name *net.DNSError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), appspan.Retryable(err):
		return err
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPIPE):
		return appspan.MarkRetryable(fmt.Errorf("%w: %w", appspan.ErrUnavailable, err), 0)
	}
	return err
}

// retryAfter is the time that an answer asks to wait (RFC 9110, 10.2.3).
func retryAfter(resp *http.Response) time.Duration {
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
