package page_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/cmd/sluice/app/page"
	"github.com/sluice-net/sluice/policy/connectivity"
)

var pictures = flag.String("screenshots", "", "write screenshots into this directory")

var browser context.Context

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1440, 900))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	var end context.CancelFunc
	browser, end = chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(browser); err != nil {
		fmt.Fprintln(os.Stderr, "start chromium:", err)
		return 1
	}
	return m.Run()
}

// tab is a page in a tab of its own, and what was said against it.
type tab struct {
	*testing.T
	ctx  context.Context
	url  string
	lock sync.Mutex
	// faults are errors and warnings of the console, and requests besides the first.
	faults   []string
	requests atomic.Int64
}

func (b *tab) fault(format string, args ...any) {
	b.lock.Lock()
	defer b.lock.Unlock()
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// TestFaultsAreSeen: the other tests would notice.
func TestFaultsAreSeen(t *testing.T) {
	html := `<html data-ready="yes"><script>console.error("no"); fetch("file:///nowhere").catch(() => 0); setTimeout(() => { throw Error("no") })</script>`
	b := open(t, []byte(html), "")
	b.frame()
	b.lock.Lock()
	defer b.lock.Unlock()
	seen := strings.Join(b.faults, "\n")
	for _, want := range []string{"console.error", "request for file:///nowhere", "exception"} {
		if !strings.Contains(seen, want) {
			t.Errorf("%s is not among the faults:\n%s", want, seen)
		}
	}
	b.faults = nil
}

func (b *tab) heard(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.fault("exception: %s", e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		b.fault("console.%s", e.Type)
	case *log.EventEntryAdded:
		b.fault("%s: %s", e.Entry.Level, e.Entry.Text)
	case *network.EventRequestWillBeSent:
		b.requests.Add(1)
		if base, _, _ := strings.Cut(e.Request.URL, "#"); base != b.url {
			b.fault("request for %s", e.Request.URL)
		}
	}
}

// open writes a page to a file and opens it, with a hash.
func open(t *testing.T, html []byte, hash string) *tab {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, html, 0o600); err != nil {
		t.Fatal(err)
	}
	b := &tab{T: t, url: "file://" + file}
	var end context.CancelFunc
	b.ctx, end = chromedp.NewContext(browser, chromedp.WithListener(b.heard))
	t.Cleanup(end)
	t.Cleanup(func() {
		b.lock.Lock()
		defer b.lock.Unlock()
		for _, f := range b.faults {
			t.Error(f)
		}
	})
	if err := chromedp.Do(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		if _, err := cdp.Call(ctx, t, network.Enable, network.EnableParams{}); err != nil {
			return chromedp.Void{}, err
		}
		_, err := cdp.Call(ctx, t, log.Enable, cdp.Empty{})
		return chromedp.Void{}, err
	})
	b.do(chromedp.Navigate(b.url+hash), chromedp.WaitReady(chromedp.CSS(`html[data-ready="yes"]`)))
	if b.requests.Load() == 0 {
		t.Fatal("the request for the page itself was not seen, so others would not be either")
	}
	return b
}

// patience is how long anything of a page may take, so that what never comes fails a
// test instead of holding up all of them.
const patience = 20 * time.Second

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.Fatal(err)
	}
}

// eval evaluates an expression.
func eval[T any](b *tab, expression string, options ...chromedp.EvaluateOption) T {
	b.Helper()
	ctx, end := context.WithTimeout(b.ctx, patience)
	defer end()
	out, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, options...))
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// text is what an element says.
func (b *tab) text(selector string) string {
	b.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q)?.textContent ?? ''", selector))
}

// frame waits until what was asked for is drawn.
func (b *tab) frame() {
	b.Helper()
	eval[chromedp.Void](b, "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))", chromedp.EvalAwaitPromise)
}

func (b *tab) says(selector, want string) {
	b.Helper()
	if got := b.text(selector); !strings.Contains(got, want) {
		b.Errorf("%s says %q, want %q in it", selector, got, want)
	}
}

func (b *tab) scheme(dark bool) {
	b.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}},
		})
		return chromedp.Void{}, err
	})
	b.frame()
}

func (b *tab) picture(name string) {
	b.Helper()
	if *pictures == "" {
		return
	}
	b.frame()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*pictures, name+".png"), png, 0o600); err != nil {
		b.Fatal(err)
	}
}

func options(command string) page.Options {
	return page.Options{
		Command: "sluice " + command + " -o html", Explain: "sluice explain -f deploy", Version: "v1.2.3", Place: place,
		OldPlace: func(p types.NamespacedName, path ...any) string { return "HEAD:" + place(p, path...) },
		Notices:  []string{"skipped: 37 objects of other kinds (-v lists them)"},
	}
}

func listPage(t *testing.T, c *connectivity.Cluster) []byte {
	t.Helper()
	var out bytes.Buffer
	list := connectivity.New(c).List(connectivity.ListOptions{Why: true})
	if err := page.List(&out, &list, options("list -f deploy")); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func diffPage(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	d := connectivity.Diff(cluster(n), changed(n))
	if err := page.Diff(&out, &d, options("diff HEAD:deploy deploy")); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func exposurePage(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	x := connectivity.NewExposure(cluster(n))
	if err := page.Exposure(&out, &x, options("exposure -f deploy")); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
