package refserver

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// metrics counts requests. It writes the text format of Prometheus
// (version 0.0.4), which needs no library.
type metrics struct {
	mu      sync.Mutex
	counts  map[[3]string]uint64 // by route, method and status
	seconds map[string]*histogram
}

type histogram struct {
	buckets [8]uint64
	sum     float64
	count   uint64
}

func buckets() [8]float64 { return [8]float64{.001, .005, .025, .1, .25, 1, 5, 30} }

// observe notes a request. Its route is a pattern, so that there are only so
// many.
func (m *metrics) observe(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, method) {
		method = "other"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts[[3]string{route, method, strconv.Itoa(status)}]++
	h := m.seconds[route]
	if h == nil {
		h = &histogram{}
		m.seconds[route] = h
	}
	h.count++
	h.sum += took.Seconds()
	for i, le := range buckets() {
		if took.Seconds() <= le {
			h.buckets[i]++
		}
	}
}

func (m *metrics) write(w io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprintln(w, "# HELP appspan_http_requests_total Requests by route, method and status.\n# TYPE appspan_http_requests_total counter")
	for _, k := range slices.SortedFunc(maps.Keys(m.counts), func(a, b [3]string) int { return slices.Compare(a[:], b[:]) }) {
		fmt.Fprintf(w, "appspan_http_requests_total{route=%q,method=%q,status=%q} %d\n", k[0], k[1], k[2], m.counts[k])
	}
	fmt.Fprintln(w, "# HELP appspan_http_request_seconds How long requests took, by route.\n# TYPE appspan_http_request_seconds histogram")
	for _, route := range slices.Sorted(maps.Keys(m.seconds)) {
		h := m.seconds[route]
		for i, le := range buckets() {
			fmt.Fprintf(w, "appspan_http_request_seconds_bucket{route=%q,le=%q} %d\n", route, strconv.FormatFloat(le, 'g', -1, 64), h.buckets[i])
		}
		fmt.Fprintf(w, "appspan_http_request_seconds_bucket{route=%q,le=\"+Inf\"} %d\n", route, h.count)
		fmt.Fprintf(w, "appspan_http_request_seconds_sum{route=%q} %g\nappspan_http_request_seconds_count{route=%q} %d\n", route, h.sum, route, h.count)
	}
}
