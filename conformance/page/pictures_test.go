package page_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestEverySizeInBothSchemes opens each view at each size in both colour schemes.
func TestEverySizeInBothSchemes(t *testing.T) {
	for _, n := range []int{10, 100, 300} {
		html := map[string][]byte{"list": listPage(t, cluster(n)), "diff": diffPage(t, n), "exposure": exposurePage(t, n)}
		for kind, data := range html {
			t.Run(fmt.Sprintf("%s-%d", kind, n), func(t *testing.T) {
				b := open(t, data, "")
				for _, dark := range []bool{false, true} {
					name := fmt.Sprintf("%s-%d-%s", kind, n, map[bool]string{false: "light", true: "dark"}[dark])
					b.scheme(dark)
					for _, view := range []string{"matrix", "graph", "table"} {
						b.do(chromedp.Click(chromedp.CSS("#tab-" + view)))
						b.picture(name + "-" + view)
					}
					if kind == "list" {
						b.link("view=graph&from=Deployment shop/api")
						b.picture(name + "-around")
						b.link("from=Deployment shop/api&to=StatefulSet shop/db")
						b.picture(name + "-cell")
						b.link("")
					}
				}
			})
		}
	}
}

// link goes to a hash of the page, as a reader does who follows a link.
func (b *tab) link(hash string) {
	b.Helper()
	eval[string](b, fmt.Sprintf("location.hash = %q", hash))
	b.frame()
}
