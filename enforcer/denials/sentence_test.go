package denials

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// Each reason, as the sentence that people get, and one denial as the JSON that programs
// get.
func TestSentences(t *testing.T) {
	r, clock := simple(t, Config{Node: "n1"})
	x := r.index
	for i, name := range []string{"many", "deny"} {
		p := &policy.Pod{Node: "n1", Addrs: []netip.Addr{addr4(byte(3 + i))}}
		p.Namespace, p.Name, p.Labels = "shop", name, map[string]string{"app": name}
		x.SetPod(p)
	}
	for i := range 11 {
		spec := `
podSelector: {matchLabels: {app: many}}
ingress:
- from: [{namespaceSelector: {matchLabels: {team: red}}}, {ipBlock: {cidr: 10.9.0.0/16}}]
  ports: [{port: %d}, {port: http}]
`
		if err := x.SetPolicy(networkPolicy(t, fmt.Sprintf("shop/many-%02d", i), fmt.Sprintf(spec, 1000+i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.SetPolicy(networkPolicy(t, "shop/deny-all", "podSelector: {matchLabels: {app: deny}}\npolicyTypes: [Ingress, Egress]\n")); err != nil {
		t.Fatal(err)
	}
	tcp := func(prefix, src, dst string, from, to uint16) {
		r.Log(Log{Prefix: []byte(prefix), Payload: packet4(src, dst, policy.TCP, 0, 0, ports(from, to)...)})
	}
	tcp("sluice:ingress", "10.0.0.1", "10.0.0.2", 40000, 5432)
	tcp("sluice:ingress", "203.0.113.7", "10.0.0.2", 40000, 80)
	tcp("sluice:ingress", "10.0.0.1", "10.0.0.3", 40000, 80)
	tcp("sluice:egress", "10.0.0.4", "10.0.0.1", 40000, 80)
	tcp("sluice:ingress-reply", "10.0.0.2", "10.0.0.1", 5433, 40000)
	r.Log(Log{Prefix: []byte("sluice:ingress"), Payload: packet6("fd00::1", "fd00::2", 58, 128, 0)})
	r.Log(Log{Prefix: []byte("sluice:ingress"), Payload: packet4("192.0.2.1", "10.0.0.4", 47, 0, 0)})
	for _, other := range []string{"unknown-from", "unknown-to", "misplaced", "invalid-to", "midstream-to", "tunnel", "guard"} {
		tcp("sluice:"+other, "10.0.0.1", "10.0.0.2", 40000, 9000)
	}
	tcp("sluice:egress", "10.0.0.1", "10.0.0.2", 40000, 9001)
	clock.SetTime(start)
	for r.Explain(3) {
	}
	list := r.Store().Find(nil, 0)
	if len(list) != 15 {
		t.Fatalf("%d denials, want 15; left out: %v", len(list), r.LeftOut())
	}
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "%s  %s → %s %s  %s\n  %s\n", d.Reason, d.Src.Name(), d.Dst.Name(), d.Target(), d.Direction, d.Message)
	}
	golden(t, "sentences.txt", b.String())
	text, err := json.MarshalIndent(list[2], "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "denial.json", string(text)+"\n")
}

// A sentence has an end, whatever names people choose.
func TestSentencesAreShort(t *testing.T) {
	long := strings.Repeat("ä", 2*mostWords)
	if got := cut(long); len(got) > mostWords+len("…") || !strings.HasSuffix(got, "ä…") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-8:])
	}
	if got := cut("short"); got != "short" {
		t.Errorf("%q", got)
	}
}

func TestWorkload(t *testing.T) {
	for _, c := range []struct{ pod, label, want string }{
		{"web-7d9f8-abcde", "pod-template-hash=7d9f8", "Deployment/web"},
		{"web-a-7d9f8-abcde", "pod-template-hash=7d9f8", "Deployment/web-a"},
		{"web-7d9f8", "pod-template-hash=7d9f8", ""},
		{"web", "pod-template-hash=7d9f8", ""},
		{"-7d9f8-abcde", "pod-template-hash=7d9f8", ""},
		{"db-0", "statefulset.kubernetes.io/pod-name=db-0", "StatefulSet/db"},
		{"db-0", "statefulset.kubernetes.io/pod-name=db-1", ""},
		{"agent-x2x2x", "controller-revision-hash=1", "DaemonSet/agent"},
		{"backup-29384756-abcde", "batch.kubernetes.io/job-name=backup-29384756", "CronJob/backup"},
		{"once-abcde", "batch.kubernetes.io/job-name=once", "Job/once"},
		{"once-abcde", "job-name=once-2024", "Job/once-2024"},
		{"web", "app=web", ""},
		{"", "statefulset.kubernetes.io/pod-name=", ""},
	} {
		key, value, _ := strings.Cut(c.label, "=")
		p := &policy.Pod{Labels: map[string]string{key: value}}
		p.Name = c.pod
		if got := Workload(p); got != c.want {
			t.Errorf("Pod %q with %s is of %q, want %q", c.pod, c.label, got, c.want)
		}
	}
}
