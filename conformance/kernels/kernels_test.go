package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const listOfTests = `# a comment

github.com/sluice-net/sluice/enforcer TestB
github.com/sluice-net/sluice/enforcer TestA
github.com/sluice-net/sluice/conformance/lab TestC
`

func selected(t *testing.T, out string) *selection {
	t.Helper()
	s := &selection{}
	if err := s.add("tests", listOfTests); err != nil {
		t.Fatal(err)
	}
	if err := s.leave("left-out", out); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSelectionLeavesOutWithAReason(t *testing.T) {
	s := selected(t, "# why\n6.1.* enforcer Test[B-Z] it came with 6.6\n* conformance/* * it is slow\n")
	for _, c := range []struct{ release, pkg, test, want string }{
		{"6.1.0-9-cloud-amd64", "enforcer", "TestB", "it came with 6.6"},
		{"6.12.9-cloud-amd64", "enforcer", "TestB", ""},
		{"6.1.0-9-cloud-amd64", "enforcer", "TestA", ""},
		{"6.12.9-cloud-amd64", "conformance/lab", "TestC", "it is slow"},
	} {
		if got := s.leftOut(kernel{Release: c.release}, testID{module + c.pkg, c.test}); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if diff := cmp.Diff([]string{module + "conformance/lab", module + "enforcer"}, s.packages()); diff != "" {
		t.Error(diff)
	}
	if of := s.of(module + "enforcer"); len(of) != 2 || of[0].test != "TestA" {
		t.Errorf("%v", of)
	}
}

func TestSelectionRefusesMistakes(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "one\n", "a b c\n", "example.com/other TestX\n"} {
		if err := (&selection{}).add("tests", text); err == nil {
			t.Errorf("tests %q", text)
		}
	}
	for _, text := range []string{"* enforcer TestA\n", "* enforcer TestGone it is gone\n", "[ enforcer TestA why not\n", "* gone * it is gone\n"} {
		s := selected(t, "")
		if err := s.leave("left-out", text); err == nil {
			t.Errorf("left out %q", text)
		}
	}
}

// A test that moves to another package takes its lines here with it.
func TestListsOfTheProjectFit(t *testing.T) {
	o := options{tests: []string{"../kernel-tests.txt", "tests.txt"}, leftOut: "left-out.txt", arguments: "arguments.txt"}
	if _, err := o.selection(); err != nil {
		t.Error(err)
	}
}

func TestArgumentsNeedAReason(t *testing.T) {
	s := selected(t, "")
	if err := s.give("arguments", "# why\nenforcer -n=3 each takes seconds\n"); err != nil {
		t.Fatal(err)
	}
	want := []argument{{module + "enforcer", "-n=3", "each takes seconds"}}
	if got := s.given(module + "enforcer"); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := s.given(module + "conformance/lab"); len(got) != 0 {
		t.Errorf("%v", got)
	}
	for _, text := range []string{"enforcer -n=3\n", "enforcer n=3 it is slow\n", "gone -n=3 it is slow\n"} {
		if err := s.give("arguments", text); err == nil {
			t.Errorf("arguments %q", text)
		}
	}
	// What was tried with other arguments was not tried.
	b := binary{data: []byte("b")}
	if b.hash(nil) == b.hash([]string{"-n=3"}) || b.hash([]string{"-a", "-b"}) == b.hash([]string{"-a -b"}) {
		t.Error("results of other arguments are taken for these")
	}
}

func TestSecondRunIsKeptOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(file); err == nil {
		t.Error("a second run was let in")
	}
	unlock()
	again, err := lock(file)
	if err != nil {
		t.Fatalf("after the first run has ended: %v", err)
	}
	again()
}

// What a machine says, with what a console may have among it.
const said = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestGood/sub","Output":"--- FAIL: TestGood/sub\n"}
{"Action":"pass","Package":"p","Test":"TestGood/sub"}
{"Action":"pass","Package":"p","Test":"TestGood"}
not JSON
{"Action":"output","Package":"p","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"p","Test":"TestBad","Output":"    x_test.go:7: it is wrong\n"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"skip","Package":"p","Test":"TestSkipped"}
{"Action":"pass","Package":"p","Test":"TestSomebodyElse"}
`

func TestResultsNeedAReport(t *testing.T) {
	tests := []string{"TestGood", "TestBad", "TestSkipped", "TestAbsent"}
	for _, c := range []struct{ name, end, absent string }{
		{"the machine ends", `{"Action":"machine","Output":""}` + "\n", "it did not report"},
		{"the machine breaks down", "", "the machine ended before it reported"},
		{"the machine says what failed", `{"Action":"machine","Output":"modprobe: no\nmore"}`, "the machine failed: modprobe: no"},
		{"a line too long", strings.Repeat("x", maxEvent+10) + "\n" + `{"Action":"machine"}`, "it did not report"},
	} {
		got, err := readResults(strings.NewReader(said+c.end), tests)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]result{
			"TestGood": {Passed: true}, "TestBad": {Why: "it failed: x_test.go:7: it is wrong"}, "TestSkipped": {Why: "it was skipped"},
			"TestAbsent": {Why: c.absent},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// Nothing that a console brings makes a test pass that did not say so.
func FuzzReadResults(f *testing.F) {
	f.Add([]byte(said))
	f.Add([]byte(`{"Action":"machine","Output":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readResults(bytes.NewReader(data), []string{"TestAsked"})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got["TestAsked"].Passed && !bytes.Contains(data, []byte("pass")) && !bytes.Contains(data, []byte(`\u`)) && !bytes.Contains(bytes.ToLower(data), []byte("pass")) {
			t.Errorf("%+v", got)
		}
	})
}

func TestDocumentTellsEachTest(t *testing.T) {
	s := selected(t, "")
	a, b, c := s.of(module + "enforcer")[0], s.of(module + "enforcer")[1], s.of(module + "conformance/lab")[0]
	columns := []column{
		{kernel: kernel{Release: "6.1", Deb: "d", Version: "1"}, results: map[testID]result{a: {Passed: true, Try: 1, Revision: "v1"}, b: {Passed: true, Try: 2, Revision: "v2"}, c: {LeftOut: "no tcx"}}},
		{kernel: kernel{Release: "6.12", Deb: "d", Version: "2"}, trouble: "it does not boot", results: map[testID]result{a: {Why: "a|b", Revision: "v1"}, b: {LeftOut: "no tcx"}}},
	}
	got := document(s, columns)
	for _, want := range []string{
		"| 6.1 | d 1 | 1 | 1 | 0 | 1 | 0 | v1 (1), v2 (1) |", "| 6.12 | d 2 | 0 | 0 | 1 | 1 | 1 | v1 |", "6.12: it does not boot",
		"| `TestA` | passed | **failed** (2) |", "| `TestB` | passed, at the second try | left out (1) |", "| `TestC` | left out (1) | **not tried** |",
		"1. no tcx", "2. a\\|b",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it lacks %q:\n%s", want, got)
		}
	}
	if columns[1].failures() != 1 {
		t.Error("a failure is not counted")
	}
}

// What one run does not try stays as an earlier one found it, unless the kernel is another.
func TestRecordIsOfAllRuns(t *testing.T) {
	s := selected(t, "6.12* enforcer TestB it came later\n")
	a, b := s.of(module + "enforcer")[0], s.of(module + "enforcer")[1]
	file := filepath.Join(t.TempDir(), "record.json")
	old := kernel{Package: "p", Deb: "p-6.1", Release: "6.1", Version: "1", dir: "/somewhere"}
	for _, run := range []column{
		{kernel: old, results: map[testID]result{a: {Why: "slow", Try: 2}, b: {Passed: true, Try: 1}, {module + "gone", "TestGone"}: {Passed: true}}},
		{kernel: old, results: map[testID]result{a: {Passed: true, Try: 1, Revision: "v2"}}},
		{kernel: kernel{Package: "p/later", Release: "6.12"}, results: map[testID]result{b: {LeftOut: "it came later"}}},
		{kernel: kernel{Package: "p/later"}, trouble: "no such package"},
	} {
		record, err := readRecord(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeRecord(file, add(record, run)); err != nil {
			t.Fatal(err)
		}
	}
	record, err := readRecord(file)
	if err != nil {
		t.Fatal(err)
	}
	got := columns(record, s)
	if len(got) != 2 || got[1].kernel.Release != "6.12" || got[1].trouble != "no such package" {
		t.Fatalf("%+v", got)
	}
	want := map[testID]result{a: {Passed: true, Try: 1, Revision: "v2"}, b: {Passed: true, Try: 1}}
	if diff := cmp.Diff(want, got[0].results, cmp.AllowUnexported(testID{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[testID]result{b: {LeftOut: "it came later"}}, got[1].results, cmp.AllowUnexported(testID{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	newer := old
	newer.Version = "2"
	if got := columns(add(record, column{kernel: newer}), s); len(got[0].results) != 0 {
		t.Errorf("results of version 1 count for version 2: %v", got[0].results)
	}
}

func TestModulesComeWithWhatTheyDependOn(t *testing.T) {
	dep := "kernel/net/a.ko: kernel/lib/l.ko kernel/net/b.ko\nkernel/net/b.ko:\nkernel/lib/l.ko:\nkernel/drivers/x.ko:\nkernel/drivers/net/veth.ko.xz:\n"
	got, err := closure([]byte(dep), wanted)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"kernel/drivers/net/veth.ko.xz", "kernel/lib/l.ko", "kernel/net/a.ko", "kernel/net/b.ko"}, got); diff != "" {
		t.Error(diff)
	}
	for _, broken := range []string{"", "nothing\n", "kernel/drivers/x.ko:\n"} {
		if _, err := closure([]byte(broken), wanted); err == nil {
			t.Errorf("%q is a list", broken)
		}
	}
}

// The archive is read as the format's description says.
func TestArchiveIsWhatTheKernelReads(t *testing.T) {
	var b bytes.Buffer
	root := files{"init": {mode: 0o755, data: []byte("#!x")}, "a/b/c": {mode: 0o644, data: []byte("hello")}}
	root.link("sbin", "/bin")
	if err := writeCPIO(&b, root); err != nil {
		t.Fatal(err)
	}
	var got []string
	for rest := b.Bytes(); len(rest) > 0; {
		field := func(n int) int {
			v, err := strconv.ParseUint(string(rest[6+8*n:14+8*n]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
		if string(rest[:6]) != "070701" {
			t.Fatalf("magic %q", rest[:6])
		}
		mode, size, length := field(1), field(6), field(11)
		name := string(rest[110 : 110+length-1])
		at := (110 + length + 3) &^ 3
		data := string(rest[at : at+size])
		got = append(got, fmt.Sprintf("%s %o %q", name, mode, data))
		rest = rest[(at+size+3)&^3:]
	}
	want := []string{`a 40755 ""`, `a/b 40755 ""`, `a/b/c 100644 "hello"`, `init 100755 "#!x"`, `sbin 120777 "/bin"`, `TRAILER!!! 0 ""`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRealPackageIsFound(t *testing.T) {
	for depends, want := range map[string]string{
		"linux-image-6.1.0-50-cloud-amd64 (= 6.1.192-1)": "linux-image-6.1.0-50-cloud-amd64",
		"kmod, linux-base (>= 4.3~)":                     "", "": "",
	} {
		if got := realPackage(depends); got != want {
			t.Errorf("%q: %q", depends, got)
		}
	}
}
