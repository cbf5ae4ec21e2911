package deploy

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
)

// LogOptions choose lines, see [Deployer.Logs]. Nil is all lines of the main
// containers of all components, up to now.
type LogOptions struct {
	// Components are those whose lines are read; none: all.
	Components []string
	// Containers are the names of containers that are read; none: the main
	// one of each pod. AllContainers reads every one, also those that
	// initialise.
	Containers    []string
	AllContainers bool
	// Follow goes on with what comes. Previous reads what each container
	// printed before its last restart; it excludes Follow.
	Follow, Previous bool
	// Since leaves out earlier lines, and Tail all but the last so many lines
	// of each container. Containers that the Cursor knows go on after it.
	Since time.Time
	Tail  int
	// Cursor is where an earlier call got to, see [LogCursor]. It is read when
	// the loop begins, and not changed.
	Cursor *LogCursor
	// Streams is how many containers are read at once; default 256. More are
	// appspan.ErrExhausted, or, when they are followed, wait for their turn.
	Streams int
}

// MaxLogLine is how many bytes of a line are read; the rest is left out.
const MaxLogLine = 64 << 10

const (
	defaultStreams = 256
	mostStreams    = 10_000
)

// LogKind says what a [LogLine] is.
type LogKind string

// The kinds of log lines.
const (
	// LogText is a line that a container printed.
	LogText LogKind = ""
	// LogAway: a cluster does not answer, or refuses; Text says why. Nothing
	// is known of its lines from here on.
	LogAway LogKind = "away"
	// LogBack: a cluster that was away answers again; what it has kept follows.
	LogBack LogKind = "back"
	// LogMissing: here lines of a container may be missing; Text says why.
	LogMissing LogKind = "missing"
	// LogEnded: a followed container prints nothing more.
	LogEnded LogKind = "ended"
	// LogWaiting: there are more containers than LogOptions.Streams; this one
	// is read when another has ended.
	LogWaiting LogKind = "waiting"
)

// LogLine is one line of one container, or, by its Kind, what there is to say
// about the lines around it.
type LogLine struct {
	Kind      LogKind `json:"kind,omitempty"`
	Cluster   string  `json:"cluster"`
	Component string  `json:"component,omitempty"`
	Pod       string  `json:"pod,omitempty"`
	PodUID    string  `json:"podUID,omitempty"`
	Container string  `json:"container,omitempty"`
	// Restart is how often the container had been restarted.
	Restart int `json:"restart,omitempty"`
	// Time is when the node took the line, in UTC; never before that of the
	// line before it. Nth counts the lines of the container with this Time.
	Time time.Time `json:"time"`
	Nth  int       `json:"nth,omitempty"`
	// Text is the line, without its end. It is what the container printed: any
	// bytes, secrets too.
	Text string `json:"text"`
	// Cut is set when the line was longer than MaxLogLine.
	Cut bool `json:"cut,omitempty"`
}

// String is the line as a person reads it.
func (l LogLine) String() string {
	from := l.Cluster
	if l.Pod != "" {
		from += "/" + l.Pod
	}
	if l.Kind != LogText {
		from += " [" + string(l.Kind) + "]"
	}
	return strings.TrimRight(from+" "+l.Text, " ")
}

// Logs reads the lines of an application's containers on the clusters of a
// target, for whom the Authorizer lets read the resource "log". Up to now they come in the order of their times, merged over
// replicas and clusters in bounded memory. Followed, they come as they are
// printed: those of one container each once and in their order, through
// connections that are cut, and those of several in the order of their times
// within a tenth of a second. Pods that come are read from their beginning.
//
// A cluster that does not answer, a container that ended and lines that may be
// missing are values. A followed sequence ends with the loop, with the
// context, whose error is then the last, or when no cluster lets its pods be
// watched. Other errors are about the call: appspan.ErrDenied, ErrInvalid,
// ErrExhausted. A slow reader holds up the clusters, not memory; a log that a
// node discards meanwhile is LogMissing.
func (d *Deployer) Logs(ctx context.Context, application string, to Target, opts *LogOptions) iter.Seq2[LogLine, error] {
	return func(yield func(LogLine, error) bool) {
		r, err := d.logReader(ctx, application, to, opts)
		if err != nil {
			yield(LogLine{}, err)
			return
		}
		if r.opts.Follow {
			r.follow(ctx, yield)
		} else {
			r.merge(ctx, yield)
		}
	}
}

// logReader is one call of Logs.
type logReader struct {
	d           *Deployer
	application string
	to          Target
	opts        LogOptions
	from        map[logSource]logPosition
}

func (d *Deployer) logReader(ctx context.Context, application string, to Target, opts *LogOptions) (*logReader, error) {
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	for _, name := range to.Clusters {
		err := appspan.Authorize(ctx, d.opts.Authorizer, d.subject, appspan.Access{Verb: appspan.VerbRead, Resource: "log", Team: to.Team,
			Cluster: name, Namespace: to.Namespace, Application: application})
		if err != nil {
			return nil, err
		}
	}
	r := &logReader{d: d, application: application, to: to}
	if opts != nil {
		r.opts = *opts
	}
	r.opts.Components, r.opts.Containers = slices.Clone(r.opts.Components), slices.Clone(r.opts.Containers)
	r.from = r.opts.Cursor.positions()
	r.opts.Streams = cmp.Or(r.opts.Streams, defaultStreams)
	switch {
	case r.opts.Follow && r.opts.Previous:
		err = fmt.Errorf("logs of %s: %w: what was printed before a restart cannot be followed; leave Follow or Previous out", application, appspan.ErrInvalid)
	case r.opts.AllContainers && len(r.opts.Containers) > 0:
		err = fmt.Errorf("logs of %s: %w: name containers, or read all of them", application, appspan.ErrInvalid)
	case r.opts.Streams < 1 || r.opts.Streams > mostStreams || r.opts.Tail < 0:
		err = fmt.Errorf("logs of %s: %w: %d streams, %d lines; use 1 to %d streams and no negative number of lines", application, appspan.ErrInvalid, r.opts.Streams, r.opts.Tail, mostStreams)
	}
	return r, err
}

// away says that a cluster does not answer.
func away(name string, err error) LogLine {
	return LogLine{Kind: LogAway, Cluster: name, Time: time.Now().UTC(), Text: err.Error()}
}
