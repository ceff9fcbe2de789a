package page_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/cmd/sluice/app/page"
	"github.com/sluice-net/sluice/policy/connectivity"
)

var update = flag.Bool("update", false, "write the golden files anew")

// pages are the three pages of one cluster.
func pages(t testing.TB, evil string) map[string]string {
	t.Helper()
	before, after := shop(evil), shop(evil)
	after.Policies[1].Spec.Ingress[0].From = nil
	o := options(evil)
	m := connectivity.New(before)
	list := m.List(connectivity.ListOptions{Why: true})
	o.Denies = m.Denies
	d, x := connectivity.Diff(before, after), connectivity.NewExposure(before)
	out := map[string]string{}
	way := page.Entry{Entry: "Ingress shop/web", At: "shop.example.org/" + evil, Service: "Service shop/web:80", Target: "shop/web TCP 8080", State: "allowed", Why: "allowed from " + evil, Place: "web.yaml:4"}
	o.Entries = []page.Entry{way, {Entry: "HTTPRoute shop/api", State: "leads nowhere", Why: "leads nowhere: there is no Service shop/api"}}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"list":     func(b *bytes.Buffer) error { return page.List(b, &list, o) },
		"diff":     func(b *bytes.Buffer) error { return page.Diff(b, &d, o) },
		"exposure": func(b *bytes.Buffer) error { return page.Exposure(b, &x, o) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		out[name] = b.String()
	}
	return out
}

var dataElement = regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`)

// dataOf is the JSON of a page.
func dataOf(t testing.TB, html string) []byte {
	t.Helper()
	found := dataElement.FindAllStringSubmatch(html, -1)
	if len(found) != 1 {
		t.Fatalf("the page has its data %d times", len(found))
	}
	return []byte(found[0][1])
}

// TestDataGolden holds what the page is given to files that people read.
func TestDataGolden(t *testing.T) {
	for name, html := range pages(t, "") {
		var out bytes.Buffer
		if err := json.Indent(&out, dataOf(t, html), "", " "); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
		file := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func TestSameAnswerGivesTheSameBytes(t *testing.T) {
	if diff := cmp.Diff(pages(t, "x"), pages(t, "x")); diff != "" {
		t.Error(diff)
	}
}

// hostile are names that end elements, attributes, comments and strings elsewhere.
var hostile = []string{
	`</script><script>alert(1)</script>`, `<!--<script>`, `--></style><img src=x onerror=alert(1)>`,
	`{data}{program}{style}{policy}{title}`, "\u2028\u2029\x00\u202e", "\xff\xfe", `"'&<>\`, "`${alert(1)}`", `]]>`,
}

// plain are the pages without hostile names.
var plain map[string]string

// checkEscaped fails if a string of an answer is anything but a string of the data.
func checkEscaped(t testing.TB, evil string) {
	t.Helper()
	if plain == nil {
		plain = pages(t, "plain")
	}
	for name, html := range pages(t, evil) {
		data := dataOf(t, html)
		if bytes.ContainsAny(data, "<>&\u2028\u2029") {
			t.Errorf("%s: the data has characters that may end it", name)
		}
		if got, want := dataElement.ReplaceAllString(html, ""), dataElement.ReplaceAllString(plain[name], ""); got != want {
			t.Errorf("%s: %q changes more of the page than its data", name, evil)
		}
		var doc struct{ Command string }
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := strings.ToValidUTF8(evil, "\ufffd"); !strings.HasSuffix(doc.Command, want) && strings.ToValidUTF8(evil, "") == evil {
			t.Errorf("%s: the command is %q, want %q at its end", name, doc.Command, want)
		}
	}
}

func TestNamesStayData(t *testing.T) {
	for _, evil := range hostile {
		checkEscaped(t, evil)
	}
}

func FuzzNamesStayData(f *testing.F) {
	for _, evil := range hostile {
		f.Add(evil)
	}
	f.Fuzz(func(t *testing.T, evil string) { checkEscaped(t, evil) })
}

func between(t *testing.T, text, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, from)
	out, _, closed := strings.Cut(rest, to)
	if !ok || !closed {
		t.Fatalf("the page has no %s…%s", from, to)
	}
	return out
}

// TestContentPolicyAdmitsTheseElementsAlone: digests are of what stands in the page.
func TestContentPolicyAdmitsTheseElementsAlone(t *testing.T) {
	for name, html := range pages(t, "") {
		rules := map[string]string{}
		for _, rule := range strings.Split(strings.ReplaceAll(between(t, html, `Content-Security-Policy" content="`, `"`), "&#39;", "'"), ";") {
			key, value, _ := strings.Cut(strings.TrimSpace(rule), " ")
			rules[key] = value
		}
		digest := func(text string) string {
			sum := sha256.Sum256([]byte(text))
			return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		}
		want := map[string]string{
			"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'",
			"require-trusted-types-for": "'script'", "trusted-types": "'none'",
			"script-src": digest(between(t, html, "<script>", "</script>")), "style-src": digest(between(t, html, "<style>", "</style>")),
		}
		if diff := cmp.Diff(want, rules); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if n := strings.Count(html, "<script"); n != 2 {
			t.Errorf("%s has %d script elements", name, n)
		}
		// The policy would refuse them anyway; the page does not try.
		for _, outside := range []string{" src=", " href=", "url(http", "@import", "fetch(", "XMLHttpRequest", "innerHTML", "eval("} {
			if strings.Contains(html, outside) {
				t.Errorf("%s has %q", name, outside)
			}
		}
	}
}

// TestProgramIsBuiltFromItsSources: whoever changes one of them runs "make page".
func TestProgramIsBuiltFromItsSources(t *testing.T) {
	sources, err := filepath.Glob("web/src/*")
	if err != nil || len(sources) == 0 {
		t.Fatal("no sources", err)
	}
	for i := range sources {
		sources[i] = strings.TrimPrefix(filepath.ToSlash(sources[i]), "web/")
	}
	slices.Sort(sources)
	sum := sha256.New()
	add := func(name, file string) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write([]byte(name + "\n"))
		sum.Write(data)
	}
	for _, name := range append([]string{"build.mjs", "package.json", "package-lock.json"}, sources...) {
		add(name, filepath.Join("web", filepath.FromSlash(name)))
	}
	add("page.js", "assets/page.js")
	want, err := os.ReadFile("assets/page.sum")
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)) + "\n"; got != string(want) {
		t.Errorf("assets/page.js is of other sources than these: run make page")
	}
}

// TestBundledLicences: the page is a copy of what is bundled, and has its licences.
func TestBundledLicences(t *testing.T) {
	html := pages(t, "")["list"]
	var lock struct {
		Packages map[string]struct {
			Version, Resolved, Integrity, License string
			Dev                                   bool
		}
	}
	data, err := os.ReadFile("web/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		t.Fatal(err)
	}
	bundled := 0
	for path, p := range lock.Packages {
		if path == "" {
			continue
		}
		if p.Resolved != "" || p.Integrity == "" {
			t.Errorf("%s: the lock has a digest and no place: see web/.npmrc", path)
		}
		if p.Dev {
			continue
		}
		bundled++
		name := strings.TrimPrefix(path, "node_modules/")
		if p.License != "ISC" || !strings.Contains(html, name+" "+p.Version+"\nCopyright") {
			t.Errorf("the licence (%s) of %s %s is not in the page", p.License, name, p.Version)
		}
	}
	if bundled == 0 {
		t.Error("nothing is bundled")
	}
}
