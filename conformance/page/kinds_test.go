package page_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sluice-net/sluice/cmd/sluice/app/page"
	"github.com/sluice-net/sluice/policy/connectivity"
)

func TestDiffSaysWhatCausesIt(t *testing.T) {
	b := open(t, diffPage(t, 10), "")
	b.says("#detail", "shop/db removed")
	b.clickCell("Deployment shop/api", "StatefulSet shop/db")
	for _, want := range []string{"newly denied: TCP 5432", "before: TCP 5432", "now: nothing", "shop/db spec.ingress[0].from[0]HEAD:deploy/shop/db.yaml:100", "allowed it before"} {
		b.says("#detail", want)
	}
	b.picture("diff-cell-denied")
	b.clickCell("Deployment shop/frontend", "Deployment shop/cache")
	for _, want := range []string{"newly allowed: TCP 6379,16379", "shop/cache spec.ingress[0]deploy/shop/cache.yaml:10", "allows it now"} {
		b.says("#detail", want)
	}
	b.clickCell("Deployment shop/frontend", "Deployment shop/api")
	b.says("#detail", "on other ports or conditions: TCP 9001")
	b.picture("diff-cell-changed")
	b.do(chromedp.Click(chromedp.CSS("#tab-graph")))
	b.picture("diff-graph")
}

func TestExposureSaysWhoIsLetIn(t *testing.T) {
	b := open(t, exposurePage(t, 100), "")
	b.clickCell("Deployment shop/frontend", "open to outside addresses")
	for _, want := range []string{"open on some ports: TCP 8080", "0.0.0.0", "Allowed into Deployment shop/frontend by:", "shop/frontend spec.ingress[0].from[0]"} {
		b.says("#detail", want)
	}
	b.picture("exposure-cell")
	b.clickCell("Deployment shop/api", "open to Pods by their labels")
	b.says("#detail", "any Pod of any namespace with team=0")
	b.clickCell("Deployment identity/api", "open to outside addresses")
	b.says("#detail", "No policy isolates these Pods in this direction")
	b.clickCell("StatefulSet shop/db", "open to outside addresses")
	b.says("#detail", "closed")
	b.says("#detail", "isolated in direction ingress by:shop/db")
}

// TestEntriesHaveAView: what comes in by an Ingress stands in no cell, but is found.
func TestEntriesHaveAView(t *testing.T) {
	o := page.Options{Entries: []page.Entry{
		{Entry: "Ingress shop/web", At: "shop.example.org/", Service: "Service shop/frontend:80", Target: "shop/frontend TCP 8080", State: "allowed", Why: "allowed from ingress-nginx/controller", Place: "web.yaml:4"},
		{Entry: "HTTPRoute shop/api", At: "api.example.org/v1", Service: "Service shop/api:80", Target: "shop/api TCP 8080", State: "depends", Why: "depends on who is the proxy"},
		{Entry: "Ingress blog/old", State: "leads nowhere", Why: "leads nowhere: there is no Service blog/old"},
	}}
	var html bytes.Buffer
	list := connectivity.New(cluster(10)).List(connectivity.ListOptions{Why: true})
	if err := page.List(&html, &list, o); err != nil {
		t.Fatal(err)
	}
	b := open(t, html.Bytes(), "")
	b.says("#tab-entries", "Entries (3)")
	b.do(chromedp.Click(chromedp.CSS("#tab-entries")))
	for _, want := range []string{"3 entries from outside", "Ingress shop/web", "web.yaml:4", "shop/frontend TCP 8080", "let in", "depends on who is the proxy", "leads nowhere"} {
		b.says(".entries", want)
	}
	b.picture("entries")
	b.link("view=entries&search-from=api.example")
	b.says(".entries", "1 entry from outside")
	if eval[bool](b, `document.querySelector(".entries").textContent.includes("blog/old")`) {
		t.Error("the search leaves an entry that it does not match")
	}
	b = open(t, html.Bytes(), "#view=entries")
	b.says(".entries", "3 entries from outside")
	b = open(t, listPage(t, cluster(10)), "#view=entries")
	if !eval[bool](b, `document.querySelector("#tab-entries") === null && !document.querySelector(".matrix").hidden`) {
		t.Error("a page without entries has a view of them")
	}
}

// TestEmptyPages: an answer may be that there is nothing.
func TestEmptyPages(t *testing.T) {
	var diff, exposure bytes.Buffer
	same := connectivity.Diff(cluster(10), cluster(10))
	nobody := connectivity.NewExposure(&connectivity.Cluster{})
	if err := errors.Join(page.Diff(&diff, &same, page.Options{}), page.Exposure(&exposure, &nobody, page.Options{})); err != nil {
		t.Fatal(err)
	}
	for name, html := range map[string][]byte{"list": listPage(t, &connectivity.Cluster{}), "diff": diff.Bytes(), "exposure": exposure.Bytes()} {
		t.Run(name, func(t *testing.T) {
			b := open(t, html, "")
			for _, view := range []string{"graph", "table", "matrix"} {
				b.do(chromedp.Click(chromedp.CSS("#tab-" + view)))
				b.frame()
			}
			b.do(chromedp.Focus(chromedp.CSS("#grid")))
			b.press(kb.ArrowDown + kb.ArrowRight + kb.Enter + kb.End)
			b.picture("empty-" + name)
			if name == "diff" {
				b.says(".summary", "Nothing passes otherwise than before.")
			}
		})
	}
}

// media has the page drawn as for paper.
func (b *tab) media(kind string) {
	b.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: kind})
		return chromedp.Void{}, err
	})
	b.frame()
}

func TestPrint(t *testing.T) {
	b := open(t, listPage(t, cluster(100)), "#from=Deployment+shop%2Fapi&to=StatefulSet+shop%2Fdb")
	pdf, err := chromedp.Run(b.ctx, chromedp.PrintToPDF())
	if err != nil {
		t.Fatal(err)
	}
	if pages := strings.Count(string(pdf), "/Type /Page\n"); pages < 2 {
		t.Errorf("printed are %d pages in %d bytes", pages, len(pdf))
	}
	// The lines stand on paper, whatever view is open, and nothing that is to be clicked.
	eval[bool](b, `window.dispatchEvent(new Event("beforeprint"))`)
	b.media("print")
	b.picture("print")
	shown := func(selector string) bool {
		return eval[bool](b, `[...document.querySelectorAll("`+selector+`")].some(e => e.getClientRects().length > 0)`)
	}
	if !shown(".lines-table td") || !shown("#detail") || shown(".toolbar") || shown(".matrix") || shown(".tools button") {
		t.Error("paper has not the lines and the explanation alone")
	}
	b.says(".lines-table", "TCP 5432")
	eval[bool](b, `window.dispatchEvent(new Event("afterprint"))`)
	b.media("")
	if !shown(".matrix") {
		t.Error("after printing the matrix is not back")
	}
}
