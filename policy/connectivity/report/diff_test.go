package report_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/report"
)

func oldPlaces(p types.NamespacedName, path ...any) report.Place {
	at := places(p, path...)
	at.File = "old/" + at.File
	return at
}

// changed is the shop with another port, without its office, open on port 80, with a
// policy for nobody and a new workload.
func changed() *connectivity.Cluster {
	c := shop()
	c.Policies = []*networkingv1.NetworkPolicy{
		ingress("db", "db", from(tcp(5433), pods("web"))),
		ingress("open", "db", from(tcp(80), block("0.0.0.0/0"))),
		ingress("nobody", "nobody"),
		ingress("web", "web", from(nil, pods("web"))),
	}
	c.Workloads = append(c.Workloads, workload("Job", "shop", "import"))
	return c
}

func diff(before, after *connectivity.Cluster) *report.Diff {
	return report.NewDiff(connectivity.Diff(before, after), oldPlaces, places)
}

func TestDiffText(t *testing.T) {
	got := text(t, diff(shop(), changed()).Text)
	for _, want := range []string{
		"Newly allowed\n", "policy shop/open spec.ingress[0].from[0] (open.yaml:6) allows it",
		"Allowed on other ports\n", "internet but 10.1.0.0/16 and ::/0 → shop/db", "TCP 5433; TCP 80 (depends: IPv4 only), was TCP 5432; TCP 22 (depends)", "policy shop/db spec.ingress[0].from[0] (old/db.yaml:6) allowed it",
		"Newly denied\n", "policy shop/web (web.yaml:1) isolates the ingress",
		"Policies that changed and change nothing\n  shop/nobody, added (nobody.yaml:1)\n",
		"Workloads added: Job shop/import\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
	if got := text(t, diff(shop(), shop()).Text); got != "No difference in who can reach whom.\n" {
		t.Errorf("of nothing: %q", got)
	}
}

// What opens is told from what only closes.
func TestDiffOpens(t *testing.T) {
	closed := shop()
	closed.Policies[0].Spec.Ingress = nil
	for name, c := range map[string]struct {
		before, after *connectivity.Cluster
		want          bool
	}{"closes": {shop(), closed, false}, "opens": {closed, shop(), true}, "both": {shop(), changed(), true}, "none": {shop(), shop(), false}} {
		if got := diff(c.before, c.after).Opens(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What passes on the same ports for other addresses is not said to be about ports, and
// more addresses open something.
func TestDiffOfAddresses(t *testing.T) {
	given := func(cidr string) *connectivity.Cluster {
		c := shop()
		c.PodRanges = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		c.Policies = []*networkingv1.NetworkPolicy{ingress("db", "db", from(tcp(5432), block(cidr)))}
		return c
	}
	wider, narrower := diff(given("10.1.0.0/24"), given("10.1.0.0/16")), diff(given("10.1.0.0/16"), given("10.1.0.0/24"))
	if !wider.Opens() || narrower.Opens() {
		t.Errorf("wider opens: %v, narrower opens: %v", wider.Opens(), narrower.Opens())
	}
	got := text(t, wider.Text)
	if !strings.Contains(got, "Allowed for other addresses\n") || !strings.Contains(got, "TCP 5432 (depends)\n") || strings.Contains(got, "other ports") || strings.Contains(got, ", was") {
		t.Error(got)
	}
	if got := text(t, wider.GitHub); !strings.Contains(got, "changed-addresses") {
		t.Error(got)
	}
}

func TestDiffJSON(t *testing.T) {
	var d struct {
		APIVersion, Kind string
		Ends             []struct {
			Name     string
			Old, New bool
		}
		Changes []struct {
			Kind, Old, New        string
			Sources, Destinations []int
			Stretches             []struct {
				Old, New string
				Causes   []struct {
					Effect, Policy, Field string
					Place                 report.Place
					PolicyChanged         bool
				}
			}
		}
		Policies []struct {
			Policy, Change string
			Effective      bool
		}
		Added, Removed []report.Workload
	}
	if err := json.Unmarshal([]byte(text(t, diff(shop(), changed()).JSON)), &d); err != nil {
		t.Fatal(err)
	}
	if d.APIVersion != report.Version || d.Kind != "ConnectionDiff" || len(d.Changes) == 0 || d.Removed == nil || len(d.Added) != 1 {
		t.Fatalf("%+v", d)
	}
	found := false
	for _, c := range d.Changes {
		if d.Ends[c.Sources[0]].Name != "shop/web" || d.Ends[c.Destinations[0]].Name != "shop/db" || c.Kind != "changed" {
			continue
		}
		for _, s := range c.Stretches {
			for _, cause := range s.Causes {
				found = found || cause.Effect == "noLongerAllows" && cause.Field == "spec.ingress[0].from[0]" && cause.Place.File == "old/db.yaml" && cause.PolicyChanged
			}
		}
	}
	if !found {
		t.Errorf("no cause of web → db: %+v", d.Changes)
	}
	changes := map[string]string{}
	for _, p := range d.Policies {
		changes[p.Policy] = fmt.Sprint(p.Change, p.Effective)
	}
	if changes["shop/nobody"] != "addedfalse" || changes["shop/db"] != "changedtrue" || changes["shop/open"] != "addedtrue" {
		t.Errorf("%v", changes)
	}
}

// However much changes, a comment of a pull request has room for it.
func TestDiffMarkdownIsBounded(t *testing.T) {
	before, after := &connectivity.Cluster{}, &connectivity.Cluster{}
	for i := range 120 {
		w := workload("Deployment", "shop", fmt.Sprintf("a-workload-with-quite-a-long-name-%03d", i))
		before.Workloads, after.Workloads = append(before.Workloads, w), append(after.Workloads, w)
		after.Policies = append(after.Policies, ingress(w.Name, w.Name, from(tcp(int32(1000+i)), pods(before.Workloads[i/2].Name)), from(tcp(int32(i+1)), block(fmt.Sprintf("10.0.%d.0/24", i)))))
	}
	got := text(t, diff(before, after).Markdown)
	if len(got) > 65_000 || len(got) < 20_000 || !strings.Contains(got, "no room here") {
		t.Errorf("%d bytes", len(got))
	}
	if small := text(t, diff(shop(), changed()).Markdown); strings.Contains(small, "no room") || !strings.Contains(small, "shop/nobody (added)") {
		t.Errorf("%s", small)
	}
}

// Machines get each change, at a line of the new side.
func TestDiffForMachines(t *testing.T) {
	d := diff(shop(), changed())
	for line := range strings.Lines(text(t, d.GitHub)) {
		if !strings.HasPrefix(line, "::warning ") && !strings.HasPrefix(line, "::notice ") || strings.Contains(line, "file=old/") {
			t.Errorf("%s", line)
		}
	}
	var suites struct {
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Cases []struct{} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(text(t, d.JUnit)), &suites); err != nil || suites.Failures == 0 || len(suites.Suites[0].Cases) < suites.Failures {
		t.Errorf("%+v, %v", suites, err)
	}
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID              string
				RuleIndex           int
				PartialFingerprints map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(text(t, func(w io.Writer) error { return d.SARIF(w, "v1") })), &log); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range log.Runs[0].Results {
		print := r.PartialFingerprints["sluiceDiff/v1"]
		if log.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || print == "" || seen[print] {
			t.Errorf("%+v", r)
		}
		seen[print] = true
	}
}
