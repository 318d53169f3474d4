package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is for a whole test on a slow machine; nothing waits for it where all is well.
const patience = 4 * time.Minute

// tab is a tab of Chromium; what its pages complain of fails the test.
type tab struct {
	*testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

func newTab(t *testing.T) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, patience)
	t.Cleanup(cancel)
	b := &tab{T: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *page.EventJavascriptDialogOpening:
			b.complain("a dialog opened: " + e.Message)
			go func() { _ = chromedp.Run(ctx, page.HandleJavaScriptDialog(true)) }()
		case *runtime.EventExceptionThrown:
			b.complain("an exception: " + e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError && !strings.HasSuffix(e.Entry.URL, "/favicon.ico") { // which Chromium asks for by itself
				b.complain(fmt.Sprintf("%s: %s", e.Entry.URL, e.Entry.Text))
			}
		}
	})
	b.do(log.Enable(), page.Enable())
	t.Cleanup(b.check)
	return b
}

func (b *tab) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = append(b.complaints, text)
}

func (b *tab) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.complaints {
		b.Error(text)
	}
}

func (b *tab) do(actions ...chromedp.Action) {
	b.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// eval evaluates an expression, or what it promises.
func eval[V any](b *tab, expression string) (v V) {
	b.Helper()
	b.do(chromedp.Evaluate(expression, &v, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true).WithUserGesture(true)
	}))
	return v
}

// until waits for an expression to be true.
func (b *tab) until(expression string) {
	b.Helper()
	b.do(chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(time.Minute)))
}

// axe fails for each violation that axe-core finds.
func (b *tab) axe(what string) {
	b.Helper()
	text, err := os.ReadFile(os.Getenv("AXE"))
	if err != nil {
		b.Fatalf("axe-core: %v; browser.sh brings it", err)
	}
	b.do(chromedp.Evaluate(string(text), nil))
	found := eval[[]string](b, `axe.run().then(r => r.violations.map(v => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 3).map(n => n.html).join(' | ')))`)
	for _, violation := range found {
		b.Errorf("%s: %s", what, violation)
	}
}

// screen sets how large the window is, and whether the system is dark.
func (b *tab) screen(width, height int64, dark bool) {
	b.Helper()
	scheme := map[bool]string{true: "dark", false: "light"}[dark]
	b.do(emulation.SetDeviceMetricsOverride(width, height, 1, false),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// picture keeps what is seen, where pictures are wanted.
func (b *tab) picture(name string) {
	b.Helper()
	dir := os.Getenv("PICTURES")
	if dir == "" {
		return
	}
	var png []byte
	b.do(chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(filepath.Join(dir, name), png, 0o644); err != nil { //nolint:gosec // for everybody
		b.Fatal(err)
	}
}

// Each view fits its window, from a small telephone to 4K, in light and dark, follows
// axe-core's rules, and shows what it is there for.
func TestViews(t *testing.T) {
	s := startServer(t)
	root := s.push(t, "team/app", "1", "linux", tarOf(t, "etc/motd", "hello\n", "bin/app", strings.Repeat("program ", 200_000)), tarOf(t, "etc/version", "1\n"))
	s.push(t, "team/app", "2", "linux", tarOf(t, "etc/motd", "hello\n", "bin/app", strings.Repeat("program ", 200_000)), tarOf(t, "etc/version", "2\n"))
	layer := s.firstLayer(t, "team/app", "1")
	b := newTab(t)
	for name, view := range map[string]struct{ query, shows string }{
		"images": {"", "team/app:2"}, "image": {"?root=" + root, "docker pull"}, "layer": {"?root=" + root + "&layer=" + layer, "etc/"},
		"directory": {"?root=" + root + "&layer=" + layer + "&path=etc", "motd"}, "file": {"?root=" + root + "&layer=" + layer + "&path=etc/motd", "hello"},
		"traffic": {"?view=traffic", "By the hour"}, "where": {"?view=where&root=" + root, "all of it"}, "peers": {"?view=peers", "Peers"},
	} {
		for _, dark := range []bool{false, true} {
			for _, width := range []int64{320, 1280, 3840} {
				what := fmt.Sprintf("%s, %d pixels, dark %t", name, width, dark)
				b.screen(width, width*10/16, dark)
				b.do(chromedp.Navigate(s.url + "/" + view.query))
				if !strings.Contains(eval[string](b, "document.body.innerText"), view.shows) {
					t.Errorf("%s: does not show %q", what, view.shows)
				}
				if over := eval[int](b, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
					t.Errorf("%s: %d pixels are out of sight", what, over)
				}
				if width < 3840 {
					b.axe(what)
				}
				if width == 1280 && !dark {
					b.picture("page-" + name + ".png")
				}
			}
		}
	}
}

// Who uses no mouse gets everywhere, and who has no scripts sees the same.
func TestKeyboardAndNoScripts(t *testing.T) {
	s := startServer(t)
	root := s.push(t, "team/app", "1", "linux", tarOf(t, "a", "b"))
	b := newTab(t)
	b.do(chromedp.Navigate(s.url), chromedp.KeyEvent("\t"))
	if got := eval[string](b, "document.activeElement.className"); got != "skip" {
		t.Errorf("the first stop is %q, expected the link that skips to the content", got)
	}
	b.do(chromedp.KeyEvent("\r"))
	b.until("document.activeElement.id === 'main'")
	stops := map[string]bool{}
	for range 12 {
		b.do(chromedp.KeyEvent("\t"))
		stops[eval[string](b, "document.activeElement.tagName + ' ' + (document.activeElement.getAttribute('href') ?? document.activeElement.id)")] = true
	}
	for _, want := range []string{"INPUT q", "A /?root=" + root} {
		if !stops[want] {
			t.Errorf("%s cannot be reached by keyboard: %v", want, stops)
		}
	}
	b.do(emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(s.url+"/?root="+root))
	var text string
	b.do(chromedp.Text("main", &text, chromedp.ByQuery))
	if !strings.Contains(text, "docker pull") || strings.Contains(text, "Copy") {
		t.Errorf("without scripts it says %q", text)
	}
}

// A line that is copied is the line that is shown.
func TestCopy(t *testing.T) {
	s := startServer(t)
	root := s.push(t, "team/app", "1", "linux", tarOf(t, "a", "b"))
	b := newTab(t)
	b.do(cdpbrowser.SetPermission(&cdpbrowser.PermissionDescriptor{Name: "clipboard-read"}, cdpbrowser.PermissionSettingGranted).WithOrigin(s.url),
		cdpbrowser.SetPermission(&cdpbrowser.PermissionDescriptor{Name: "clipboard-write"}, cdpbrowser.PermissionSettingGranted).WithOrigin(s.url),
		chromedp.Navigate(s.url+"/?root="+root), chromedp.Click("button.copy", chromedp.ByQuery))
	b.until("document.querySelector('button.copy').innerText.startsWith('Copied')")
	want := eval[string](b, "document.querySelector('.pull code').innerText")
	if got := eval[string](b, "navigator.clipboard.readText()"); got != want || !strings.HasPrefix(got, "docker pull ") {
		t.Errorf("copied %q, shown is %q", got, want)
	}
}

// A push appears while somebody looks.
func TestPushAppears(t *testing.T) {
	s := startServer(t)
	b := newTab(t)
	b.do(chromedp.Navigate(s.url))
	b.until("document.getElementById('no-pushes').hidden === false")
	root := s.push(t, "night/build", "7", "linux", tarOf(t, "a", "b"))
	b.until("document.querySelector('#pushes a')?.getAttribute('href') === '/?root=" + root + "'")
	if text := eval[string](b, "document.getElementById('pushes').innerText"); !strings.Contains(text, "night/build:7") {
		t.Errorf("it says %q", text)
	}
	b.axe("after a push")
	b.picture("page-push.png")
}

// What an image calls itself and its files is text, whatever it looks like: no dialog
// opens, no element appears, and nothing is asked of another host.
func TestHostileImages(t *testing.T) {
	const hostile = `"><script>alert(1)</script><img src=//192.0.2.1/x onerror=alert(1)>`
	s := startServer(t)
	root := s.push(t, "team/app", "1", hostile, tarOf(t, "dir/"+hostile, hostile))
	layer := s.firstLayer(t, "team/app", "1")
	b := newTab(t)
	for _, query := range []string{"", "?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "?root=" + root, "?root=" + root + "&layer=" + layer + "&path=dir"} {
		b.do(chromedp.Navigate(s.url + "/" + query))
		if n := eval[int](b, "document.images.length + document.scripts.length"); n != 1 {
			t.Errorf("%s: %d images and scripts, expected its own script alone", query, n)
		}
	}
	b.until("document.body.innerText.includes('<script>alert(1)<')")
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b.Bytes())
}
