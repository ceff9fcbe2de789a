package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
	"github.com/sluice-net/sluice/policy"
)

// repairable is a node of a cluster, without an agent.
type repairable struct {
	t        testing.TB
	ns       testNS
	index    *policy.Index
	compiler *compiler.Compiler
	syncer   *syncer
}

func newRepairable(t testing.TB, c scale.Cluster) *repairable {
	t.Helper()
	r := &repairable{t: t, ns: newNS(t), index: policy.NewIndex(policy.Options{Node: scale.Node})}
	if err := c.Fill(r.index); err != nil {
		t.Fatal(err)
	}
	manyRanges(t, r.index)
	var err error
	if r.compiler, err = compiler.New(compiler.Config{Mark: compiler.MarkLayout{Mask: compiler.DefaultMask}, LogGroup: 1}); err != nil {
		t.Fatal(err)
	}
	r.compiler.SetEpoch(1, false)
	links := compiler.Links{PodInterfaces: []string{"cni0"}, Binds: map[netip.Addr]compiler.Bind{}}
	for s := range r.index.Subjects() {
		for _, a := range s.Addrs {
			links.Binds[a] = compiler.Bind{Interface: "cni0"}
		}
	}
	r.compiler.Update(r.index, r.index.Changes(), links)
	r.syncer = &syncer{ns: r.ns, compiler: r.compiler, tables: tables.New(r.ns)}
	if r.syncer.drift, err = tables.NewDrift(r.ns, func() {}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.syncer.drift.Close)
	return r
}

// manyRanges adds a Pod that needs a set of ranges and one of ports, and one that
// needs a map: few are compared, and the cluster's are. With more ranges of ports those of
// addresses would stand apart.
func manyRanges(t testing.TB, x *policy.Index) {
	t.Helper()
	x.SetNamespace("ranges", nil)
	for i, name := range []string{"set", "map"} {
		x.SetPod(&policy.Pod{
			NamespacedName: types.NamespacedName{Namespace: "ranges", Name: name}, UID: types.UID(name), Node: scale.Node,
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 255, 0, byte(i)})}, Labels: map[string]string{"has": name},
		})
		var rules []networkingv1.NetworkPolicyIngressRule
		for n := range int32(16) {
			first, last := intstr.FromInt32(1000+100*n), 1050+100*n
			rules = append(rules, networkingv1.NetworkPolicyIngressRule{Ports: []networkingv1.NetworkPolicyPort{{Port: &first, EndPort: &last}}})
			for block := range 5 + i*int(n%2) {
				rules[n].From = append(rules[n].From, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: fmt.Sprintf("203.0.%d.0/24", 2*block)}})
			}
		}
		if err := x.SetPolicy(&networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ranges", Name: name},
			Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"has": name}}, Ingress: rules},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *repairable) repair() (switched bool, err error) {
	_, err = r.syncer.replaceInPieces(context.Background(), func() { switched = true })
	return switched, err
}

// list is the table with everything sorted of which the order means nothing.
func (r *repairable) list() string {
	body := strings.TrimSuffix(strings.TrimPrefix(r.ns.cmd("nft", "-s", "list", "table", "inet", "sluice"), "table inet sluice {\n"), "\n}\n")
	objects := objectBegins.Split(sortedElements(body), -1)
	slices.Sort(objects)
	return strings.Join(objects, "\n")
}

var objectBegins = regexp.MustCompile(`\n+\t\b`)

var elementLists = regexp.MustCompile(`(?s)elements = \{ (.*?) \}\n`)

func sortedElements(list string) string {
	return elementLists.ReplaceAllStringFunc(list, func(found string) string {
		items := strings.Split(elementLists.FindStringSubmatch(found)[1], ",")
		for i := range items {
			items[i] = strings.Join(strings.Fields(items[i]), " ")
		}
		slices.Sort(items)
		return "elements = { " + strings.Join(items, ", ") + " }\n"
	})
}

// whole is what a table looks like that was loaded at once.
func (r *repairable) whole() string {
	fresh := &repairable{t: r.t, ns: newNS(r.t)}
	file := r.t.TempDir() + "/ruleset"
	if err := os.WriteFile(file, []byte(r.compiler.Ruleset().String()), 0o600); err != nil {
		r.t.Fatal(err)
	}
	fresh.ns.cmd("nft", "-f", file)
	return fresh.list()
}

func (r *repairable) expect(what, want string) {
	r.t.Helper()
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(r.list(), "\n")); diff != "" {
		r.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// first is the first set, map or chain of a kind with an element or rule.
func (r *repairable) first(letter byte, interval bool) (name, element string) {
	r.t.Helper()
	rs := r.compiler.Ruleset()
	for _, s := range rs.Sets {
		if s.Name[0] == letter && len(s.Name) >= 21 && !strings.Contains(s.Name, "-v6-") && s.Interval == interval && len(s.Elements) > 0 {
			return s.Name, s.KeyText(s.Elements[0].Key)
		}
	}
	for _, c := range rs.Chains {
		if c.Name[0] == letter && len(c.Name) > 21 && len(c.Rules) > 1 {
			return c.Name, ""
		}
	}
	r.t.Fatalf("nothing is named %c…", letter)
	return "", ""
}

// damages are what others may have done to the table.
func (r *repairable) damages() map[string]string {
	peers, address := r.first('p', false)
	named, _ := r.first('n', false)
	blocks, block := r.first('b', true)
	ports, span := r.first('t', true)
	portMap, mapped := r.first('m', true)
	chain, _ := r.first('c', false)
	lines := fmt.Sprintf
	return map[string]string{
		"members gone and strange":  lines("delete element inet sluice %[1]s { %[2]s }\nadd element inet sluice %[1]s { 203.0.113.9 }", peers, address),
		"all members gone":          lines("flush set inet sluice %s\nflush set inet sluice %s", peers, named),
		"a strange named port":      lines("add element inet sluice %s { 203.0.113.9 . udp . 99 }", named),
		"a strange block":           lines("add element inet sluice %s { 203.0.113.0/24 }", blocks),
		"a block to the end":        lines("add element inet sluice %s { 240.0.0.0-255.255.255.255 }", blocks),
		"a block gone":              lines("delete element inet sluice %s { %s }", blocks, block),
		"strange ports":             lines("add element inet sluice %s { 1-60000 . sctp }", ports),
		"ports gone":                lines("delete element inet sluice %s { %s }", ports, span),
		"ports lead astray":         lines("delete element inet sluice %[1]s { %[2]s }\nadd element inet sluice %[1]s { %[2]s : accept }", portMap, mapped),
		"nobody is isolated":        "flush map inet sluice ingress-v4\nflush map inet sluice source-v4\nadd element inet sluice source-v4 { \"cni0\" . 10.255.0.0 : accept }\nflush set inet sluice isolated-v4",
		"a strange interface":       "add element inet sluice pod-interfaces { \"eth0\" }\ndelete element inet sluice pod-interfaces { \"cni0\" }",
		"a rule too many":           lines("insert rule inet sluice %s accept", chain),
		"rules gone":                lines("flush chain inet sluice %s\nflush chain inet sluice judged\nflush chain inet sluice forward", chain),
		"strange objects":           "add chain inet sluice strange { type filter hook forward priority 7; }\nadd rule inet sluice strange accept\nadd set inet sluice st { type ipv4_addr; }\nadd map inet sluice sm { type ipv4_addr : verdict; }\nadd chain inet sluice s1\nadd chain inet sluice s2\nadd rule inet sluice s1 jump s2\nadd element inet sluice sm { 10.0.0.1 : goto s1 }\nadd counter inet sluice sc",
		"all rules gone":            "flush table inet sluice",
		"the table gone":            "delete table inet sluice",
		"a base chain gone":         "delete chain inet sluice forward",
		"another policy of a chain": "add chain inet sluice input { policy drop; }",
	}
}

func TestRepairMakesAnyTableRight(t *testing.T) {
	r := newRepairable(t, scale.Cluster{Pods: 200, Namespaces: 12, Policies: 72, LocalPods: 40, DualStack: true})
	want := r.whole()
	if switched, err := r.repair(); err != nil || !switched {
		t.Fatalf("bare: %v", err)
	}
	r.expect("bare", want)
	for what, damage := range r.damages() {
		r.ns.nft(damage)
		if _, err := r.repair(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		r.expect(what, want)
	}
}

// A table that a cluster left which was another since.
func TestRepairFollowsTheCluster(t *testing.T) {
	r := newRepairable(t, scale.Cluster{Pods: 900, Namespaces: 30, Policies: 120, LocalPods: 50})
	if _, err := r.repair(); err != nil {
		t.Fatal(err)
	}
	other := newRepairable(t, scale.Cluster{Pods: 800, Namespaces: 30, Policies: 90, LocalPods: 70})
	other.syncer.ns, other.syncer.tables, other.ns = r.ns, tables.New(r.ns), r.ns
	want := other.whole()
	if _, err := other.repair(); err != nil {
		t.Fatal(err)
	}
	other.expect("another cluster", want)
}

// What only a replacement can mend must be noticed before anything is switched.
func TestRepairRefusesWhatItCannotMend(t *testing.T) {
	for what, table := range map[string]string{
		"a set of another type":      "set local-v4 { type inet_service; elements = { 80 }; }",
		"a set with intervals":       "set local-v4 { type ipv4_addr; flags interval; }",
		"a map for a set":            "map local-v4 { type ipv4_addr : verdict; }",
		"a set for a map":            "set ingress-v4 { type ipv4_addr; }",
		"a chain without its hook":   "chain forward { }",
		"a chain with a strange one": "chain judged { type filter hook input priority 0; }",
		"another hook":               "chain forward { type filter hook input priority 0; }",
		"another priority":           "chain forward { type filter hook forward priority 0; }",
		"a quota":                    "quota q { over 1 mbytes }",
	} {
		r := newRepairable(t, scale.Large(150))
		r.ns.nft("table inet sluice { " + table + "; }")
		if switched, err := r.repair(); err == nil || switched {
			t.Errorf("%s: switched %v, %v", what, switched, err)
		}
		if err := r.syncer.transact(context.Background(), r.compiler.Replace()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		r.expect(what, r.whole())
	}
}

// dying is a Transactor that fails for good after some transactions.
type dying struct {
	Transactor
	left int
}

func (d *dying) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if d.left--; d.left < 0 {
		return errInjected
	}
	return d.Transactor.Transact(ctx, family, ops)
}

// TestRepairCanDieAnywhere lets a repair die after each of its transactions:
// until the switch the fixed chains and what they look up are as they were, and
// another repair finishes the work.
func TestRepairCanDieAnywhere(t *testing.T) {
	now := scale.Cluster{Pods: 2_500, Namespaces: 20, Policies: 60, LocalPods: 20}
	old := scale.Cluster{Pods: 2_000, Namespaces: 20, Policies: 40, LocalPods: 30}
	for _, bare := range []bool{true, false} {
		for died, n := true, 0; died; n++ {
			r := newRepairable(t, now)
			if !bare {
				before := newRepairable(t, old)
				before.syncer.ns, before.syncer.tables = r.ns, tables.New(r.ns)
				if _, err := before.repair(); err != nil {
					t.Fatal(err)
				}
			}
			before := r.inForce()
			whole := r.syncer.tables
			r.syncer.tables = &dying{whole, n}
			switched, err := r.repair()
			if died = errors.Is(err, errInjected); err != nil && !died {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, r.inForce()); !switched && diff != "" {
				t.Errorf("bare %v, died after %d transactions: what is in force changed:\n%s", bare, n, diff)
			}
			r.syncer.tables = whole
			if _, err := r.repair(); err != nil {
				t.Fatal(err)
			}
			r.expect(fmt.Sprintf("bare %v, died after %d transactions", bare, n), r.whole())
		}
	}
}

// inForce is what packets meet first: the base chains, and who is isolated.
func (r *repairable) inForce() string {
	var out strings.Builder
	for _, what := range []string{"chain inet sluice forward", "chain inet sluice judged", "map inet sluice ingress-v4", "map inet sluice source-v4"} {
		args := append([]string{"netns", "exec", r.ns.name, "nft", "-s", "list"}, strings.Fields(what)...)
		if list, err := exec.Command("ip", args...).Output(); err == nil {
			out.WriteString(sortedElements(string(list)))
		}
	}
	if !strings.Contains(out.String(), "hook") {
		return "nothing"
	}
	return out.String()
}

func TestAgentKilledBetweenPiecesNeverOpens(t *testing.T) {
	c := newCluster(t, "ptp")
	from := &source.Memory{}
	a := startAgent(t, c.node, from)
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	a.stop()
	stop := prober(t, c.bad.testNS, c.web.addr(0), 80)
	for n := range 4 {
		d := &dying{tables.New(c.node), n}
		a = startAgent(t, c.node, from, func(cfg *Config) { cfg.Transactor = d })
		time.Sleep(200 * time.Millisecond)
		a.stop()
		c.front.expect(c.web, 80, true)
		c.bad.expect(c.web, 80, false)
	}
	a = startAgent(t, c.node, from)
	a.settle()
	c.front.expect(c.web, 80, true)
	c.bad.expect(c.web, 80, false)
	stop()
}

func TestAgentReplacesWhatItCannotRepair(t *testing.T) {
	c := newCluster(t, "ptp")
	c.node.nft("table inet sluice { set local-v4 { type inet_service; elements = { 80 }; }; quota q { over 1 mbytes }; chain forward { }; }")
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	c.bad.expect(c.web, 80, false)
	c.front.expect(c.web, 80, true)
	if strings.Contains(c.node.ruleset(), "quota") {
		t.Error("parts of the old table are left")
	}
}
