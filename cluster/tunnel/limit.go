package tunnel

import (
	"sync"
	"time"
)

const (
	maxFailures = 10          // of one address
	forgiving   = time.Minute // for all of them
	maxAddrs    = 4096        // that are remembered
)

// failures counts failed joins by address. Of more addresses than it can
// remember it counts all the others as one.
type failures struct {
	mu    sync.Mutex
	since time.Time
	count map[string]int
}

// blocked reports whether an address has failed too often.
func (f *failures) blocked(address string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgive()
	return f.count[f.slot(address)] >= maxFailures
}

// add counts a failure.
func (f *failures) add(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgive()
	f.count[f.slot(address)]++
}

// forgive begins anew when it is time.
func (f *failures) forgive() {
	if f.count == nil || time.Since(f.since) >= forgiving {
		f.since, f.count = time.Now(), map[string]int{}
	}
}

// slot is where an address is counted.
func (f *failures) slot(address string) string {
	if _, known := f.count[address]; !known && len(f.count) >= maxAddrs {
		return ""
	}
	return address
}
