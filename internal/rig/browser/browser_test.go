package browser

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

//go:embed testdata/axe-core/axe.min.js
var axe string

// program builds the reference server.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "refserver")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./refserver/cmd/refserver")
	build.Dir = "../../.."
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// run runs one of its commands, and returns what it prints.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program(t), args...).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// server starts it, and returns its address.
func server(t *testing.T, args ...string) string {
	t.Helper()
	chromium(t)
	run := exec.Command(program(t), append([]string{"-addr", "127.0.0.1:0", "-log-level", "warn"}, args...)...)
	run.Stderr = t.Output()
	stdout, err := run.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, run.Start())
	t.Cleanup(func() {
		_ = run.Process.Signal(syscall.SIGTERM)
		_ = run.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(line, "Open ")), "/")
}

// tab is a page of a browser, and what was wrong with it.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string
	dir  string // of screenshots

	mu     sync.Mutex
	faults []string
	errors int // answers of the server that are errors, and expected
	shots  int
}

// open opens a browser on a server. What it says in the console, what it throws
// and what it asks other hosts for is a fault of the test.
func open(t *testing.T, base string, flags ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	program := chromium(t)
	at, err := url.Parse(base)
	require.NoError(t, err)
	opts := slices.Concat(chromedp.DefaultExecAllocatorOptions[:], []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.NoSandbox,
		chromedp.WindowSize(1280, 900), chromedp.Flag("lang", "en"), chromedp.Flag("disable-dev-shm-usage", true)}, flags)
	p := &tab{t: t, base: base, dir: t.ArtifactDir()}
	t.Cleanup(func() {
		for _, fault := range p.faults {
			t.Error(fault)
		}
	})
	for attempt := 1; ; attempt++ { // now and then a Chromium crashes when it starts
		alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
		ctx, end := chromedp.NewContext(alloc)
		t.Cleanup(func() {
			_ = chromedp.Cancel(ctx) // waits until the browser has ended
			end()
			stop()
		})
		err := chromedp.Do(ctx)
		if err == nil {
			p.ctx = ctx
			break
		}
		if t.Log(err); attempt == 3 {
			t.FailNow()
		}
	}
	ctx := p.ctx
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.fault("thrown: %s", (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
		case *runtime.EventConsoleAPICalled:
			var said []string
			for _, a := range e.Args {
				said = append(said, string(a.Value)+a.Description)
			}
			p.fault("console.%s: %s", e.Type, strings.Join(said, " "))
		case *log.EventEntryAdded:
			if e.Entry.Source == "network" && p.expected() {
				return
			}
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				p.fault("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			if u, err := url.Parse(e.Request.URL); err == nil && u.Host != at.Host && u.Scheme != "data" && u.Scheme != "blob" {
				p.fault("a request to another host: %s", e.Request.URL)
			}
		}
	}))
	for _, enable := range []cdp.Command[cdp.Empty, cdp.Empty]{log.Enable, runtime.Enable} {
		_, err := chromedp.Call(ctx, enable, cdp.Empty{})
		require.NoError(t, err)
	}
	_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	return p
}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium is installed: the console was not looked at")
	return ""
}

func (p *tab) fault(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// httpErrors says that so many answers will be errors, of which a browser tells in
// its console.
func (p *tab) httpErrors(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors += n
}

func (p *tab) expected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errors--
	return p.errors >= 0
}

// do does something within a minute, or shows what the page looks like.
func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	value(p, chromedp.Steps(actions...))
}

// value is what an action gives.
func value[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		p.shot("stuck")
		p.t.Fatalf("%v; the page says: %s", err, p.text("body"))
	}
	return v
}

// visit goes to an address.
func (p *tab) visit(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.base+path), chromedp.WaitVisible(chromedp.CSS("main h1")))
	p.settled()
}

// settled waits until nothing is being loaded.
func (p *tab) settled() {
	p.t.Helper()
	p.wait("!document.querySelector('[data-test=loading]')")
}

// wait waits until the page makes an expression true.
func (p *tab) wait(expression string) {
	p.t.Helper()
	value(p, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingInterval(100*time.Millisecond), chromedp.WithPollingTimeout(50*time.Second)))
}

func at(test string) chromedp.CSS { return chromedp.CSS(`[data-test="` + test + `"]`) }

// click clicks what has a name for tests, once it can be clicked.
func (p *tab) click(test string) {
	p.t.Helper()
	p.do(chromedp.WaitEnabled(at(test)), chromedp.Click(at(test), chromedp.NodeVisible))
}

// fill puts a text into a field in place of what it holds, as somebody who pastes.
func (p *tab) fill(test, text string) {
	p.t.Helper()
	p.do(chromedp.WaitVisible(at(test)), chromedp.Focus(at(test)),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.activeElement.select(); document.execCommand('insertText', false, %s)", quoted(text))))
}

// choose chooses of a list.
func (p *tab) choose(test, option string) {
	p.t.Helper()
	p.do(chromedp.WaitVisible(at(test)), chromedp.SetValue(at(test), option),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%s).dispatchEvent(new Event('change', {bubbles: true}))", quoted(string(at(test))))))
}

// sees waits until something that has a name for tests says a text.
func (p *tab) sees(test, text string) {
	p.t.Helper()
	p.wait(fmt.Sprintf("[...document.querySelectorAll(%s)].some(e => e.innerText.includes(%s))", quoted(string(at(test))), quoted(text)))
}

// text is what an element says now.
func (p *tab) text(selector string) string {
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	out, _ := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%s)?.innerText ?? ''", quoted(selector))))
	return out
}

// shot keeps what the page looks like.
func (p *tab) shot(name string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Log("no screenshot:", err)
		return
	}
	p.shots++
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, fmt.Sprintf("%02d-%s.png", p.shots, name)), png, 0o644))
}

// judge runs axe-core over the page: nothing serious or critical is let pass.
func (p *tab) judge(name string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void]("typeof axe === 'undefined' && (0, eval)(" + quoted(axe) + ")"))
	for _, v := range value(p, chromedp.Evaluate[[]struct {
		ID     string `json:"id"`
		Impact string `json:"impact"`
		Help   string `json:"help"`
		Nodes  []struct {
			HTML string `json:"html"`
		} `json:"nodes"`
	}]("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)", chromedp.EvalAwaitPromise)) {
		for _, n := range v.Nodes {
			if v.Impact == "serious" || v.Impact == "critical" {
				p.fault("%s: axe: %s %s: %s: %s", name, v.Impact, v.ID, v.Help, n.HTML)
			} else {
				p.t.Logf("%s: axe: %s %s: %s", name, v.Impact, v.ID, n.HTML)
			}
		}
	}
}

func quoted(text string) string {
	data, _ := json.Marshal(text)
	return string(data)
}

// dark shows the page as to somebody who likes it dark.
func (p *tab) dark() {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	require.NoError(p.t, err)
}
