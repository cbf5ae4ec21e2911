package deploy

import "time"

// Pauses are how long a field is left after each of so many heals.
func Pauses(limit FightLimit, n int) []time.Duration {
	var out []time.Duration
	for i := range n {
		out = append(out, limit.pause(i+1))
	}
	return out
}
