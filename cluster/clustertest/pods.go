package clustertest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// ended is the pod of a Job that has run: its container has printed two lines
// at least.
func (e *env) ended() driver.Ref {
	e.t.Helper()
	job := e.apply(e.object("batch/v1 Job printer", "spec: {template: {metadata: {labels: {app: printer}}, spec: {restartPolicy: Never, containers: [{name: a, image: 'example.org/a:1'}]}}}"))
	e.until(job.Ref, func(o driver.Object) bool {
		status, _ := e.condition(o, "Complete")
		return status == "True"
	})
	return e.pods("app=printer")[0].Ref
}

// running is a pod that goes on.
func (e *env) running() driver.Ref {
	e.t.Helper()
	e.complete(e.apply(e.object("apps/v1 Deployment web", deployment)).Ref, 1)
	return e.pods("app=web")[0].Ref
}

// missing is a pod that is not there.
func (e *env) missing() driver.Ref {
	e.t.Helper()
	return driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: e.namespace(), Name: "missing"}
}

// open opens a log, to be closed by the caller.
func (e *env) open(ctx context.Context, pod driver.Ref, opts driver.LogOptions) (io.ReadCloser, error) {
	c, _ := driver.As[driver.LogStreamer](e.c)
	return c.Logs(ctx, pod, opts)
}

// log reads a log that has an end.
func (e *env) log(pod driver.Ref, opts driver.LogOptions) string {
	e.t.Helper()
	stream, err := e.open(e.ctx, pod, opts)
	e.NoError(err)
	defer func() { _ = stream.Close() }()
	data, err := io.ReadAll(stream)
	e.NoError(err)
	return string(data)
}

// followed reads a log's first line, has what ends it happen, and returns the
// error of the reading after that.
func (e *env) followed(ctx context.Context, pod driver.Ref, end func()) error {
	e.t.Helper()
	stream, err := e.open(ctx, pod, driver.LogOptions{Follow: true})
	e.NoError(err)
	defer func() { _ = stream.Close() }()
	lines := bufio.NewReader(stream)
	_, err = lines.ReadString('\n')
	e.NoError(err)
	end()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, lines)
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-e.ctx.Done():
		e.Fail("the log goes on")
		return nil
	}
}

func logPromises() []promise {
	const why = "driver.LogOptions; Kubernetes API reference: read log of the specified Pod"
	list := []promise{
		{name: "a log is read to its end", why: why, run: func(e *env) {
			e.GreaterOrEqual(strings.Count(e.log(e.ended(), driver.LogOptions{Container: "a"}), "\n"), 2)
		}},
		{name: "a log's tail is its last lines", why: why, run: func(e *env) {
			pod := e.ended()
			one, two := e.log(pod, driver.LogOptions{TailLines: 1}), e.log(pod, driver.LogOptions{TailLines: 2})
			e.Equal(1, strings.Count(one, "\n"))
			e.Equal(2, strings.Count(two, "\n"))
			e.True(strings.HasSuffix(two, one))
		}},
		{name: "a log may be limited in bytes", why: why, run: func(e *env) {
			e.Len(e.log(e.ended(), driver.LogOptions{LimitBytes: 3}), 3)
		}},
		{name: "a log's lines begin with their timestamps", why: why, run: func(e *env) {
			for line := range strings.Lines(e.log(e.ended(), driver.LogOptions{Timestamps: true})) {
				at, _, _ := strings.Cut(line, " ")
				_, err := time.Parse(time.RFC3339Nano, at)
				e.NoError(err)
			}
		}},
		{name: "a log since a time has no earlier line", why: why, run: func(e *env) {
			e.Empty(e.log(e.ended(), driver.LogOptions{SinceTime: "2200-01-01T00:00:00Z"}))
		}},
		{name: "a log of before a restart is invalid where there was none", why: why, run: func(e *env) {
			_, err := e.open(e.ctx, e.ended(), driver.LogOptions{Previous: true})
			e.ErrorIs(err, appspan.ErrInvalid)
		}},
		{name: "a log of a container that is not there is invalid", why: why, run: func(e *env) {
			_, err := e.open(e.ctx, e.ended(), driver.LogOptions{Container: "missing"})
			e.ErrorIs(err, appspan.ErrInvalid)
			e.False(appspan.Retryable(err))
		}},
		{name: "a log of a pod that is not there is not found", why: why, run: func(e *env) {
			_, err := e.open(e.ctx, e.missing(), driver.LogOptions{})
			e.ErrorIs(err, appspan.ErrNotFound)
		}},
		{name: "a followed log ends with its pod", why: why, run: func(e *env) {
			pod := e.running()
			e.NoError(e.followed(e.ctx, pod, func() { e.NoError(e.c.Delete(e.ctx, pod, driver.DeleteOptions{})) }))
		}},
		{name: "a followed log ends with its context", why: "context: a call obeys its context", run: func(e *env) {
			ctx, cancel := context.WithCancel(e.ctx)
			defer cancel()
			e.ErrorIs(e.followed(ctx, e.running(), cancel), context.Canceled)
		}},
		{name: "Close ends followed logs", why: "driver.Cluster.Close", run: func(e *env) {
			err := e.followed(e.ctx, e.running(), func() { e.NoError(e.c.Close()) })
			e.ErrorIs(err, appspan.ErrUnavailable)
		}},
	}
	for i := range list {
		list[i].needs = workloads | logs
	}
	return list
}

func (e *env) exec(ctx context.Context, pod driver.Ref, opts driver.ExecOptions) error {
	c, _ := driver.As[driver.Execer](e.c)
	return c.Exec(ctx, pod, opts)
}

func execPromises() []promise {
	const why = "driver.Execer"
	list := []promise{
		{name: "what a command prints is written", why: why, run: func(e *env) {
			var out bytes.Buffer
			e.NoError(e.exec(e.ctx, e.running(), driver.ExecOptions{Container: "web", Command: []string{"echo", "a b"}, Stdout: &out}))
			e.Equal("a b\n", out.String())
		}},
		{name: "a command reads what it is sent to the end", why: why, run: func(e *env) {
			var out bytes.Buffer
			text := strings.Repeat("0123456789abcdef", 8<<10)
			e.NoError(e.exec(e.ctx, e.running(), driver.ExecOptions{Command: []string{"cat"}, Stdin: strings.NewReader(text), Stdout: &out}))
			e.Equal(len(text), out.Len())
		}},
		{name: "a command without streams runs", why: why + ": nil streams are none, or discarded", run: func(e *env) {
			e.NoError(e.exec(e.ctx, e.running(), driver.ExecOptions{Command: []string{"true"}}))
		}},
		{name: "a command's exit code is its error", why: "driver.ExitError", run: func(e *env) {
			err := e.exec(e.ctx, e.running(), driver.ExecOptions{Command: []string{"sh", "-c", "exit 3"}})
			var exit *driver.ExitError
			e.ErrorAs(err, &exit)
			e.Equal(3, exit.Code)
			e.False(appspan.Retryable(err))
		}},
		{name: "an exec without a command is invalid", why: why, run: func(e *env) {
			e.ErrorIs(e.exec(e.ctx, e.running(), driver.ExecOptions{}), appspan.ErrInvalid)
		}},
		{name: "an exec in a container that is not there is invalid", why: why, run: func(e *env) {
			e.ErrorIs(e.exec(e.ctx, e.running(), driver.ExecOptions{Container: "missing", Command: []string{"true"}}), appspan.ErrInvalid)
		}},
		{name: "an exec in a pod that is not there is not found", why: why, run: func(e *env) {
			e.ErrorIs(e.exec(e.ctx, e.missing(), driver.ExecOptions{Command: []string{"true"}}), appspan.ErrNotFound)
		}},
		{name: "an exec whose context has ended does nothing", why: "context: a call obeys its context", run: func(e *env) {
			pod := e.running()
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			var out bytes.Buffer
			e.ErrorIs(e.exec(ctx, pod, driver.ExecOptions{Command: []string{"echo", "late"}, Stdout: &out}), context.Canceled)
			e.Empty(out.String())
		}},
	}
	for i := range list {
		list[i].needs = workloads | executes
	}
	return list
}
