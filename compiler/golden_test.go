package compiler_test

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/compiler/rulesim"
	"github.com/sluice-net/sluice/policy/spectest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden shows whole rulesets for review, and loads each into the kernel.
// The clusters are testdata/NAME.txt, compiled for node-a.
func TestGolden(t *testing.T) {
	tests := []struct {
		name    string
		bridged bool
		config  compiler.Config
		tunnels []compiler.Tunnel
		detours bool
		second  []string
		ipvs    bool
	}{
		{name: "empty"},
		{name: "default-deny"},
		{name: "shop", config: compiler.Config{LogGroup: 77}},
		{name: "ranges", config: compiler.Config{Reject: true, UnknownPods: true, NodeEgress: true}},
		{name: "bridge", bridged: true},
		{name: "plugins", detours: true, second: []string{"br1"}},
		{name: "ipvs", bridged: true, ipvs: true, config: compiler.Config{NodeDNS: []netip.Addr{addr("169.254.20.10")}}},
		{name: "tunnels", bridged: true, tunnels: []compiler.Tunnel{
			{Protocol: 17, Port: 8472, Closed: true, Peers: []netip.Addr{addr("192.0.2.1"), addr("2001:db8::1")}},
			{Protocol: 17, Port: 6081},
			{Protocol: 4, Closed: true, Peers: []netip.Addr{addr("192.0.2.2")}},
			{Protocol: 47},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Mark.Mask = compiler.DefaultMask
			n := compileScript(t, tt.config, tt.bridged, readFile(t, tt.name+".txt"))
			n.links.Detours, n.links.SecondInterfaces = tt.detours, tt.second
			n.links.IPVS = tt.ipvs
			n.tunnel(t, tt.tunnels...)
			got := n.compiler.Ruleset().String()
			compareGolden(t, tt.name+".nft", got)
			loadInKernel(t, got)
			// What the kernel's state is built with at start must be the same.
			text, err := rulesim.Render(knftables.InetFamily, n.compiler.Replace())
			if err != nil {
				t.Fatal(err)
			}
			loadInKernel(t, text)
			k, err := rulesim.Load(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(n.kernel.Dump(), k.Dump()); diff != "" {
				t.Errorf("Replace makes something else than the ruleset (-ruleset +replace)\n%s", diff)
			}
		})
	}
}

// TestGoldenGuards shows the guards of two Pods, one of them isolated, each its
// own transaction, and loads them.
func TestGoldenGuards(t *testing.T) {
	n := compileScript(t, plainConfig(), true, readFile(t, "bridge.txt"))
	var b strings.Builder
	var veths []string
	for _, g := range n.compiler.Guards() {
		text, err := rulesim.Render(knftables.NetDevFamily, g.Ops)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("# " + g.Veth + "\n" + text)
		veths = append(veths, g.Veth)
		loadInKernel(t, text, g.Veth)
	}
	compareGolden(t, "guards.nft", b.String())
	loadInKernel(t, b.String(), veths...)
}

const scriptNode = "node-a"

// compileScript compiles a script's objects for node-a.
func compileScript(t *testing.T, cfg compiler.Config, bridged bool, script string) *host {
	t.Helper()
	events := parseScript(t, script)
	w := newWorld(t, cfg, bridged, spectest.Replay(events), []string{scriptNode})
	w.load(t)
	return w.nodes[scriptNode]
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readFile(t, name), got); diff != "" {
		t.Errorf("testdata/%s differs; \"make golden\" writes it anew (-file +got)\n%s", name, diff)
	}
}

// loadInKernel checks a ruleset with nft and then loads it, in a network
// namespace of its own with the given interfaces (veths: there may be no others). It needs root.
func loadInKernel(t *testing.T, ruleset string, interfaces ...string) {
	t.Helper()
	script := `for i in "$@"; do ip link add "$i" type veth; done
f=$(cat); echo "$f" | nft --check -f -; echo "$f" | nft -f -; echo "$f" | nft -f -`
	cmd := exec.Command("unshare", append([]string{"-n", "sh", "-ec", script, "sh"}, interfaces...)...)
	cmd.Stdin = strings.NewReader(ruleset)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("loading the ruleset (this needs root, unshare and nft): %v\n%s", err, out)
	}
}
