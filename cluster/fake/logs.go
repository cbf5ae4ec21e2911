package fake

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// logEvery is how often a followed log gets a line.
const logEvery = 10 * time.Second

// Logs implements driver.LogStreamer with simulated lines: one when the
// container starts, and every ten seconds one more; a crashed container's
// last line says so. Between them stand those of WriteLog. A followed log ends with the pod, the context or Close.
func (cl client) Logs(ctx context.Context, ref driver.Ref, opts driver.LogOptions) (stream io.ReadCloser, err error) {
	k, err := cl.find("v1", "Pod")
	if err != nil {
		return nil, err
	}
	at, err := place(k, ref)
	if err != nil {
		return nil, err
	}
	done, err := cl.begin(ctx, access{verb: "get", kind: k, key: at, sub: "log"})
	if err != nil {
		return nil, err
	}
	defer done(&err)
	return cl.c.openLog(ctx, k, at, opts)
}

func (c *Cluster) openLog(ctx context.Context, k *kind, at key, opts driver.LogOptions) (io.ReadCloser, error) {
	p, ok := fetch[*corev1.Pod](c, task{kind: k, key: at})
	if !ok {
		return nil, apierrors.NewNotFound(k.groupResource(), at.name)
	}
	st, err := logContainer(p, opts.Container)
	if err != nil {
		return nil, err
	}
	if opts.Previous && st.LastTerminationState.Terminated == nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("previous terminated container %q in pod %q not found", st.Name, p.Name))
	}
	f := &follower{c: c, kind: k, pod: p, st: st, opts: opts, book: c.logs.of(p.UID)}
	f.ctx, f.cancel = context.WithCancel(ctx)
	if opts.SinceTime != "" {
		if f.last, err = time.Parse(time.RFC3339, opts.SinceTime); err != nil {
			return nil, apierrors.NewBadRequest("invalid sinceTime: " + err.Error())
		}
		f.last = f.last.Truncate(time.Second) // an API server passes on whole seconds
	}
	f.book.mu.Lock()
	lines := f.fresh()
	f.book.mu.Unlock()
	if opts.TailLines > 0 {
		lines = lines[max(0, len(lines)-int(opts.TailLines)):]
	}
	f.add(lines)
	if opts.LimitBytes > 0 {
		f.pending.Truncate(min(f.pending.Len(), int(opts.LimitBytes)))
	}
	f.ended = !opts.Follow || opts.Previous || st.State.Running == nil
	return f, nil
}

// logContainer is the status of the container whose log is meant.
func logContainer(p *corev1.Pod, name string) (corev1.ContainerStatus, error) {
	if name == "" {
		name = p.Annotations["kubectl.kubernetes.io/default-container"]
	}
	if name == "" && len(p.Spec.Containers) > 1 {
		return corev1.ContainerStatus{}, apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s, choose one of: [%s]", p.Name, containerNames(p)))
	}
	if name == "" {
		name = p.Spec.Containers[0].Name
	}
	for _, st := range append(append([]corev1.ContainerStatus(nil), p.Status.ContainerStatuses...), p.Status.InitContainerStatuses...) {
		if st.Name != name {
			continue
		}
		if w := st.State.Waiting; w != nil && st.LastTerminationState.Terminated == nil {
			reason := w.Reason
			if reason == "ErrImagePull" || reason == "ImagePullBackOff" {
				reason = "trying and failing to pull image"
			}
			return st, apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is waiting to start: %s", name, p.Name, reason))
		}
		return st, nil
	}
	return corev1.ContainerStatus{}, apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, p.Name))
}

// logLines are the simulated lines of a container up to now, the newest
// thousand.
func logLines(p *corev1.Pod, st corev1.ContainerStatus, previous bool) []logEntry {
	var lines []logEntry
	line := func(at time.Time, format string, args ...any) {
		lines = append(lines, logEntry{at: at, text: fmt.Sprintf(format, args...)})
	}
	end := st.State.Terminated
	if previous || st.State.Waiting != nil {
		end = st.LastTerminationState.Terminated
	}
	switch {
	case end != nil:
		line(end.StartedAt.Time, "%s: started %s", st.Name, st.Image)
		if end.ExitCode == 0 {
			line(end.FinishedAt.Time, "%s: done", st.Name)
		} else {
			line(end.FinishedAt.Time, "%s: fatal: exit code %d", st.Name, end.ExitCode)
		}
	case previous || st.State.Running == nil:
	default:
		began := st.State.Running.StartedAt.Time
		line(began, "%s: started %s", st.Name, st.Image)
		n := int(time.Since(began) / logEvery)
		for i := max(1, n-1000); i <= n; i++ {
			line(began.Add(time.Duration(i)*logEvery), "%s: tick %d", st.Name, i)
		}
	}
	return lines
}

// follower is a log that is read. It makes its lines when it is read, so that
// nothing runs while nobody reads.
type follower struct {
	c       *Cluster
	ctx     context.Context
	cancel  context.CancelFunc
	kind    *kind
	pod     *corev1.Pod
	st      corev1.ContainerStatus
	opts    driver.LogOptions
	book    *logBook
	pending bytes.Buffer
	last    time.Time // of the newest line so far, and how many had that time
	count   int
	ended   bool // nothing more comes after pending
}

// fresh are the lines that have come since, in order. The book is locked.
func (f *follower) fresh() []logEntry {
	lines := append(logLines(f.pod, f.st, f.opts.Previous), f.book.written(f.st, f.opts.Previous)...)
	slices.SortStableFunc(lines, func(a, b logEntry) int { return a.at.Compare(b.at) })
	lines = slices.DeleteFunc(lines, func(e logEntry) bool { return e.at.Before(f.last) })
	same := 0
	for same < len(lines) && lines[same].at.Equal(f.last) {
		same++
	}
	lines = lines[min(f.count, same):]
	for _, e := range lines {
		if !e.at.Equal(f.last) {
			f.last, f.count = e.at, 0
		}
		f.count++
	}
	return lines
}

// add makes lines ready to be read.
func (f *follower) add(lines []logEntry) {
	for _, e := range lines {
		if f.opts.Timestamps {
			f.pending.WriteString(e.at.UTC().Format(time.RFC3339Nano) + " ")
		}
		f.pending.WriteString(e.text + "\n")
	}
}

// Read implements io.Reader.
func (f *follower) Read(b []byte) (int, error) {
	for f.pending.Len() == 0 && !f.ended {
		f.book.mu.Lock()
		changed := f.book.changed
		f.book.mu.Unlock()
		p, ok := fetch[*corev1.Pod](f.c, task{kind: f.kind, key: keyOf(f.pod)})
		running := ok && p.UID == f.pod.UID && !terminated(p)
		if running {
			st, err := logContainer(p, f.st.Name)
			running = err == nil && st.State.Running != nil && st.RestartCount == f.st.RestartCount
		}
		f.book.mu.Lock()
		f.add(f.fresh())
		f.book.mu.Unlock()
		f.ended = !running
		if f.ended || f.pending.Len() > 0 {
			break
		}
		began := f.st.State.Running.StartedAt.Time
		n := int(time.Since(began)/logEvery) + 1
		timer := time.NewTimer(time.Until(began.Add(time.Duration(n) * logEvery)))
		select {
		case <-timer.C:
			continue
		case <-changed:
		case <-f.ctx.Done():
		case <-f.c.ctx.Done():
		}
		timer.Stop()
		if f.ctx.Err() != nil {
			return 0, f.ctx.Err()
		}
		if f.c.ctx.Err() != nil {
			return 0, driver.ErrClosed
		}
	}
	if f.pending.Len() == 0 {
		return 0, io.EOF
	}
	return f.pending.Read(b)
}

// Close implements io.Closer.
func (f *follower) Close() error {
	f.cancel()
	return nil
}

// Exec implements driver.Execer for a handful of commands: true, false, echo,
// cat (stdin to stdout), and exit as the argument of sh -c "exit N". Any
// other command ends with exit code 127, as one that is not found.
func (cl client) Exec(ctx context.Context, ref driver.Ref, opts driver.ExecOptions) (err error) {
	k, err := cl.find("v1", "Pod")
	if err != nil {
		return err
	}
	at, err := place(k, ref)
	if err != nil {
		return err
	}
	done, err := cl.begin(ctx, access{verb: "create", kind: k, key: at, sub: "exec"})
	if err != nil {
		return err
	}
	defer done(&err)
	p, ok := fetch[*corev1.Pod](cl.c, task{kind: k, key: at})
	if !ok {
		return apierrors.NewNotFound(k.groupResource(), at.name)
	}
	if st, err := logContainer(p, opts.Container); err != nil {
		return err
	} else if st.State.Running == nil {
		return apierrors.NewBadRequest(fmt.Sprintf("container %q in pod %q is not running", st.Name, p.Name))
	}
	if len(opts.Command) == 0 {
		return fmt.Errorf("%w: no command", appspan.ErrInvalid)
	}
	return execute(opts)
}

func execute(opts driver.ExecOptions) error {
	stdout, stderr := opts.Stdout, opts.Stderr
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	code := 127
	switch opts.Command[0] {
	case "true":
		return nil
	case "false":
		return &driver.ExitError{Code: 1}
	case "echo":
		_, err := fmt.Fprintln(stdout, strings.Join(opts.Command[1:], " "))
		return err
	case "cat":
		if opts.Stdin == nil {
			return nil
		}
		_, err := io.Copy(stdout, opts.Stdin)
		return err
	case "sh", "/bin/sh":
		if len(opts.Command) == 3 && opts.Command[1] == "-c" {
			if _, err := fmt.Sscanf(opts.Command[2], "exit %d", &code); err == nil {
				if code == 0 {
					return nil
				}
				return &driver.ExitError{Code: code}
			}
		}
	}
	_, _ = fmt.Fprintf(stderr, "%s: not found\n", opts.Command[0])
	return &driver.ExitError{Code: 127}
}
