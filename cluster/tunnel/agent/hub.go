package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel"
)

// errMoved is how an attempt ends in which the hub told its new key.
var errMoved = errors.New("the hub has a new key; the agent comes again to that")

// recall finds out which key to expect of the hub: the one that the hub has
// told, as long as the token is the same, or the token's. What could not be
// kept before is kept now.
func (a *Agent) recall(ctx context.Context) error {
	if a.hub.IsZero() {
		note, err := a.keys.Note(ctx)
		if err != nil {
			return fmt.Errorf("the hub's key: %w", err)
		}
		a.hub = a.token.HubKey
		if id, key, _ := strings.Cut(strings.TrimSpace(note), " "); id == a.token.ID {
			if a.hub, err = tunnel.ParseKeyID(key); err != nil {
				return fmt.Errorf("the hub's key: %w: %w; join with a new token", appspan.ErrCorrupt, err)
			}
		}
		a.kept = a.hub
	}
	if a.kept == a.hub {
		return nil
	}
	if err := a.keys.Keep(ctx, a.token.ID+" "+a.hub.String()); err != nil {
		// This process knows it. The hub sees that a new one would not.
		a.opts.Logger.Error("the hub's new key cannot be kept; it is tried again with the next connection", "error", err)
		return nil
	}
	a.kept = a.hub
	a.opts.Logger.Info("the hub's new key is kept", "key", a.hub.String())
	return nil
}

// follow expects from now on a key that the hub has told.
func (a *Agent) follow(key string) error {
	hub, err := tunnel.ParseKeyID(key)
	if err != nil || hub.IsZero() || hub == a.hub {
		return fmt.Errorf("%w: the hub tells a new key that is none", appspan.ErrInvalid)
	}
	a.hub = hub
	return fmt.Errorf("%w: %w", appspan.ErrUnavailable, errMoved)
}
