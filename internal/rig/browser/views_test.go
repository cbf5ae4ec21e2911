package browser

import (
	"net/url"
	"testing"
)

// views are all that the console shows, of the demonstration.
func views() map[string]string {
	return map[string]string{
		"home": "/", "applications": "/applications", "filtered": "/applications?search=shop&status=Ready", "application": "/applications/shop-live/shop",
	}
}

func TestEveryViewInEveryLight(t *testing.T) {
	p := open(t, server(t, "-demo"))
	for name, path := range views() {
		p.visit(path)
		p.shot(name)
		p.judge(name + " " + url.PathEscape(path))
	}
}
