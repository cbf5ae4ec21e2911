package clustertest_test

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// readMutant changes how reading a log ends.
type readMutant struct {
	io.ReadCloser
	end func(error) error
}

func (r readMutant) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if err != nil {
		err = r.end(err)
	}
	return n, err
}

// logMutants say what logs can get wrong.
func logMutants() map[string]mutation {
	asked := func(change func(*driver.LogOptions)) mutation {
		return mutation{logs: func(ctx context.Context, x *mutant, pod driver.Ref, opts driver.LogOptions) (io.ReadCloser, error) {
			change(&opts)
			return x.full.Logs(ctx, pod, opts)
		}}
	}
	unopened := func(from error) mutation {
		return mutation{logs: func(ctx context.Context, x *mutant, pod driver.Ref, opts driver.LogOptions) (io.ReadCloser, error) {
			stream, err := x.full.Logs(ctx, pod, opts)
			return stream, instead(err, from, appspan.ErrUnavailable)
		}}
	}
	ends := func(from, to error) mutation {
		return mutation{logs: func(ctx context.Context, x *mutant, pod driver.Ref, opts driver.LogOptions) (io.ReadCloser, error) {
			stream, err := x.full.Logs(ctx, pod, opts)
			if err == nil && opts.Follow {
				stream = readMutant{stream, func(err error) error {
					if errors.Is(err, from) {
						return to
					}
					return err
				}}
			}
			return stream, err
		}}
	}
	return map[string]mutation{
		"a log is read to its end": asked(func(o *driver.LogOptions) {
			if o.Container == "a" {
				o.TailLines = 1
			}
		}),
		"a log's tail is its last lines":                            asked(func(o *driver.LogOptions) { o.TailLines = 0 }),
		"a log may be limited in bytes":                             asked(func(o *driver.LogOptions) { o.LimitBytes = 0 }),
		"a log's lines begin with their timestamps":                 asked(func(o *driver.LogOptions) { o.Timestamps = false }),
		"a log since a time has no earlier line":                    asked(func(o *driver.LogOptions) { o.SinceTime = "" }),
		"a log of before a restart is invalid where there was none": asked(func(o *driver.LogOptions) { o.Previous = false }),
		"a log of a container that is not there is invalid": asked(func(o *driver.LogOptions) {
			if o.Container == "missing" {
				o.Container = ""
			}
		}),
		"a log of a pod that is not there is not found": unopened(appspan.ErrNotFound),
		"a followed log ends with its pod":              ends(io.EOF, io.ErrUnexpectedEOF),
		"a followed log ends with its context":          ends(context.Canceled, io.EOF),
		"Close ends followed logs":                      ends(driver.ErrClosed, io.EOF),
	}
}

// execMutants say what commands can get wrong.
func execMutants() map[string]mutation {
	asked := func(change func(*driver.ExecOptions)) mutation {
		return mutation{exec: func(ctx context.Context, x *mutant, pod driver.Ref, opts driver.ExecOptions) error {
			change(&opts)
			return x.full.Exec(ctx, pod, opts)
		}}
	}
	executed := func(change func(ctx context.Context, opts driver.ExecOptions, err error) error) mutation {
		return mutation{exec: func(ctx context.Context, x *mutant, pod driver.Ref, opts driver.ExecOptions) error {
			return change(ctx, opts, x.full.Exec(ctx, pod, opts))
		}}
	}
	return map[string]mutation{
		"what a command prints is written": asked(func(o *driver.ExecOptions) {
			if o.Container == "web" {
				o.Stdout = nil
			}
		}),
		"a command reads what it is sent to the end": asked(func(o *driver.ExecOptions) {
			if o.Stdin != nil {
				o.Stdin = io.LimitReader(o.Stdin, 64<<10)
			}
		}),
		"a command without streams runs": executed(func(_ context.Context, o driver.ExecOptions, err error) error {
			if strings.Join(o.Command, " ") == "true" && o.Container == "" && err == nil {
				return appspan.ErrInvalid
			}
			return err
		}),
		"a command's exit code is its error": executed(func(_ context.Context, _ driver.ExecOptions, err error) error {
			if exit := (*driver.ExitError)(nil); errors.As(err, &exit) {
				return errors.New(exit.Error())
			}
			return err
		}),
		"an exec without a command is invalid": executed(func(_ context.Context, o driver.ExecOptions, err error) error {
			if len(o.Command) == 0 {
				return nil
			}
			return err
		}),
		"an exec in a container that is not there is invalid": asked(func(o *driver.ExecOptions) {
			if o.Container == "missing" {
				o.Container = ""
			}
		}),
		"an exec in a pod that is not there is not found": executed(func(_ context.Context, _ driver.ExecOptions, err error) error {
			return instead(err, appspan.ErrNotFound, appspan.ErrUnavailable)
		}),
		"an exec whose context has ended does nothing": {exec: func(ctx context.Context, x *mutant, pod driver.Ref, opts driver.ExecOptions) error {
			return x.full.Exec(context.WithoutCancel(ctx), pod, opts)
		}},
	}
}
