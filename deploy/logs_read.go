package deploy

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const (
	// A followed log is opened anew now and then: one that is silent for ever,
	// behind a proxy that keeps the connection, is not waited for.
	streamLife = 10 * time.Minute
	// calmStream is how long a stream lives that counts as healthy although it
	// brought nothing.
	calmStream = 5 * time.Second

	firstLogWait   = 100 * time.Millisecond
	longestLogWait = 10 * time.Second
	// logAttempts is how often a log that is not followed is tried.
	logAttempts = 4
)

// tail reads the log of one container, once, through everything that happens
// to it. Its lines go to give, which reports false when nobody wants more.
type tail struct {
	r         *logReader
	cluster   *cluster.Cluster
	pod       pod // as it was seen last
	container string
	give      func(LogLine) bool
	nudge     chan struct{} // the pod has changed

	at      logPosition // the last line that was given
	begun   bool        // the container was seen to have started
	settled int         // the restart up to which the runs before have been read
	left    bool        // give said so
}

func compareSources(a, b logSource) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.PodUID, b.PodUID), cmp.Compare(a.Container, b.Container))
}

func (r *logReader) tail(c *cluster.Cluster, p pod, container string, give func(LogLine) bool) *tail {
	t := &tail{r: r, cluster: c, pod: p, container: container, give: give, nudge: make(chan struct{}, 1)}
	t.at = r.from[t.source()]
	t.settled = t.at.Restart
	return t
}

func (t *tail) source() logSource { return logSource{t.cluster.Name(), t.pod.uid, t.container} }

// send gives a line or a notice about the lines around it.
func (t *tail) send(kind LogKind, text string) {
	l := LogLine{Kind: kind, Cluster: t.cluster.Name(), Component: t.pod.component, Pod: t.pod.Name, PodUID: t.pod.uid,
		Container: t.container, Restart: t.at.Restart, Time: t.at.Time, Text: text}
	if l.Time.IsZero() {
		l.Time = time.Now().UTC()
	}
	t.sendLine(l)
}

func (t *tail) sendLine(l LogLine) {
	if !t.left && !t.give(l) {
		t.left = true
	}
}

// run reads until the container has ended, or, when it is not followed, up to
// now. It obeys the context.
func (t *tail) run(ctx context.Context) {
	lost := true // the last stream did not end in good order, or there was none
	for failures := 0; ctx.Err() == nil && !t.left; {
		before, began := t.at, time.Now()
		err := t.look(ctx)
		switch {
		case errors.Is(err, appspan.ErrNotFound):
			if lost {
				t.send(LogMissing, "the pod went before its log was read to the end")
			}
			t.end("the pod is gone")
			return
		case err == nil:
			var done bool
			if done, err = t.read(ctx); done || t.left {
				return
			}
			if !errors.Is(err, appspan.ErrNotFound) && !errors.Is(err, appspan.ErrInvalid) {
				lost = err != nil
			}
		}
		if ctx.Err() != nil {
			return
		}
		if t.at != before || time.Since(began) >= calmStream {
			failures = 0
		}
		if failures++; !t.r.opts.Follow && failures >= logAttempts || err != nil && hopeless(err) {
			t.send(LogMissing, "the log cannot be read: "+err.Error())
			return
		}
		t.wait(ctx, failures, err)
	}
}

// hopeless reports whether trying again would not mend err.
func hopeless(err error) bool {
	return (errors.Is(err, appspan.ErrDenied) || errors.Is(err, appspan.ErrUnsupported) || errors.Is(err, driver.ErrClosed)) && !appspan.Retryable(err)
}

// wait waits after the n-th failure in a row, or until the pod changes.
func (t *tail) wait(ctx context.Context, n int, err error) {
	d := min(firstLogWait<<min(n-1, 10), longestLogWait)
	timer := time.NewTimer(max(appspan.RetryAfter(err), d/2) + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.nudge:
	case <-ctx.Done():
	}
}

// end says that nothing more comes.
func (t *tail) end(why string) {
	if t.r.opts.Follow {
		t.send(LogEnded, why)
	}
}

// look reads the pod anew; another one of its name is appspan.ErrNotFound.
func (t *tail) look(ctx context.Context) error {
	ctx, cancel := t.r.d.limit(ctx)
	defer cancel()
	obj, err := t.cluster.Get(ctx, t.pod.ref)
	if err != nil {
		return err
	}
	if obj.UID != t.pod.uid {
		return fmt.Errorf("%s: %w: another pod has its name", t.pod.ref, appspan.ErrNotFound)
	}
	p, ok := podQuery{component: t.pod.component}.read(obj)
	if !ok {
		return fmt.Errorf("%s: %w: it cannot be read", t.pod.ref, appspan.ErrCorrupt)
	}
	t.pod = p
	return nil
}

// read reads what there is to be read of the container's runs. Done, nothing
// more will come.
func (t *tail) read(ctx context.Context) (done bool, err error) {
	s, known := t.pod.state(t.container)
	restart := int(s.RestartCount)
	switch {
	case !known || s.State.Running == nil && s.State.Terminated == nil && s.LastTerminationState.Terminated == nil:
		return !t.r.opts.Follow, nil // it has not started
	case t.r.opts.Previous:
		if restart == 0 && s.LastTerminationState.Terminated == nil {
			return true, nil
		}
		err := t.stream(ctx, restart-1, driver.LogOptions{Previous: true})
		return err == nil || errors.Is(err, appspan.ErrInvalid), err
	case t.at.Nth == 0 && !t.begun:
		t.settled = restart // nobody has asked for the runs before
	case restart > t.settled:
		if err := t.catchUp(ctx, restart); err != nil {
			return false, err
		}
	}
	t.begun = true
	over := t.pod.over(s)
	follow := t.r.opts.Follow && s.State.Running != nil && !over
	if err := t.stream(ctx, restart, driver.LogOptions{Follow: follow}); err != nil {
		return false, err
	}
	if over {
		t.end("the container has ended")
	}
	return over || !t.r.opts.Follow, nil
}

// catchUp reads the rest of the run of which lines were given, after the
// container was restarted.
func (t *tail) catchUp(ctx context.Context, restart int) error {
	if restart > t.settled+1 {
		t.send(LogMissing, fmt.Sprintf("the container was restarted %d times meanwhile", restart-t.settled))
	} else if err := t.stream(ctx, restart-1, driver.LogOptions{Previous: true}); errors.Is(err, appspan.ErrInvalid) || errors.Is(err, appspan.ErrNotFound) {
		t.send(LogMissing, "the container was restarted, and the node has not kept the end of its log")
	} else if err != nil {
		return err
	}
	t.settled = restart
	return nil
}

// stream opens the log of one run of the container and gives the lines that
// were not given yet. An end in good order is no error. That a log is open
// says nothing: servers answer when the first line comes.
func (t *tail) stream(outer context.Context, restart int, o driver.LogOptions) error {
	streamer, ok := cluster.As[driver.LogStreamer](t.cluster)
	if !ok {
		return fmt.Errorf("logs of %s: %w: the driver of the cluster reads no logs", t.cluster.Name(), appspan.ErrUnsupported)
	}
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	patience := t.r.d.opts.ClusterTimeout
	if o.Follow {
		patience = streamLife
	}
	timer := time.AfterFunc(patience, cancel)
	defer timer.Stop()
	o.Container, o.Timestamps = t.container, true
	known := t.at
	if known.Nth == 0 || known.Restart != restart {
		known = logPosition{}
	}
	switch since := t.r.opts.Since; {
	case known.Nth > 0:
		o.SinceTime = known.Time.UTC().Truncate(time.Second).Format(time.RFC3339)
	case t.at.Nth > 0: // a later run: all of it
	default:
		o.TailLines = int64(t.r.opts.Tail)
		if !since.IsZero() {
			o.SinceTime = since.UTC().Truncate(time.Second).Format(time.RFC3339)
		}
	}
	failed := func(err error) error {
		if ctx.Err() != nil && outer.Err() == nil {
			return fmt.Errorf("logs of %s: %w: nothing came within %v", t.pod.ref, appspan.ErrUnavailable, patience)
		}
		return err
	}
	body, err := streamer.Logs(ctx, t.pod.ref, o)
	if err != nil {
		return failed(err)
	}
	defer body.Close()
	n := &numberer{skip: known}
	in := bufio.NewReaderSize(body, MaxLogLine+maxStamp)
	for !t.left {
		if !o.Follow {
			timer.Reset(patience)
		}
		line, cut, err := readLine(in)
		if !o.Follow {
			timer.Stop() // what follows is in the hands of the reader
		}
		whole := err == nil || errors.Is(err, io.EOF) && !o.Follow && len(line) > 0
		if whole {
			l, fresh, gap := n.next(line)
			if gap {
				t.send(LogMissing, "the node discarded lines before they were read")
			}
			if fresh && !l.Time.Before(t.r.opts.Since) {
				t.deliver(l, restart, cut)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return failed(err)
		}
	}
	return nil
}

// deliver gives one line and remembers it.
func (t *tail) deliver(l LogLine, restart int, cut bool) {
	if l.Time.Before(t.at.Time) { // a later run, after a clock was set back
		l.Time = t.at.Time
	}
	if l.Nth = 1; l.Time.Equal(t.at.Time) && t.at.Restart == restart {
		l.Nth = t.at.Nth + 1
	}
	t.at = logPosition{l.Time, l.Nth, restart}
	t.settled = max(t.settled, restart)
	l.Cluster, l.Component, l.Pod, l.PodUID, l.Container = t.cluster.Name(), t.pod.component, t.pod.Name, t.pod.uid, t.container
	l.Restart, l.Cut = restart, l.Cut || cut
	t.sendLine(l)
}

// maxStamp is what a timestamp may take before the text of a line.
const maxStamp = 64

// readLine reads one line without its end, up to what fits in the reader; cut,
// it had more. With an error it is what came before that.
func readLine(in *bufio.Reader) (line []byte, cut bool, err error) {
	line, err = in.ReadSlice('\n')
	line = bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		cut = true
		_, err = in.ReadSlice('\n')
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), cut, err
}

// numberer reads the timestamps of one stream, and tells lines that were given
// before from those that were not. A server is asked for whole seconds, so a
// resumed stream begins before the last line that was given.
type numberer struct {
	skip logPosition // Nth is how many lines of that time are still to come again
	time time.Time   // of the last line
}

// next reads a line: whether it is fresh, and whether lines before it are gone.
func (n *numberer) next(raw []byte) (l LogLine, fresh, gap bool) {
	stamp, text, _ := bytes.Cut(raw, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil { // a node's own words; they belong to the line before
		at, text = n.time, raw
	}
	if at.Before(n.time) { // a clock was set back
		at = n.time
	}
	n.time = at.UTC()
	l = LogLine{Time: n.time, Text: string(text[:min(len(text), MaxLogLine)]), Cut: len(text) > MaxLogLine}
	if n.skip.Nth == 0 {
		return l, true, false
	}
	switch n.time.Compare(n.skip.Time) {
	case -1:
		return l, false, false
	case 0:
		n.skip.Nth--
		return l, false, false
	}
	n.skip.Nth = 0
	return l, true, true
}
