package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
)

// harbour is a cluster in memory whose ports say who they are.
type harbour struct{ *fake.Cluster }

func (h harbour) Forward(_ context.Context, pod driver.Ref, port int) (io.ReadWriteCloser, error) {
	if port == 1 {
		return nil, appspan.ErrUnavailable
	}
	here, there := net.Pipe()
	go func() {
		_, _ = io.WriteString(there, pod.Name+":"+strconv.Itoa(port))
		_ = there.Close()
	}()
	return here, nil
}

// onlyReads may read, and do nothing else.
type onlyReads struct{}

func (onlyReads) Authorize(_ context.Context, _ appspan.Subject, a appspan.Access) error {
	if a.Verb != appspan.VerbRead {
		return appspan.ErrDenied
	}
	return nil
}

func TestCommandsAndConnectionsReachAReplicaAndAreAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.fakes["a"], w.fakes["b"] = fake.New(nil), fake.New(nil)
	set, err := cluster.NewSet(cluster.New("a", harbour{w.fakes["a"]}, nil), cluster.New("b", w.fakes["b"], nil))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, set.Close()) })
	w.set, w.Deployer = set, nil
	w.Deployer = w.deployer("test")
	w.deployed(shop(t), both)
	told := &auditor{}
	d, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}, Auditor: told})
	require.NoError(t, err)

	var out bytes.Buffer
	require.NoError(t, d.Exec(t.Context(), "shop", on("a"), &deploy.ExecOptions{Component: "web", Command: []string{"echo", "secret"}, Stdout: &out}))
	require.Equal(t, "secret\n", out.String())
	require.NoError(t, d.Exec(t.Context(), "shop", on("a"), &deploy.ExecOptions{Pod: "shop-db-0", Container: "db", Command: []string{"cat"}, Stdin: strings.NewReader("in"), Stdout: &out}))
	require.Equal(t, "secret\nin", out.String())
	var exit *driver.ExitError
	require.ErrorAs(t, d.Exec(t.Context(), "shop", on("a"), &deploy.ExecOptions{Component: "db", Command: []string{"sh", "-c", "exit 3"}}), &exit)
	require.Equal(t, 3, exit.Code)
	require.Len(t, told.entries, 6, "each when it begins and when it has ended")
	require.Equal(t, appspan.VerbExec, told.entries[0].Access.Verb)
	require.Equal(t, "begun", told.entries[0].Outcome)
	require.Equal(t, "ok", told.entries[1].Outcome)
	require.NotContains(t, told.entries[0].Access.String(), "secret")
	require.Equal(t, "exec pod/shop-db-0", told.entries[2].Access.Resource)
	require.Contains(t, told.entries[5].Outcome, "exit code 3")

	for port, number := range map[string]string{"sql": "3306", "8080": "8080"} {
		conn, err := d.Forward(t.Context(), "shop", on("a"), &deploy.ForwardOptions{Component: "db", Port: port})
		require.NoError(t, err)
		said, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "shop-db-0:"+number, string(said))
		require.NoError(t, conn.Close())
	}
	require.Len(t, told.entries, 10)
	_, err = d.Forward(t.Context(), "shop", on("a"), &deploy.ForwardOptions{Component: "db", Port: "1"})
	require.ErrorIs(t, err, appspan.ErrUnavailable)

	none, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: onlyReads{}, Auditor: told})
	require.NoError(t, err)
	command := []string{"true"}
	for name, test := range map[string]struct {
		d    *deploy.Deployer
		to   deploy.Target
		opts deploy.ExecOptions
		want error
	}{
		"who may only read runs nothing": {none, on("a"), deploy.ExecOptions{Component: "web", Command: command}, appspan.ErrDenied},
		"two clusters are one too many":  {d, both, deploy.ExecOptions{Component: "web", Command: command}, appspan.ErrInvalid},
		"no command":                     {d, on("a"), deploy.ExecOptions{Component: "web"}, appspan.ErrInvalid},
		"nobody is named":                {d, on("a"), deploy.ExecOptions{Command: command}, appspan.ErrInvalid},
		"a pod of nobody":                {d, on("a"), deploy.ExecOptions{Pod: "none", Command: command}, appspan.ErrNotFound},
		"a container that is not there":  {d, on("a"), deploy.ExecOptions{Component: "web", Container: "x", Command: command}, appspan.ErrNotFound},
		"a cluster that is not there":    {d, on("c"), deploy.ExecOptions{Component: "web", Command: command}, appspan.ErrNotFound},
	} {
		require.ErrorIs(t, test.d.Exec(t.Context(), "shop", test.to, &test.opts), test.want, name)
	}
	for port, want := range map[string]error{"none": appspan.ErrNotFound, "70000": appspan.ErrInvalid, "": appspan.ErrInvalid} {
		_, err := d.Forward(t.Context(), "shop", on("a"), &deploy.ForwardOptions{Component: "db", Port: port})
		require.ErrorIs(t, err, want, port)
	}
	_, err = d.Forward(t.Context(), "shop", on("b"), &deploy.ForwardOptions{Component: "db", Port: "sql"})
	require.True(t, errors.Is(err, appspan.ErrUnsupported), "%v", err)
}
