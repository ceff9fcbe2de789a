package lint_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/lint"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/spectest"
)

// addsNothing are the checks whose findings can be removed, all at once, and no flow
// is judged otherwise, whatever Pods there are.
var addsNothing = []string{"policy-adds-nothing", "rule-adds-nothing", "peer-adds-nothing", "port-adds-nothing", "block-empty", "selector-contradiction", "direction-not-isolated"}

// neverMatches are those whose findings can be removed, and no flow between the Pods
// of the input is judged otherwise.
var neverMatches = []string{"policy-selects-nothing", "policy-host-network", "peer-selects-nothing", "peer-host-network", "port-name-unknown"}

// What lint says adds nothing, or never matches, is cut out of random clusters, and
// the evaluator judges all flows as before: now, and once what is audited is enforced.
func TestWhatAddsNothingCanGo(t *testing.T) {
	removed := map[string]int{}
	for seed := range uint64(150) {
		r := spectest.Seeded(seed)
		c := spectest.Random(r, spectest.Options{Namespaces: 1 + int(seed%3), Policies: 12, Names: seed%3 == 0, Contested: seed%7 == 0, Modes: seed%2 == 0})
		text := c.YAML()
		set, findings := lintOf(t, text)
		before := indexOf(t, set)
		for _, ids := range [][]string{addsNothing, slices.Concat(addsNothing, neverMatches)} {
			cut := cutting{}
			for _, f := range findings {
				if slices.Contains(ids, f.ID) {
					cut.add(f)
					removed[f.ID]++
				}
			}
			kept := cut.apply(set)
			after, beforeTrial, afterTrial := indexOf(t, kept), indexOf(t, enforcedAll(set)), indexOf(t, enforcedAll(kept))
			for range 60 {
				f := c.RandomFlow(r)
				flow := policy.Flow{Src: before.EndOfAddr(f.Src), Dst: before.EndOfAddr(f.Dst), Protocol: policy.Protocol(f.Protocol), Port: f.Port}
				unchanged(t, seed, flow, before, after)
				unchanged(t, seed, flow, beforeTrial, afterTrial)
				if t.Failed() {
					t.Fatalf("%v\n%s", lines(findings), text)
				}
			}
		}
	}
	for _, id := range slices.Concat(addsNothing, neverMatches) {
		if removed[id] == 0 && id != "policy-host-network" && id != "peer-host-network" && id != "selector-contradiction" && id != "block-empty" {
			t.Errorf("%s was never found, so nothing is shown of it", id)
		}
	}
	t.Logf("removed: %v", removed)
}

// unchanged holds the verdicts of two indexes against each other, of which the second
// has not what lint says to be of no use.
func unchanged(t *testing.T, seed uint64, flow policy.Flow, before, after *policy.Index) {
	t.Helper()
	was, is := before.Evaluate(flow), after.Evaluate(flow)
	if tooMany(was) || tooMany(is) {
		// Fewer policies make fewer kinds of Pods that claim an address: a limit
		// of the engine, not what policies say.
		return
	}
	if was.Egress.Allowed != is.Egress.Allowed || was.Ingress.Allowed != is.Ingress.Allowed {
		t.Errorf("seed %d: %v → %v %s %d: egress %v and ingress %v, without what lint says to be of no use %v and %v", seed, flow.Src.Addr, flow.Dst.Addr, flow.Protocol, flow.Port,
			was.Egress.Allowed, was.Ingress.Allowed, is.Egress.Allowed, is.Ingress.Allowed)
	}
}

// enforcedAll is the set once nothing in it is audited any more.
func enforcedAll(set manifest.Set) manifest.Set {
	policies := make([]*networkingv1.NetworkPolicy, len(set.Policies))
	for i, np := range set.Policies {
		policies[i] = np.DeepCopy()
		policies[i].Annotations = map[string]string{policy.ModeKey: policy.ModeEnforce}
	}
	set.Policies = policies
	return set
}

func tooMany(v policy.Verdict) bool {
	return v.Egress.Reason == policy.ReasonTooManyClaims || v.Ingress.Reason == policy.ReasonTooManyClaims
}

func lintOf(t *testing.T, text string) (manifest.Set, []lint.Finding) {
	t.Helper()
	loader := manifest.Loader{Repository: true}
	in := lint.Input{Outline: &manifest.Outline{Repository: true}}
	loader.Add("m.yaml", []byte(text))
	in.Outline.Add("m.yaml", []byte(text))
	in.Set, in.Problems = loader.Finish()
	return in.Set, lint.Run(in).Findings
}

func indexOf(t *testing.T, set manifest.Set) *policy.Index {
	t.Helper()
	x := policy.NewIndex(policy.Options{})
	for _, ns := range set.Namespaces {
		x.SetNamespace(ns.Name, ns.Labels)
	}
	for _, p := range set.Pods {
		pod, err := policy.PodFromAPI(p)
		if pod == nil {
			t.Fatal(err)
		}
		x.SetPod(pod)
	}
	for _, np := range set.Policies {
		// An invalid one is stored all the same.
		_ = x.SetPolicy(np)
	}
	return x
}

// cutting gathers what is to be removed.
type cutting struct {
	policies map[string]bool
	// of a policy, by "ingress[0]", "ingress[0].from[1]" and "ingress[0].ports[1]".
	parts map[string]map[string]bool
}

var cutAt = regexp.MustCompile(`^spec\.((?:ingress|egress)(?:\[\d+\])?)(?:\.((?:from|to|ports)\[\d+\]))?`)

func (c *cutting) add(f lint.Finding) {
	name := f.Object.Namespace + "/" + f.Object.Name
	found := cutAt.FindStringSubmatch(f.Field)
	if found == nil {
		if c.policies == nil {
			c.policies = map[string]bool{}
		}
		// A contradiction of the policy's own selector, or nothing that it selects.
		c.policies[name] = true
		return
	}
	if c.parts == nil {
		c.parts = map[string]map[string]bool{}
	}
	if c.parts[name] == nil {
		c.parts[name] = map[string]bool{}
	}
	at := found[1]
	if found[2] != "" {
		at += "." + found[2]
	}
	c.parts[name][at] = true
}

func (c *cutting) apply(set manifest.Set) manifest.Set {
	var kept []*networkingv1.NetworkPolicy
	for _, np := range set.Policies {
		name := np.Namespace + "/" + np.Name
		if c.policies[name] {
			continue
		}
		np = np.DeepCopy()
		cut := c.parts[name]
		var ingress []networkingv1.NetworkPolicyIngressRule
		for i, r := range np.Spec.Ingress {
			var ok bool
			if r.From, r.Ports, ok = trim(cut, "ingress", i, "from", r.From, r.Ports); ok {
				ingress = append(ingress, r)
			}
		}
		var egress []networkingv1.NetworkPolicyEgressRule
		for i, r := range np.Spec.Egress {
			var ok bool
			if r.To, r.Ports, ok = trim(cut, "egress", i, "to", r.To, r.Ports); ok {
				egress = append(egress, r)
			}
		}
		np.Spec.Ingress, np.Spec.Egress = ingress, egress
		kept = append(kept, np)
	}
	set.Policies = kept
	return set
}

// trim cuts peers and ports out of a rule. A rule that has none left, and had some,
// goes: without any it would allow all.
func trim(cut map[string]bool, dir string, i int, list string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) ([]networkingv1.NetworkPolicyPeer, []networkingv1.NetworkPolicyPort, bool) {
	at := dir + "[" + strconv.Itoa(i) + "]"
	if cut[dir] || cut[at] {
		return nil, nil, false
	}
	var keptPeers []networkingv1.NetworkPolicyPeer
	for j, p := range peers {
		if !cut[fmt.Sprintf("%s.%s[%d]", at, list, j)] {
			keptPeers = append(keptPeers, p)
		}
	}
	var keptPorts []networkingv1.NetworkPolicyPort
	for j, p := range ports {
		if !cut[fmt.Sprintf("%s.ports[%d]", at, j)] {
			keptPorts = append(keptPorts, p)
		}
	}
	return keptPeers, keptPorts, (len(peers) == 0 || len(keptPeers) > 0) && (len(ports) == 0 || len(keptPorts) > 0)
}

// On random clusters nothing is found twice, out of order, or without a place.
func TestFindingsAreWhole(t *testing.T) {
	for seed := range uint64(200) {
		text := spectest.Random(spectest.Seeded(seed), spectest.Options{Invalid: seed%2 == 0}).YAML()
		_, findings := lintOf(t, text)
		_, again := lintOf(t, text)
		if !slices.Equal(findings, again) {
			t.Fatalf("seed %d: not the same twice", seed)
		}
		for i, f := range findings {
			if f.Place.Line == 0 || i > 0 && findings[i-1] == f {
				t.Errorf("seed %d: %+v", seed, f)
			}
			if i > 0 && findings[i-1].Place.Line > f.Place.Line {
				t.Errorf("seed %d: %v is before %v", seed, findings[i-1].Place, f.Place)
			}
		}
	}
}

// FuzzRun: whatever is read can be linted.
func FuzzRun(f *testing.F) {
	for _, list := range situations() {
		for _, s := range list {
			f.Add([]byte(s.input))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		for _, f := range run(string(data)).Findings {
			if f.ID == "" || f.Message == "" || f.Place.File == "" {
				t.Errorf("%+v", f)
			}
		}
	})
}
