package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// ginkgoReport has a test of each kind: passed, failed, left out by a skip, left
// out by the focus, and one that skipped itself.
const ginkgoReport = `[{"SpecReports": [
	{"LeafNodeType": "SynchronizedBeforeSuite", "State": "passed"},
	{"LeafNodeType": "It", "ContainerHierarchyTexts": ["Netpol", "TCP"], "LeafNodeText": "denies", "State": "passed", "RunTime": 4200000000},
	{"LeafNodeType": "It", "ContainerHierarchyTexts": ["Netpol", "TCP"], "LeafNodeText": "allows", "State": "failed", "RunTime": 1000000000,
		"Failure": {"Message": "\nwrong truth\nand more"}},
	{"LeafNodeType": "It", "ContainerHierarchyTexts": ["Netpol", "SCTP"], "LeafNodeText": "denies", "State": "skipped"},
	{"LeafNodeType": "It", "ContainerHierarchyTexts": ["Other"], "LeafNodeText": "works", "State": "skipped"},
	{"LeafNodeType": "It", "ContainerHierarchyTexts": ["Netpol", "UDP"], "LeafNodeText": "denies", "State": "skipped",
		"Failure": {"Message": "not on this kind of cluster"}}
]}]`

func TestReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(path, []byte(ginkgoReport), 0o600); err != nil {
		t.Fatal(err)
	}
	skips := []skip{{"Netpol SCTP", "no sockets"}, {"Netpol DCCP", "no such thing"}, {"Other", "not ours"}}

	r, err := readReport(path, skips[:2])
	if err != nil {
		t.Fatal(err)
	}
	want := []Test{
		{Name: "Netpol SCTP denies", State: "skipped", Skip: "no sockets"},
		{Name: "Netpol TCP allows", State: "failed", Seconds: 1, Problem: "wrong truth"},
		{Name: "Netpol TCP denies", State: "passed", Seconds: 4.2},
		{Name: "Netpol UDP denies", State: "skipped", Problem: "not on this kind of cluster"},
	}
	if !reflect.DeepEqual(r.Tests, want) {
		t.Errorf("tests:\n got %+v\nwant %+v", r.Tests, want)
	}
	if got := r.failed(); !reflect.DeepEqual(got, []Test{want[1], want[3]}) {
		t.Errorf("failed and skipped by themselves: %+v", got)
	}
	if got := r.unused(skips); !reflect.DeepEqual(got, []string{"Netpol DCCP"}) {
		t.Errorf("unused skips: %v", got)
	}
	if r.passed() != 1 || r.skipped() != 1 {
		t.Errorf("%d passed and %d skipped, want 1 and 1", r.passed(), r.skipped())
	}
}

func TestTableShowsRunsSideBySide(t *testing.T) {
	run := func(cni string, tests ...Test) *Report {
		return &Report{Facts: Facts{About: Options{CNI: cni, Proxy: "nftables", IP: "ipv4"}, Local: true, Kubernetes: "v1"}, Tests: tests}
	}
	again := run("bridge", Test{Name: "[sig-network] Netpol denies [Feature:NetworkPolicy]", State: "passed", Seconds: 5}, Test{Name: "Netpol SCTP", State: "skipped", Skip: "no sockets"})
	again.Facts.RawSCTP = true
	again.Beyond = []Test{{Name: "Ping", State: "passed", Seconds: 1}, {Name: "Hairpin", State: "failed", Seconds: 2}}
	var out strings.Builder
	table(&out, []*Report{
		run("bridge", Test{Name: "[sig-network] Netpol denies [Feature:NetworkPolicy]", State: "passed", Seconds: 4.21}, Test{Name: "Netpol SCTP", State: "skipped", Skip: "no sockets"}),
		run("ptp", Test{Name: "[sig-network] Netpol denies [Feature:NetworkPolicy]", State: "failed", Seconds: 2}),
		again,
	})
	for _, line := range []string{
		"| bridge | nftables | ipv4 | 1 | 0 | 1 | 0 | 0 |  |  |\n| ptp | nftables | ipv4 | 0 | 1 | 0 | 0 | 0 |  |  |\n| bridge | nftables | ipv4 | 1 | 0 | 1 | 0 | 0 | 1 | 1 |\n",
		"| test | bridge nftables ipv4 | ptp nftables ipv4 |\n| --- | ---: | ---: |\n",
		"| Netpol denies | passed 4.2 5.0 | failed 2.0 |\n",
		"| Netpol SCTP | skipped |  |\n",
		"\nSkipped: no sockets.\n",
		"but for its SCTP: that goes over raw sockets",
		"| Ping | passed 1.0 |  |\n",
		"| Hairpin | failed 2.0 |  |\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing from\n%s", line, &out)
		}
	}
	if n := strings.Count(out.String(), "Kubernetes v1"); n != 1 {
		t.Errorf("what the runs share is said %d times", n)
	}
}

func TestSkips(t *testing.T) {
	for name, test := range map[string]struct {
		text    string
		want    []skip
		problem string
	}{
		"none":           {text: "# nothing\n\n"},
		"a line":         {text: "Netpol SCTP because there is no SCTP\n", want: []skip{{"Netpol SCTP", "there is no SCTP"}}},
		"without reason": {text: "\nNetpol SCTP\n", problem: ":2: want"},
		"empty reason":   {text: "Netpol SCTP because \n", problem: ":1: want"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "skips.txt")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readSkips(path)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("got error %v, want one with %q", err, test.problem)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
	if _, err := readSkips("skips.txt"); err != nil {
		t.Error(err)
	}
}

func TestReadBeyond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.json")
	if got, err := readBeyond(path); got != nil || err != nil {
		t.Errorf("of tests that did not run: %v, %v", got, err)
	}
	log := `{"Action":"start","Package":"beyond"}
{"Action":"output","Package":"beyond","Test":"TestPing","Output":"=== RUN TestPing"}
{"Action":"pass","Package":"beyond","Test":"TestPing/ipv6","Elapsed":1.5}
{"Action":"fail","Package":"beyond","Test":"TestPing","Elapsed":2}
{"Action":"fail","Package":"beyond","Elapsed":2.1}
`
	for _, c := range []struct {
		log  string
		want []Test
		bad  bool
	}{
		{log: log, want: []Test{{Name: "Ping/ipv6", State: "passed", Seconds: 1.5}, {Name: "Ping", State: "failed", Seconds: 2}}},
		{log: log + "{", bad: true},
	} {
		if err := os.WriteFile(path, []byte(c.log), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readBeyond(path)
		if !reflect.DeepEqual(got, c.want) || (err != nil) != c.bad {
			t.Errorf("got %v, %v", got, err)
		}
	}
}
