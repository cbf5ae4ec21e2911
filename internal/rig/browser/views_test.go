package browser

import (
	"maps"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// views are all that the console shows, of the demonstration.
func views() map[string]string {
	return map[string]string{
		"home": "/", "applications": "/applications", "filtered": "/applications?search=shop&status=Ready", "application": "/applications/shop/shop", "failed": "/applications/reports/reports",
		"releases": "/applications/shop/shop?tab=releases", "events": "/applications/reports/reports?tab=events", "logs": "/applications/shop/shop?tab=logs", "drift": "/applications/website/website?tab=drift",
		"deploy": "/deploy", "change": "/deploy?from=website%2Fwebsite", "environments": "/environments", "environment": "/environments/shop", "stages": "/stages",
		"operations": "/operations", "clusters": "/clusters", "cluster": "/clusters/eu-1", "teams": "/teams", "team": "/teams/storefront", "audit": "/audit", "embedded": "/applications?embed=1", "login": "/login", "recycled": "/recycled", "account": "/account",
	}
}

func TestEveryViewIsForEverybody(t *testing.T) {
	base := server(t, "-demo")
	for _, c := range []struct {
		name, lang string
		dark       bool
	}{{"light", "en", false}, {"dark", "zh-CN", true}} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, base, chromedp.Flag("lang", c.lang), chromedp.Flag("accept-lang", c.lang))
			if c.dark {
				p.dark()
			}
			for _, name := range slices.Sorted(maps.Keys(views())) {
				p.visit(views()[name])
				p.shot(name)
				p.judge(name)
			}
		})
	}
}
