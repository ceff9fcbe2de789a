// Package page uses the HTML page of sluice list, diff and exposure in a real browser,
// headless Chromium, as a reader does: the mouse, the keyboard, the search, links to
// cells, both colour schemes, 10 to 1,000 workloads. Whatever the console says against
// the page, and each request besides the one for the page, fails a test.
//
// It is a module of its own because it drives the browser with chromedp, of which nothing
// belongs into Sluice. "make page-test" runs it; -args -screenshots DIR writes pictures.
package page
