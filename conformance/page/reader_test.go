package page_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// press presses keys where the focus is.
func (b *tab) press(keys string) {
	b.Helper()
	b.do(chromedp.KeyEvent(keys))
	b.frame()
}

// clickCell clicks into the cell of two ends: a link says where it is on the axes, and
// the grid how large the axes are.
func (b *tab) clickCell(row, column string) {
	b.Helper()
	b.link(url.Values{"from": {row}, "to": {column}}.Encode())
	at := eval[[]float64](b, `(() => {
		const grid = document.getElementById("grid"), cell = document.getElementById("cell-now"), box = grid.getBoundingClientRect();
		const { left, top, size } = grid.dataset;
		return [box.left + +left + (cell.ariaColIndex - 0.5) * size - grid.scrollLeft, box.top + +top + (cell.ariaRowIndex - 0.5) * size - grid.scrollTop];
	})()`)
	b.link("") // nothing is chosen, and nothing scrolls back
	b.do(chromedp.MouseClickXY(at[0], at[1]))
	b.frame()
}

// shows compares how many rows and columns are shown.
func (b *tab) shows(rows, columns int) {
	b.Helper()
	want := fmt.Sprintf("%d rows, %d columns", rows, columns)
	if got := strings.ReplaceAll(b.text("#extent"), "1,0", "10"); got != want {
		b.Errorf("the matrix has %s, want %s: searched is %q", got, want, eval[string](b, `document.getElementById("search-from").value`))
	}
}

func TestClickOfCellExplainsIt(t *testing.T) {
	b := open(t, listPage(t, cluster(10)), "")
	b.clickCell("Deployment shop/api", "StatefulSet shop/db")
	for _, want := range []string{
		"Deployment shop/api", "→ StatefulSet shop/db", "allowed on some ports: TCP 5432",
		"shop/default-deny spec.egress[1].to[0]deploy/shop/default-deny.yaml:110", "shop/db spec.ingress[0].from[0]deploy/shop/db.yaml:100",
	} {
		b.says("#detail", want)
	}
	b.clickCell("Deployment shop/cache", "StatefulSet shop/db")
	for _, want := range []string{"denied", "no rules of both", "isolated in direction egress by:shop/default-deny deploy", "isolated in direction ingress by:shop/db deploy/shop/db.yaml:1shop/default-deny"} {
		b.says("#detail", want)
	}
	b.clickCell("Deployment shop/api", "Deployment shop/frontend")
	b.says("#detail", "allowed on a condition")
	b.says("#detail", "if the address is in ::/0")
	b.clickCell("Deployment shop/cache", "Deployment shop/cache")
	b.says("#detail", "no policy is asked about a Pod and itself")
}

func TestLinkLeadsToCell(t *testing.T) {
	b := open(t, listPage(t, cluster(10)), "")
	b.clickCell("Deployment shop/api", "StatefulSet shop/db")
	hash := eval[string](b, "location.hash")
	if hash != "#from=Deployment+shop%2Fapi&to=StatefulSet+shop%2Fdb" {
		t.Errorf("the address is %s", hash)
	}
	// In a larger cluster the same link opens the namespace that it leads to.
	other := open(t, listPage(t, cluster(300)), hash)
	other.says("#detail", "allowed on some ports: TCP 5432")
	other.says("#cell-now", "Deployment shop/api to StatefulSet shop/db: allowed on some ports, TCP 5432")
	other.clickCell("Deployment shop/api", "Deployment shop/cache") // so it was scrolled into sight
	other.says("#detail", "TCP 6379,16379")
	// A link to what is gone is no error.
	other.link("from=Deployment gone/api&to=StatefulSet shop/db&view=nothing")
	other.says("#detail", "StatefulSet shop/db")
	// Back, and the next: links are followed without loading anew.
	other.link("view=table&search-to=payee")
	other.says(".lines-table caption", "0 lines")
}

func TestSearchAndFilters(t *testing.T) {
	b := open(t, listPage(t, cluster(100)), "")
	b.shows(105, 105)
	eval[bool](b, `document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "/", bubbles: true }))`)
	b.press("shop role=db")
	b.shows(2, 105)
	b.says("[role=status]", "2 rows, 105 columns")
	b.do(chromedp.SendKeys(chromedp.CSS("#search-to"), "internet"))
	b.frame()
	b.shows(2, 5)
	b.do(chromedp.Click(chromedp.CSS("#connected")))
	b.frame()
	b.shows(2, 5)
	b.link("search-from=shop&search-to=shop+role%3Ddb&connected=yes")
	b.shows(4, 2) // of the shop only its APIs and workers reach its databases
	b.link("search-from=shop+role%3Ddb&search-to=internet&connected=yes")
	b.do(chromedp.SendKeys(chromedp.CSS("#search-to"), "zzz"))
	b.frame()
	b.shows(0, 0) // no row has a connection with what is not there
	b.link("")
	b.do(chromedp.Click(chromedp.CSS("#namespaces summary")), chromedp.Click("#namespaces label:nth-of-type(1) input"))
	b.frame()
	b.shows(85, 85)
	b.says("#namespaces summary", "5 of 6 namespaces")
	if hash := eval[string](b, "location.hash"); hash != "#without=catalog" {
		t.Errorf("the address is %s", hash)
	}
}

func TestKeyboard(t *testing.T) {
	b := open(t, listPage(t, cluster(10)), "")
	b.do(chromedp.Focus(chromedp.CSS("#grid")))
	b.press(kb.ArrowRight)
	b.says("#cell-now", "Deployment payments/api to Deployment payments/cache: allowed on some ports, TCP 6379,16379")
	b.says("[role=status]", "Deployment payments/api to Deployment payments/cache")
	b.press(kb.End)
	b.says("#cell-now", "Deployment payments/api to ::/0: allowed on some ports, UDP 53")
	b.press(kb.Home)
	b.press(kb.ArrowDown + kb.ArrowDown + kb.ArrowDown + kb.ArrowDown + kb.ArrowDown)
	b.says("#cell-now", "Deployment shop/api to Deployment payments/api") // past the heading
	b.press(kb.Enter)
	if on := eval[string](b, "document.activeElement.tagName"); on != "H2" {
		t.Errorf("after Enter the focus is on %s, not on the explanation", on)
	}
	b.says("#detail", "denied")
	b.press(kb.Escape)
	b.says("#detail", "Nothing is chosen")
	if on := eval[string](b, "document.activeElement.id"); on != "grid" {
		t.Errorf("after Escape the focus is on %q, not on the matrix", on)
	}
	b.press("c")
	b.shows(11, 11)
	b.press("g")
	if got := eval[int](b, `document.querySelectorAll(".node").length`); got < 3 {
		t.Errorf("the graph has %d nodes", got)
	}
	b.do(chromedp.Focus(chromedp.CSS(".node")))
	b.press(kb.Enter)
	b.says(".graph .note", "can reach it")
	b.press("m")
	if eval[bool](b, `document.querySelector(".matrix").hidden`) {
		t.Error("m does not lead back to the matrix")
	}
}

func TestNamesAndRolesForScreenReaders(t *testing.T) {
	b := open(t, listPage(t, cluster(10)), "")
	for _, view := range []string{"matrix", "graph", "table"} {
		b.do(chromedp.Click(chromedp.CSS("#tab-" + view)))
		b.frame()
		nameless := eval[[]string](b, `[...document.querySelectorAll("button, input, summary, [role=grid], [role=button], [role=tab], [tabindex='0']")]
			.filter(e => e.getClientRects().length)
			.filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
			.map(e => e.outerHTML.slice(0, 120))`)
		if len(nameless) > 0 {
			t.Errorf("%s: nothing names %q", view, nameless)
		}
		if got := eval[string](b, `document.querySelector("[aria-selected=true]").id`); got != "tab-"+view {
			t.Errorf("%s: the tab that is selected is %s", view, got)
		}
	}
	if n := eval[int](b, `document.querySelectorAll("[id]").length - new Set([...document.querySelectorAll("[id]")].map(e => e.id)).size`); n != 0 {
		t.Errorf("%d ids stand twice", n)
	}
}

// TestScreenReaderHearsTheCell asks the browser what it tells assistive technology.
func TestScreenReaderHearsTheCell(t *testing.T) {
	b := open(t, listPage(t, cluster(10)), "#from=Deployment+shop%2Fapi&to=StatefulSet+shop%2Fdb")
	tree, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	if err != nil {
		t.Fatal(err)
	}
	heard := map[string][]string{}
	for _, n := range tree.Nodes {
		if !n.Ignored && n.Role != nil && n.Name != nil {
			heard[strings.Trim(string(n.Role.Value), `"`)] = append(heard[strings.Trim(string(n.Role.Value), `"`)], strings.Trim(string(n.Name.Value), `"`))
		}
	}
	for role, want := range map[string]string{
		"gridcell":      "Deployment shop/api to StatefulSet shop/db: allowed on some ports, TCP 5432",
		"grid":          "Matrix. Rows are where connections come from",
		"complementary": "Explanation",
		"search":        "Search and filters",
		"tab":           "Matrix",
		"searchbox":     "From",
		"heading":       "Who can reach whom",
	} {
		if !slices.ContainsFunc(heard[role], func(name string) bool { return strings.HasPrefix(name, want) }) {
			t.Errorf("of role %s there is %q, want %q", role, heard[role], want)
		}
	}
}

func TestSchemes(t *testing.T) {
	b := open(t, listPage(t, cluster(10)), "")
	paper := func() string { return eval[string](b, "getComputedStyle(document.body).backgroundColor") }
	b.scheme(false)
	light := paper()
	b.scheme(true)
	dark := paper()
	if light == dark {
		t.Errorf("light and dark are both %s", light)
	}
	// The switch goes before the system's scheme: auto, light, dark.
	b.do(chromedp.Click(chromedp.CSS("#theme")))
	if got := paper(); got != light {
		t.Errorf("light by the switch is %s", got)
	}
	b.do(chromedp.Click(chromedp.CSS("#theme")))
	b.scheme(false)
	if got := paper(); got != dark {
		t.Errorf("dark by the switch is %s", got)
	}
	b.do(chromedp.Click(chromedp.CSS("#theme"))) // auto again, for other tests share the browser's storage
}

// TestHostileNames: whatever is in manifests is text.
func TestHostileNames(t *testing.T) {
	c := cluster(10)
	evil := "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
	for i := range c.Workloads {
		c.Workloads[i].Name += evil
		c.Workloads[i].Labels["note"] = evil
	}
	b := open(t, listPage(t, c), "")
	for _, view := range []string{"graph", "table", "matrix"} {
		b.do(chromedp.Click(chromedp.CSS("#tab-" + view)))
		b.frame()
	}
	b.link("from=Deployment shop/api" + evil)
	b.says("#detail", evil)
	if title := eval[string](b, "document.title"); !strings.HasPrefix(title, "Who can reach whom") {
		t.Errorf("the title is %q", title)
	}
	if n := eval[int](b, `document.querySelectorAll("img").length`); n != 0 {
		t.Errorf("a name became %d images", n)
	}
}
