package deploy

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
)

func TestASlowCallbackHearsTheLatestOfEachThingInTheOrderInWhichItHappened(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	var heard []appspan.Event
	d := newDispatcher(func(e appspan.Event) {
		if len(heard) == 0 {
			close(begun)
			<-goOn
		}
		heard = append(heard, e)
	})
	state := func(component, message string) appspan.Event {
		return appspan.Event{Cluster: "a", Kind: appspan.EventState, Phase: PhaseReady, Component: component, Message: message}
	}
	d.send(state("first", "first"))
	<-begun
	for i := range 10_000 {
		d.send(state("web", fmt.Sprintf("web %d", i)))
		d.send(appspan.Event{Cluster: "a", Kind: appspan.EventWarning, Phase: PhaseReady, Component: "web", Message: fmt.Sprintf("failed %d", i)})
		d.send(state("db", fmt.Sprintf("db %d", i)))
		d.send(appspan.Event{Cluster: "a", Kind: appspan.EventProgress, Phase: PhaseApply, Component: fmt.Sprint(i % 7), Done: i + 1, Total: 10_000})
	}
	d.send(state("web", "ready"))
	d.send(appspan.Event{Cluster: "b", Kind: appspan.EventState, Phase: PhaseReady, Component: "web", Message: "elsewhere"})
	d.mu.Lock()
	require.Equal(t, 5, d.queue.Len())
	d.mu.Unlock()
	close(goOn)
	d.close()
	var texts []string
	for i, e := range heard {
		require.EqualValues(t, i+1, e.Seq)
		texts = append(texts, fmt.Sprint(e.Cluster, " ", e.Message, " ", e.Done))
	}
	require.Equal(t, []string{"a first 0", "a failed 9999 0", "a db 9999 0", "a  10000", "a ready 0", "b elsewhere 0"}, texts)
}
