package page_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// drawing is how long it takes from a scroll to the frame that shows it.
const drawing = `new Promise(done => {
	const start = performance.now();
	document.getElementById("grid").dispatchEvent(new Event("scroll"));
	requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
})`

// TestLargeClusters: the elements of the page are those in sight, whatever there is, and
// all of it is reached.
func TestLargeClusters(t *testing.T) {
	for _, n := range []int{100, 300, 1000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			html := listPage(t, cluster(n))
			if len(html) > 3<<20 {
				t.Errorf("the page has %d bytes", len(html))
			}
			b := open(t, html, "")
			b.link("from=Deployment shop/api&to=StatefulSet shop/db")
			b.says("#detail", "TCP 5432")
			b.do(chromedp.Click(chromedp.CSS(`[aria-label="Open all namespaces"]`)))
			b.frame()
			b.shows(n+5, n+5)
			for _, view := range []string{"matrix", "graph", "table"} {
				b.do(chromedp.Click(chromedp.CSS("#tab-" + view)))
				b.frame()
				if elements := eval[int](b, `document.querySelectorAll("*").length`); elements > 6000 {
					t.Errorf("%s has %d elements", view, elements)
				}
			}
			b.do(chromedp.Click(chromedp.CSS("#tab-matrix")))
			b.picture(fmt.Sprintf("large-%d-open", n))
			b.do(chromedp.KeyEvent("0"))
			b.frame()
			t.Logf("%d workloads: %d kB, a frame of the whole in %.0f ms", n, len(html)>>10, eval[float64](b, drawing, chromedp.EvalAwaitPromise))
			b.picture(fmt.Sprintf("large-%d-fit", n))
		})
	}
}
