package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/stretchr/testify/require"
)

// stub is a driver that keeps objects by name and has a stream of events.
type stub struct {
	mu      sync.Mutex
	objects map[string]driver.Object
	order   []string
	events  chan driver.WatchEvent
}

func newStub(names ...string) *stub {
	s := &stub{objects: map[string]driver.Object{}, events: make(chan driver.WatchEvent, 100)}
	for _, name := range names {
		_, _ = s.Apply(context.Background(), object(name), driver.ApplyOptions{})
	}
	return s
}

func object(name string) driver.Object {
	return driver.Object{Ref: driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: name}, JSON: []byte(`{"kind":"ConfigMap"}`)}
}

func (s *stub) Info(context.Context) (driver.Info, error) { return driver.Info{UID: "stub"}, nil }
func (s *stub) Close() error                              { return nil }

func (s *stub) Apply(_ context.Context, obj driver.Object, _ driver.ApplyOptions) (driver.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[obj.Name] = obj
	s.order = append(s.order, obj.Name)
	return obj, nil
}

func (s *stub) Get(_ context.Context, ref driver.Ref) (driver.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if obj, ok := s.objects[ref.Name]; ok {
		return obj, nil
	}
	return driver.Object{}, appspan.ErrNotFound
}

func (s *stub) List(context.Context, driver.Query) (driver.Page, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var page driver.Page
	for _, name := range s.order {
		page.Items = append(page.Items, s.objects[name])
	}
	return page, nil
}

func (s *stub) Delete(_ context.Context, ref driver.Ref, _ driver.DeleteOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, ref.Name)
	return nil
}

func (s *stub) As(driver.Identity) (driver.Cluster, error) { return s, nil }

func (s *stub) Watch(ctx context.Context, _ driver.Query) (driver.Watch, error) {
	return &stubWatch{s: s, ctx: ctx, done: make(chan struct{})}, nil
}

type stubWatch struct {
	s    *stub
	ctx  context.Context
	done chan struct{}
	once sync.Once
}

func (w *stubWatch) Stop() { w.once.Do(func() { close(w.done) }) }

func (w *stubWatch) Next() (driver.WatchEvent, error) {
	select {
	case e := <-w.s.events:
		return e, nil
	case <-w.done:
		return driver.WatchEvent{}, io.EOF
	case <-w.ctx.Done():
		return driver.WatchEvent{}, w.ctx.Err()
	}
}

func write(c driver.Cluster, name string) error {
	_, err := c.Apply(context.Background(), object(name), driver.ApplyOptions{})
	return err
}

func read(c driver.Cluster, name string) error {
	_, err := c.Get(context.Background(), object(name).Ref)
	return err
}

var errBroken = errors.New("broken")

func TestARuleStrikesTheCallsThatItNames(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]fault.Rule{
		"by operation":            {Op: fault.Get},
		"by kind":                 {Kind: "ConfigMap"},
		"by namespace":            {Namespace: "sh*"},
		"by name":                 {Name: "a*"},
		"by everything":           {Op: fault.Get, Kind: "ConfigMap", Namespace: "shop", Name: "a"},
		"by number":               {Op: fault.Get, Nth: 1},
		"at most so many times":   {Times: 1},
		"by a certain likelihood": {Probability: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule.Err = errBroken
			require.ErrorIs(t, read(fault.New(newStub("a"), rule), "a"), errBroken)
		})
	}
	for name, rule := range map[string]fault.Rule{
		"another operation":    {Op: fault.Apply},
		"another kind":         {Kind: "Secret"},
		"another namespace":    {Namespace: "b*"},
		"another name":         {Name: "b"},
		"a pattern that is no": {Name: "["},
		"another number":       {Nth: 2},
		"hardly likely":        {Probability: 1e-18},
	} {
		t.Run("not "+name, func(t *testing.T) {
			t.Parallel()
			rule.Err = errBroken
			require.NoError(t, read(fault.New(newStub("a"), rule), "a"))
		})
	}
}

func TestBeforeNothingHappensAndAfterTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	inner := newStub()
	c := fault.New(inner, fault.Rule{Op: fault.Apply, Name: "before", Err: fault.Lost}, fault.Rule{Op: fault.Apply, Name: "after", When: fault.After, Err: fault.Lost})
	require.ErrorIs(t, write(c, "before"), appspan.ErrUnavailable)
	require.ErrorIs(t, write(c, "after"), appspan.ErrUnavailable)
	require.ErrorIs(t, read(inner, "before"), appspan.ErrNotFound)
	require.NoError(t, read(inner, "after"))
}

func TestChanceDependsOnTheSeedAlone(t *testing.T) {
	t.Parallel()
	pattern := func(seed uint64, parallel bool) string {
		c := fault.New(newStub("a", "b", "c", "d"), fault.Rule{Op: fault.Get, Probability: 0.5, Seed: seed, Err: errBroken})
		results := make([]string, 4)
		var all sync.WaitGroup
		for i, name := range []string{"a", "b", "c", "d"} {
			run := func() {
				for range 16 {
					if read(c, name) == nil {
						results[i] += "."
					} else {
						results[i] += "x"
					}
				}
			}
			if parallel {
				all.Go(run)
			} else {
				run()
			}
		}
		all.Wait()
		return fmt.Sprint(results)
	}
	require.Equal(t, pattern(1, false), pattern(1, true))
	require.NotEqual(t, pattern(1, false), pattern(2, false))
}

func TestRulesComeAndGoWhileRunning(t *testing.T) {
	t.Parallel()
	c := fault.New(newStub("a"))
	require.NoError(t, read(c, "a"))
	remove := c.Add(fault.Rule{Err: errBroken})
	require.Error(t, read(c, "a"))
	remove()
	require.NoError(t, read(c, "a"))
	c.Add(fault.Rule{Err: errBroken})
	c.Heal()
	require.NoError(t, read(c, "a"))
	require.Equal(t, 4, c.Count(fault.Get))
	require.Equal(t, 4, c.Count(fault.Any))
	calls := c.Calls()
	require.Len(t, calls, 4)
	require.True(t, calls[1].Struck)
	require.ErrorIs(t, calls[1].Err, errBroken)
	require.Equal(t, object("a").Ref, calls[1].Ref)
}

func TestDelaysAndHangsObeyTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fault.New(newStub("a"), fault.Rule{Op: fault.Get, Delay: time.Minute}, fault.Rule{Op: fault.List, Hang: true})
		began := time.Now()
		require.NoError(t, read(c, "a"))
		require.Equal(t, time.Minute, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, object("a").Ref)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = c.List(ctx, driver.Query{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute+time.Second, time.Since(began))
	})
}

func TestAListLies(t *testing.T) {
	t.Parallel()
	list := func(lie fault.Lie) driver.Page {
		c := fault.New(newStub("a", "b"), fault.Rule{Op: fault.List, Lie: lie})
		_, err := c.List(t.Context(), driver.Query{Kind: "ConfigMap"})
		require.NoError(t, err)
		require.NoError(t, write(c, "c"))
		page, err := c.List(t.Context(), driver.Query{Kind: "ConfigMap"})
		require.NoError(t, err)
		return page
	}
	require.Len(t, list(fault.Honest).Items, 3)
	require.Len(t, list(fault.Drop).Items, 2)
	require.Len(t, list(fault.Duplicate).Items, 4)
	require.Len(t, list(fault.Stale).Items, 2)
	corrupted := list(fault.Corrupt)
	_, err := driver.ParseObject(corrupted.Items[2].JSON)
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

func TestACorruptAnswerLeavesTheStoredObjectAlone(t *testing.T) {
	t.Parallel()
	inner := newStub("a")
	obj, err := fault.New(inner, fault.Rule{Lie: fault.Corrupt}).Get(t.Context(), object("a").Ref)
	require.NoError(t, err)
	require.NotEqual(t, object("a").JSON, obj.JSON)
	obj, err = inner.Get(t.Context(), object("a").Ref)
	require.NoError(t, err)
	require.Equal(t, object("a").JSON, obj.JSON)
}

// received reads events until the watch ends.
func received(t *testing.T, rules ...fault.Rule) (names []string, err error) {
	inner := newStub()
	c := fault.New(inner, rules...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	w, err := c.Watch(ctx, driver.Query{Kind: "ConfigMap"})
	require.NoError(t, err)
	for _, name := range []string{"a", "b", "c"} {
		inner.events <- driver.WatchEvent{Type: driver.Added, Object: object(name)}
	}
	go func() {
		synctest.Wait()
		w.Stop()
	}()
	for {
		e, err := w.Next()
		if err != nil {
			_, again := w.Next()
			require.Equal(t, err, again)
			return names, err
		}
		names = append(names, e.Object.Name)
	}
}

func TestAWatchBreaks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rule fault.Rule
		want []string
		err  error
	}{
		"nothing":               {fault.Rule{}, []string{"a", "b", "c"}, io.EOF},
		"cut in good order":     {fault.Rule{Op: fault.Next, Nth: 2, Err: io.EOF}, []string{"a"}, io.EOF},
		"cut with an error":     {fault.Rule{Op: fault.Next, Nth: 3, Err: errBroken}, []string{"a", "b"}, errBroken},
		"an event is lost":      {fault.Rule{Op: fault.Next, Name: "b", Lie: fault.Drop}, []string{"a", "c"}, io.EOF},
		"an event comes twice":  {fault.Rule{Op: fault.Next, Name: "b", Lie: fault.Duplicate}, []string{"a", "b", "b", "c"}, io.EOF},
		"an event never comes":  {fault.Rule{Op: fault.Next, Name: "b", Hang: true}, []string{"a"}, io.EOF},
		"an event is corrupted": {fault.Rule{Op: fault.Next, Name: "b", Lie: fault.Corrupt}, []string{"a", "b", "c"}, io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				names, err := received(t, test.rule)
				require.Equal(t, test.want, names)
				require.ErrorIs(t, err, test.err)
			})
		})
	}
}

func TestAWatchDoesNotOpen(t *testing.T) {
	t.Parallel()
	c := fault.New(newStub(), fault.Rule{Op: fault.Watch, Err: errBroken})
	_, err := c.Watch(t.Context(), driver.Query{})
	require.ErrorIs(t, err, errBroken)
}

func TestAViewBreaksByTheSameRules(t *testing.T) {
	t.Parallel()
	c := fault.New(newStub("a"), fault.Rule{Op: fault.Get, Err: errBroken})
	impersonator, ok := driver.As[driver.Impersonator](c)
	require.True(t, ok)
	view, err := impersonator.As(driver.Identity{User: "blue"})
	require.NoError(t, err)
	require.ErrorIs(t, read(view, "a"), errBroken)
	require.Equal(t, "blue", c.Calls()[0].User)
}

func TestWhatTheDriverDoesNotHaveIsUnsupported(t *testing.T) {
	t.Parallel()
	c := fault.New(newStub("a"))
	_, err := c.GetSub(t.Context(), object("a").Ref, "scale")
	require.ErrorIs(t, err, appspan.ErrUnsupported)
	require.NotNil(t, c.Unwrap())
}

func Example() {
	c := fault.New(newStub(), fault.Rule{Op: fault.Apply, Nth: 2, When: fault.After, Err: fault.Lost})
	for _, name := range []string{"a", "b", "c"} {
		fmt.Println(name, write(c, name))
	}
	fmt.Println("but b is there:", read(c, "b") == nil)
	// Output:
	// a <nil>
	// b unavailable: the connection was lost
	// c <nil>
	// but b is there: true
}

func TestAStaleListIsOfWhoAsks(t *testing.T) {
	t.Parallel()
	inner := newStub("a", "b")
	c := fault.New(inner, fault.Rule{Op: fault.List, Lie: fault.Stale})
	q := driver.Query{APIVersion: "v1", Kind: "ConfigMap"}
	first, err := c.List(t.Context(), q)
	require.NoError(t, err)
	_, err = inner.Apply(t.Context(), object("c"), driver.ApplyOptions{})
	require.NoError(t, err)
	view, err := c.As(driver.Identity{User: "blue"})
	require.NoError(t, err)
	seen, err := view.List(t.Context(), q)
	require.NoError(t, err)
	require.Len(t, seen.Items, len(first.Items)+1, "not what somebody else was answered")
}
