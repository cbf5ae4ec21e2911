package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// TestAnOperatorsDay is what somebody does who looks after it all: a team, what it
// may use, an environment, an approval, what drifted, what was removed by mistake,
// a token for the CI.
func TestAnOperatorsDay(t *testing.T) {
	p := open(t, server(t, "-demo"))
	p.visit("/")
	p.do(chromedp.WaitVisible(at("attention")))
	t.Log("first page, ms:", value(p, chromedp.Evaluate[float64](`performance.getEntriesByName('appspan-shown')[0]?.startTime ?? -1`)))

	p.click("nav-teams")
	p.click("team-add")
	p.fill("team-id", "Night Shift")
	p.click("form-submit")
	p.wait(`document.querySelector('[data-test="team-id"]:invalid')`)
	p.fill("team-id", "night")
	p.click("form-submit")
	p.click("member-add")
	p.fill("member-subject", "dora")
	p.choose("member-role", "developer")
	p.shot("member")
	p.judge("member")
	p.click("form-submit")
	p.sees("members", "dora")
	p.click("quota-edit")
	p.fill("quota-text", "cpu=4\nmemory=8Gi")
	p.click("form-submit")
	p.sees("amounts", "8Gi")
	p.click("quota-edit")
	p.fill("quota-text", "cpu=-1")
	p.httpErrors(1)
	p.click("form-submit")
	p.sees("problem", "cpu")
	p.shot("refused")
	p.judge("refused")
	p.click("form-cancel")

	p.click("nav-stages")
	p.click("stage-open")
	p.sees("plan", "us-1")
	p.shot("stage")
	p.judge("stage")
	p.fill("stage-comment", "looks right")
	p.click("stage-approve")
	p.sees("stage", "looks right")
	p.wait(`document.querySelector('[data-test="stage"] .badge.done')`)
	p.shot("approved")

	p.click("nav-environments")
	p.click("environment-add")
	p.fill("environment-application", "website")
	p.fill("environment-name", "preview")
	p.click("environment-on-us-1")
	p.fill("environment-namespace", "website-preview")
	p.shot("environment")
	p.judge("environment")
	p.click("form-submit")
	p.sees("environment", "preview")

	p.visit("/applications/website/website?tab=drift")
	p.sees("drift", ".spec.replicas")
	p.click("do-heal")
	p.applied("website-web", "done")
	p.opened()
	p.click("tab-drift")
	p.wait(`[...document.querySelectorAll('[data-test="drift"]')].every(e => e.innerText.includes('As released'))`)
	// with the arrow keys, from one view to the next
	p.do(chromedp.Focus(at("tab-drift")), chromedp.KeyEvent(kb.ArrowLeft))
	p.wait(`document.querySelector('[data-test="tab-logs"][aria-selected="true"]') && document.activeElement.id === 'tab-logs'`)

	p.click("do-stop")
	p.applied("website-web", "done")
	p.opened()
	p.is("stopped")
	p.click("do-start")
	p.applied("website-web", "done")
	p.opened()
	p.is("ready")
	p.click("do-remove")
	p.click("form-plan")
	p.applied("website-web", "done")
	p.click("nav-applications")
	p.click("nav-recycled")
	p.sees("recycled", "website")
	p.shot("recycled")
	p.do(chromedp.Click(chromedp.CSS(`[data-test="do-restore"]`)))
	p.applied("website-web", "done")

	p.click("me")
	p.click("token-add")
	p.fill("make-description", "the CI")
	p.click("form-submit")
	p.wait(`document.querySelector('[data-test="made"]')?.value.startsWith('appspan_')`)
	p.click("form-cancel")
	p.sees("tokens", "the CI")

	// from the keyboard alone: the first key goes to the content
	p.visit("/")
	p.do(chromedp.KeyEvent(kb.Tab))
	p.wait(`document.activeElement.className === 'skip'`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.wait(`document.activeElement.id === 'main'`)
}

// TestPeopleLogInWithATokenAndOutAgain: what was asked for is shown after the
// login; what the browser keeps is no token.
func TestPeopleLogInWithATokenAndOutAgain(t *testing.T) {
	chromium(t)
	dir := t.TempDir()
	token := run(t, "token", "-data", dir, "-subject", "ann")
	p := open(t, server(t, "-data", dir, "-tokens", "-operators", "ann"))
	p.httpErrors(1) // the first question, who one is, is answered with 401
	p.visit("/audit")
	p.do(chromedp.WaitVisible(at("login-token")))
	p.shot("login")
	p.judge("login")
	p.fill("login-token", "appspan_wrong")
	p.httpErrors(1)
	p.click("login-submit")
	p.do(chromedp.WaitVisible(at("problem")))
	p.fill("login-token", token)
	p.click("login-submit")
	p.sees("me", "ann")
	p.wait(`location.pathname === '/audit'`)
	p.sees("audit", "nobody")
	require.Empty(t, value(p, chromedp.Evaluate[string]("document.cookie + Object.values(sessionStorage).join() + Object.values(localStorage).join()")))
	p.click("nav-overview")
	p.sees("empty", "No application yet")
	p.shot("nothing-yet")
	p.judge("nothing-yet")
	p.click("logout")
	p.do(chromedp.WaitVisible(at("login-token")))
	p.httpErrors(1)
	p.visit("/")
	p.do(chromedp.WaitVisible(at("login-token")))
}
