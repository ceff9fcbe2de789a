package residents

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/policy"
)

// Without a word from the runtime a Pod's first packets come before anybody has said
// whose they are. But the API names every Pod of the node that has no interface yet,
// so an interface that nobody knows is one of theirs. Until it is known whose, each of
// them is presumed to have its addresses: an address that several Pods claim is held
// to the policies of each, allowed only what all allow, and counts as a peer only
// where all match. Whoever it is gets no more than its own policies give.
//
// What must hold: the Pod behind an unknown interface is one of those that wait. So
// nothing is inferred of an interface that was there before the agent's first sync, or
// that ever carried a known Pod; nor while a Pod that waited is gone from the API and
// its sandbox may still live, while the API is not heard, or where there are more such
// interfaces than Pods that wait.

// mostPresumed bounds the claims that are made: addresses times kinds of Pods. It
// has room for 110 Pods, as many as a kubelet takes by default, of both families
// and each with labels of its own, as those of a StatefulSet have: 15 ms an event
// (BenchmarkClaims).
const mostPresumed = 1 << 15

// scene is what is inferred from.
type scene struct {
	// waiting are the Pods of the node that have no interface, sorted by name.
	waiting []*policy.Pod
	// may says which of them a stranger may be; nil: each.
	may func(*policy.Pod) bool
	// strangers are sorted by interface.
	strangers []links.Stranger
	// claimants are the Pods that are known to have an address, or whose objects say so.
	claimants func(netip.Addr) []types.NamespacedName
	// before are the interfaces of the addresses that are presumed so far.
	before map[netip.Addr]int
}

// Presumption is what follows.
type Presumption struct {
	// Addrs are the presumed addresses, by the interface behind which they are.
	Addrs map[netip.Addr]int
	// claim are Pods that are to claim all of them: of those that are alike to every
	// policy, one.
	claim []*policy.Pod
	// Candidates are the Pods that each of the strangers may be.
	Candidates []*policy.Pod
	// complete: of each candidate some sandbox is among them, with its addresses.
	complete bool
	// Closed says why nothing is presumed of some stranger, empty if there is none.
	Closed string
}

// presume says which addresses which Pods are presumed to have.
func (s *scene) presume() Presumption {
	strangers, candidates := s.attribute()
	out := Presumption{Candidates: candidates}
	if len(strangers) == 0 {
		return out
	}
	if len(strangers) > len(candidates) {
		out.Closed = fmt.Sprintf("there are %d unknown sandboxes and %d Pods that wait for one", len(strangers), len(candidates))
		return out
	}
	for _, p := range candidates {
		if p.Unread {
			out.Closed = fmt.Sprintf("Pod %s has too many labels to say which policies select it", p.NamespacedName)
			return out
		}
	}
	out.Addrs = s.believed(strangers)
	out.claim = oneOfEachKind(candidates)
	out.complete = len(strangers) == len(candidates) && !slices.ContainsFunc(strangers, func(one links.Stranger) bool {
		return len(one.Addrs) == 0 || slices.ContainsFunc(one.Addrs, func(a netip.Addr) bool { _, ok := out.Addrs[a]; return !ok })
	})
	if len(out.Addrs)*len(out.claim) > mostPresumed {
		out.Closed = fmt.Sprintf("%d addresses may be those of %d kinds of Pods, which is too much to be judged by", len(out.Addrs), len(out.claim))
		out.Addrs, out.claim, out.complete = nil, nil, false
	}
	return out
}

// attribute takes out what is known by now: a sandbox with an address that is a waiting
// Pod's. What remains are the strangers and the Pods that they may be.
func (s *scene) attribute() (strangers []links.Stranger, candidates []*policy.Pod) {
	waits := map[types.NamespacedName]bool{}
	for _, p := range s.waiting {
		waits[p.NamespacedName] = true
	}
	found := map[types.NamespacedName]bool{}
	for _, one := range s.strangers {
		var owners []types.NamespacedName
		others := false
		for _, a := range one.Addrs {
			for _, name := range s.claimants(a) {
				owners = append(owners, name)
				others = others || !waits[name]
			}
		}
		if len(owners) == 0 || others {
			// With an address of somebody who has an interface it is what it seems to be
			// to nobody.
			one.Odd = one.Odd || others
			strangers = append(strangers, one)
			continue
		}
		for _, name := range owners {
			found[name] = true
		}
	}
	for _, p := range s.waiting {
		if !found[p.NamespacedName] && (s.may == nil || s.may(p)) {
			candidates = append(candidates, p)
		}
	}
	return strangers, candidates
}

// believed are the addresses of the strangers, by interface. Of one that two of them
// have nobody can say who had it first, unless it was presumed before.
func (s *scene) believed(strangers []links.Stranger) map[netip.Addr]int {
	holders := map[netip.Addr][]links.Stranger{}
	for _, one := range s.strangers {
		for _, a := range one.Addrs {
			holders[a] = append(holders[a], one)
		}
	}
	out := map[netip.Addr]int{}
	for _, one := range strangers {
		if one.Odd || len(one.Addrs) > links.MostAddrs {
			continue
		}
		for _, a := range one.Addrs {
			was, held := s.before[a]
			if len(holders[a]) == 1 || held && slices.Contains(one.Ifaces, was) {
				out[a] = one.Ifaces[0]
			}
		}
	}
	return out
}

// oneOfEachKind leaves out Pods that are to every policy what another one is.
func oneOfEachKind(pods []*policy.Pod) []*policy.Pod {
	var out []*policy.Pod
	seen := map[string]bool{}
	for _, p := range pods {
		if kind := kindOfPod(p); !seen[kind] {
			seen[kind] = true
			out = append(out, p)
		}
	}
	return out
}

// kindOfPod is all that policies ask of a Pod but for its addresses. Which node it is on
// is the same for all.
func kindOfPod(p *policy.Pod) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q", p.Namespace)
	for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
		fmt.Fprintf(&b, " %q=%q", key, p.Labels[key])
	}
	for _, port := range p.Ports {
		fmt.Fprintf(&b, " %q:%d/%d", port.Name, port.Protocol, port.Number)
	}
	return b.String()
}
