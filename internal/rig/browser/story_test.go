package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const guestbook = `services:
  web:
    image: registry.example.com/guestbook/web:1.0
    ports: ["8080:80"]
    depends_on: [cache]
    environment:
      CACHE: redis://cache:6379
  cache:
    image: redis:7.4
    expose: ["6379"]
`

// applied looks at a plan, applies it, and waits how it ends.
func (p *tab) applied(plan, state string) {
	p.t.Helper()
	p.sees("plan", plan)
	p.shot("plan")
	p.judge("plan")
	p.click("plan-apply")
	p.do(chromedp.WaitVisible(at("operation-state")))
	p.wait(`document.querySelector('[data-test="operation-state"][data-state="` + state + `"]')`)
	p.shot("operation")
}

// is waits until the application's page says how it does.
func (p *tab) is(value string) {
	p.t.Helper()
	p.wait(`document.querySelector('main h1 .badge')?.classList.contains('` + value + `')`)
}

// in waits until the application of a namespace is shown.
func (p *tab) in(namespace string) {
	p.t.Helper()
	p.wait(`document.querySelector('[data-test="namespace"]')?.innerText === ` + quoted(namespace))
}

// opened goes from an operation to its application.
func (p *tab) opened() {
	p.t.Helper()
	p.click("operation-application")
	p.do(chromedp.WaitVisible(at("tab-status")))
}

// TestANewcomersStory is what somebody does who has never seen it, by clicking
// alone: they deploy a compose file to two clusters, change it after seeing the
// plan, break it, see why, roll back, copy it to production and promote a change.
func TestANewcomersStory(t *testing.T) {
	p := open(t, server(t, "-demo"))
	p.visit("/")
	p.sees("fleet", "eu-1")
	p.shot("home")

	p.click("nav-deploy")
	p.fill("deploy-text", "services:\n  web:\n    image: [")
	p.do(chromedp.WaitVisible(chromedp.CSS(".faults")))
	p.shot("faults")
	p.judge("faults")
	p.fill("deploy-text", guestbook)
	p.fill("deploy-name", "guestbook")
	p.sees("deploy-verdict", "web")
	p.click("target-eu-1")
	p.click("target-us-1")
	p.shot("deploy")
	p.click("deploy-plan")
	p.sees("plan", "us-1")
	p.applied("guestbook-web", "done")
	p.opened()
	p.is("ready")
	p.sees("status-tree", "us-1")
	p.shot("deployed")

	p.change("registry.example.com/guestbook/web:1.0", "registry.example.com/guestbook/web:1.1")
	p.applied("registry.example.com/guestbook/web:1.1", "done")
	p.opened()
	p.is("ready")

	p.change("registry.example.com/guestbook/web:1.1", "registry.example.invalid/guestbook/web:1.2")
	p.applied("registry.example.invalid/guestbook/web:1.2", "failed")
	p.opened()
	p.is("failed")
	p.sees("cause", "The image cannot be pulled")
	p.shot("broken")
	p.judge("broken")

	p.click("tab-releases")
	p.sees("releases", "3")
	p.shot("releases")
	p.click("release-changes")
	p.sees("changes-dialog", "registry.example.invalid/guestbook/web:1.2")
	p.shot("changes")
	p.judge("changes")
	p.click("dialog-close")
	p.click("do-rollback")
	p.click("form-plan")
	p.applied("registry.example.com/guestbook/web:1.1", "done")
	p.opened()
	p.is("ready")
	p.shot("rolled-back")

	p.click("do-copy")
	p.fill("form-namespace", "guestbook-live")
	p.fill("form-clusters", "us-1")
	p.shot("copy")
	p.judge("copy")
	p.click("form-plan")
	p.applied("guestbook-web", "done")
	p.opened()
	p.in("guestbook-live")
	p.is("ready")
	p.shot("copied")

	p.click("nav-applications")
	p.fill("filter-search", "guestbook")
	p.wait(`document.querySelectorAll('[data-test="application"]').length === 2`)
	p.shot("list")
	p.do(chromedp.Click(chromedp.CSS(`a[href="/applications/guestbook/guestbook"]`)))
	p.in("guestbook")
	p.change("redis:7.4", "redis:8.0")
	p.applied("redis:8.0", "done")

	p.click("nav-applications")
	p.fill("filter-namespace", "guestbook-live")
	p.wait(`document.querySelectorAll('[data-test="application"]').length === 1`)
	p.click("application")
	p.click("do-promote")
	p.applied("redis:8.0", "done")
	p.opened()
	p.is("ready")
	p.in("guestbook-live")
	p.shot("promoted")

	p.click("nav-audit")
	p.sees("audit", "guestbook")
	p.click("language")
	p.sees("nav-audit", "审计")
	p.shot("chinese")
}

// change changes a text of the application's document, and asks for the plan.
func (p *tab) change(before, after string) {
	p.t.Helper()
	p.click("do-change")
	p.wait(`document.querySelector('[data-test="deploy-text"]')?.value.includes(` + quoted(before) + `)`)
	p.fill("deploy-text", strings.ReplaceAll(value(p, chromedp.Value(at("deploy-text"))), before, after))
	p.do(chromedp.WaitEnabled(at("deploy-plan")))
	p.click("deploy-plan")
}
