package team

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/appspan-dev/appspan/storage"
)

// keeper keeps teams.
type keeper struct {
	teams  *Teams
	opts   RunOptions
	events *teller
	wg     sync.WaitGroup // of loops

	mu    sync.Mutex
	known map[string][]string // clusters by team
	loops map[string]*loop    // by cluster
}

// followTeams keeps known and loops as teams are recorded.
func (k *keeper) followTeams(ctx context.Context) error {
	return k.follow(ctx, teamPrefix, func(e storage.Event) {
		id := strings.TrimPrefix(e.Record.Key, teamPrefix)
		switch e.Type {
		case storage.Added, storage.Modified:
			d, err := decodeTeam(e.Record)
			if err != nil { // others go on
				k.opts.Logger.Error("a team cannot be read", "record", e.Record.Key, "error", err)
				return
			}
			k.set(ctx, id, d.involved())
		case storage.Deleted:
			k.set(ctx, id, nil)
			if err := k.teams.forgetConditions(ctx, id); err != nil && ctx.Err() == nil {
				k.opts.Logger.Warn("forgetting a team", "team", id, "error", err)
			}
		case storage.Reset:
			for _, id := range k.all() {
				k.set(ctx, id, nil)
			}
		}
	})
}

// followCredentials looks at teams whose image pull credentials change.
func (k *keeper) followCredentials(ctx context.Context) error {
	synced := false
	return k.follow(ctx, credentialsPrefix, func(e storage.Event) {
		switch {
		case e.Type == storage.Synced:
			synced = true
		case e.Record.Key != "" && synced:
			id, clusterName := splitPlace(strings.TrimPrefix(e.Record.Key, credentialsPrefix))
			k.mu.Lock()
			defer k.mu.Unlock()
			if l := k.loops[clusterName]; l != nil {
				l.changed(id)
			}
		}
	})
}

func (k *keeper) follow(ctx context.Context, prefix string, handle func(storage.Event)) error {
	for e, err := range k.teams.records.Watch(ctx, prefix, nil) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		handle(e)
	}
	return nil
}

func (k *keeper) all() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for id := range k.known {
		out = append(out, id)
	}
	return out
}

// set says on which clusters a team has something, or may have: each is looked
// at, and those that it is not on any more are left.
func (k *keeper) set(ctx context.Context, id string, clusters []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.known[id] {
		if !slices.Contains(clusters, name) && k.loops[name].remove(id) == 0 {
			k.loops[name].stop()
			delete(k.loops, name)
		}
	}
	for _, name := range clusters {
		l := k.loops[name]
		if l == nil {
			limited, stop := context.WithCancel(ctx)
			l = &loop{cluster: name, stop: stop, teams: map[string]bool{}, wake: make(chan struct{}, 1)}
			k.loops[name] = l
			k.wg.Go(func() { k.run(limited, l) })
		}
		l.add(id)
	}
	if k.known[id] = clusters; len(clusters) == 0 {
		delete(k.known, id)
	}
}
