package manifest

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const megabyte = 1 << 20

// podText is a Pod as kubectl prints it, indented as the item of a list if
// prefix and indent say so.
func podText(i int, prefix, indent string) string {
	lines := []string{
		"apiVersion: v1", "kind: Pod", "metadata:",
		"  creationTimestamp: \"2026-01-01T00:00:00Z\"",
		"  labels:", "    app: web-" + fmt.Sprint(i%100), "    pod-template-hash: 5d4f8c7b9",
		fmt.Sprintf("  name: web-%d", i), fmt.Sprintf("  namespace: shop-%d", i%50), fmt.Sprintf("  uid: 00000000-0000-0000-0000-%012d", i),
		"spec:", "  containers:", "  - image: registry.example.com/web:1", "    name: web",
		"    env:", "    - name: A", "      value: \"1\"",
		"    ports:", "    - containerPort: 8080", "      name: http", "      protocol: TCP",
		"    resources: {limits: {cpu: 100m, memory: 128Mi}}", "  nodeName: node-1",
		"status:", "  hostIP: 192.168.0.1", "  phase: Running",
		fmt.Sprintf("  podIP: 10.%d.%d.%d", i>>16&255, i>>8&255, i&255),
		"  podIPs:", fmt.Sprintf("  - ip: 10.%d.%d.%d", i>>16&255, i>>8&255, i&255),
	}
	return prefix + strings.Join(lines, "\n"+indent) + "\n"
}

func podDocuments(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		b.WriteString("---\n" + podText(i, "", ""))
	}
	return b.Bytes()
}

func podList(size int) []byte {
	var b bytes.Buffer
	b.WriteString("apiVersion: v1\nitems:\n")
	for i := 0; b.Len() < size; i++ {
		b.WriteString(podText(i, "- ", "  "))
	}
	b.WriteString("kind: List\nmetadata:\n  resourceVersion: \"\"\n")
	return b.Bytes()
}

func podJSON(size int) []byte {
	var b bytes.Buffer
	b.WriteString("{\n    \"apiVersion\": \"v1\",\n    \"items\": [")
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web-%d", "namespace": "shop-%d", "labels": {"app": "web-%d"}, "uid": "00000000-0000-0000-0000-%012d"},
            "spec": {"containers": [{"name": "web", "image": "registry.example.com/web:1", "ports": [{"containerPort": 8080, "name": "http"}]}]},
            "status": {"phase": "Running", "podIP": "10.%d.%d.%d"}
        }`, i, i%50, i%100, i, i>>16&255, i>>8&255, i&255)
	}
	b.WriteString("\n    ],\n    \"kind\": \"List\"\n}\n")
	return b.Bytes()
}

// peak runs f and returns how long it took and by how much the heap grew, with
// the garbage that was not collected yet.
func peak(f func()) (time.Duration, uint64) {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		var top uint64
		for {
			runtime.ReadMemStats(&now)
			top = max(top, now.HeapAlloc)
			select {
			case <-stop:
				done <- top
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	start := time.Now()
	f()
	took := time.Since(start)
	close(stop)
	top := <-done
	return took, top - min(before.HeapAlloc, top)
}

// live is how much memory becomes free when set goes.
func live(t *testing.T, set *Set) uint64 {
	t.Helper()
	var with, without runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&with)
	*set = Set{}
	runtime.GC()
	runtime.ReadMemStats(&without)
	return with.HeapAlloc - min(with.HeapAlloc, without.HeapAlloc)
}

// A file of 50 MB is read in seconds and a few times its size, in every form
// that kubectl prints.
func TestLargeFile(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(int) []byte
	}{
		{"documents", podDocuments},
		{"YAML list", podList},
		{"JSON list", podJSON},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := c.make(50 * megabyte)
			var set Set
			var problems []Problem
			took, grown := peak(func() {
				var l Loader
				l.Add("f.yaml", data)
				set, problems = l.Finish()
			})
			for _, p := range problems {
				if !p.Notice {
					t.Fatal(p)
				}
			}
			t.Logf("%d MB, %d Pods: %s, %d MB", len(data)/megabyte, len(set.Pods), took.Round(time.Millisecond), grown/megabyte)
			if want := bytes.Count(data, []byte("podIP\": ")) + bytes.Count(data, []byte("podIP: ")); len(set.Pods) != want {
				t.Errorf("%d Pods, want %d", len(set.Pods), want)
			}
			if grown > 15*uint64(len(data)) {
				t.Errorf("took %d MB at its peak", grown/megabyte)
			}
			if kept := live(t, &set); kept > 6*uint64(len(data)) {
				t.Errorf("the set keeps %d MB", kept/megabyte)
			}
		})
	}
}

// What is large and no manifest at all ends quickly, with one error.
func TestLargeNonsense(t *testing.T) {
	const size = 50 * megabyte
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for _, c := range []struct{ name, in, want string }{
		{"one long word", fill("a"), "larger than any object"},
		{"one long line of mappings", fill("a: "), "larger than any object"},
		{"zeros", fill("\x00"), "larger than any object"},
		{"random bytes", fill("\xfe\x81\x00\n"), "not UTF-8"},
		{"dashes", fill("- "), "larger than any object"},
		{"one object", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: |\n" + fill("    x\n"), "larger than any object"},
		{"one list in flow style", "apiVersion: v1\nkind: List\nitems: [" + fill("{kind: Pod}, "), "larger than any object"},
		{"a List that is none", "a: \"\nitems:\n" + fill("- x\n"), "larger than any object"},
		{"JSON that is cut off", string(podJSON(size)[:size]), "ends in the middle"},
		{"JSON that never closes", fill("["), "larger than any object"},
		{"JSON objects that never close", fill(`{"a":`), "not valid JSON"},
		{"one JSON string", `{"kind": "` + fill("a"), "ends in the middle"},
		{"a YAML list that is cut off in quotes", string(podList(size/10)) + "x: \"", "not valid YAML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var problems []Problem
			took, grown := peak(func() { _, problems = load(c.in) })
			t.Logf("%s, %d MB, %d problems, first %s", took.Round(time.Millisecond), grown/megabyte, len(problems), problems[0])
			if problems[0].Notice || !strings.Contains(problems[0].Message, c.want) {
				t.Errorf("got %q, want %q", problems[0].Message, c.want)
			}
			if grown > 10*size {
				t.Errorf("took %d MB", grown/megabyte)
			}
		})
	}
}

// Messages are bounded, whatever is wrong how often.
func TestManyProblems(t *testing.T) {
	const n = 300_000
	for _, c := range []struct{ name, in, last string }{
		{"items", "apiVersion: v1\nkind: List\nitems:\n" + strings.Repeat("- x\n", n), "f.yaml: 299000 more errors are not listed"},
		{"items of a list too long to be parsed as a whole", "apiVersion: v1\nkind: List\nitems:\n" + strings.Repeat("- x"+strings.Repeat(" ", 60)+"\n", n), "f.yaml: 299000 more errors are not listed"},
		{"documents", strings.Repeat("x\n---\n", n), "f.yaml: 299000 more errors are not listed"},
		{"notices", strings.Repeat("{kind: x, apiVersion: v1}\n---\n", n/2), "f.yaml: notice: 50000 more notices are not listed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := load(c.in)
			if last := problems[len(problems)-1].String(); last != c.last {
				t.Errorf("got %q at the end, want %q", last, c.last)
			}
		})
	}
}

func TestLargeComments(t *testing.T) {
	comments := strings.Repeat("# nothing to see\n", 20*megabyte/17)
	set, problems := load(shop + comments + "---\n" + comments + podA)
	if len(problems) > 0 || len(set.Pods) != 1 {
		t.Errorf("%d Pods, want 1; problems: %v", len(set.Pods), problems)
	}
}

// Many small documents cost no more than their number.
func TestManyDocuments(t *testing.T) {
	const n = 100_000
	var b strings.Builder
	b.WriteString(shop)
	for i := range n {
		fmt.Fprintf(&b, "---\n{apiVersion: v1, kind: Pod, metadata: {name: p%d, namespace: shop}, status: {podIP: 10.%d.%d.%d}}\n", i, i>>16, i>>8&255, i&255)
	}
	start := time.Now()
	set, problems := load(b.String())
	t.Logf("%d documents: %s", n, time.Since(start).Round(time.Millisecond))
	if len(set.Pods) != n || problems != nil {
		t.Errorf("%d Pods, %d problems", len(set.Pods), len(problems))
	}
}

func TestManyEmptyDocuments(t *testing.T) {
	if set, problems := load(strings.Repeat("---\n", 1_000_000) + podA + "---\n" + shop); len(set.Pods) != 1 || problems != nil {
		t.Errorf("%d Pods, want 1; problems: %v", len(set.Pods), problems)
	}
}

// Values that multiply by reference are refused, and so is the file.
func TestAliasBombs(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	long := "apiVersion: v1\nkind: Pod\na: &a " + strings.Repeat("x", megabyte) + "\nb: [" + strings.Repeat("*a,", 100_000) + "]\n"
	inItem := "apiVersion: v1\nkind: List\nitems:\n- a: &a " + strings.Repeat("x", megabyte) + "\n  b: [" + strings.Repeat("*a,", 100_000) + "]\n"
	for name, in := range map[string]string{"nested": laughs, "a long string": long, "in the item of a list": inItem, "as a key": "a: &a " + strings.Repeat("x", megabyte) + "\nb: [" + strings.Repeat("{*a : 1},", 10_000) + "]\n"} {
		t.Run(name, func(t *testing.T) {
			var problems []Problem
			_, grown := peak(func() { _, problems = load(in + strings.Repeat("---\n"+laughs, 1000)) })
			if len(problems) != 1 || !strings.Contains(problems[0].Message, "aliases") {
				t.Errorf("got %v, want one problem that speaks of aliases", problems)
			}
			if grown > 300*megabyte {
				t.Errorf("took %d MB", grown/megabyte)
			}
		})
	}
	if _, problems := load("a: &a [*a]\n"); len(problems) != 1 {
		t.Errorf("an alias of itself: got %v, want one problem", problems)
	}
}

func TestDeepNesting(t *testing.T) {
	var indented strings.Builder
	for i := range 3000 {
		indented.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	lists := strings.Repeat("{apiVersion: v1, kind: List, items: [", 100) + strings.Repeat("]}", 100)
	for name, in := range map[string]string{
		"flow lists":     strings.Repeat("[", 1_000_000),
		"flow mappings":  strings.Repeat("{a: ", 1_000_000),
		"JSON objects":   strings.Repeat(`{"a":`, 1_000_000) + "1" + strings.Repeat("}", 1_000_000),
		"JSON in a Pod":  `{"apiVersion":"v1","kind":"Pod","metadata":` + strings.Repeat(`{"a":`, 9_000) + "1" + strings.Repeat("}", 9_001),
		"block mappings": indented.String(),
		"block lists":    strings.Repeat("- ", 100_000),
		"lists in lists": lists,
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := load(in)
			if !slices.ContainsFunc(problems, func(p Problem) bool { return !p.Notice }) {
				t.Errorf("got %v, want an error", problems)
			}
		})
	}
}
