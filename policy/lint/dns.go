package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/policy"
)

func dnsChecks() []check {
	return []check{
		{Check{
			ID: "egress-without-dns", Severity: Warning,
			Says:   "A policy allows egress to Pods, namespaces or the internet, and no policy for the same Pods allows DNS.",
			Why:    "Others are found by their names. Where the name cannot be resolved, what is allowed is never reached, and the failure looks like another.",
			Mend:   "Allow UDP and TCP port 53 to the cluster's DNS, in this policy or in one for the whole namespace.",
			Silent: "Policies that allow no egress at all; those that allow blocks of addresses only, unless it is all addresses; whatever may be DNS: port 53, 853, 1053, 5353 or 8053 to anybody, ports named for it, or all ports to namespaces, blocks or Pods that may be a DNS server. Namespaces with a policy that could not be read, and input with policies of other kinds, which may allow it.",
		}, (*linter).egressWithoutDNS},
		{Check{
			ID: "node-local-dns", Severity: Warning,
			Says:   "NodeLocal DNSCache is in the input, and the policies of some Pods allow DNS by selectors only.",
			Why:    "It answers on the host's network, at an address of the node. No selector matches that, so questions to it are denied.",
			Mend:   "Allow port 53 to its address by an ipBlock (169.254.20.10/32 by default).",
			Silent: "Pods for which any rule allows port 53 to everybody or to a block that may hold the address; clusters of which the input shows no NodeLocal DNSCache.",
		}, (*linter).nodeLocalDNS},
	}
}

// dnsPorts are those on which DNS servers of clusters answer, behind their Service:
// CoreDNS on 53, OpenShift's on 5353, others on unprivileged ones.
var dnsPorts = []uint16{53, 853, 1053, 5353, 8053}

// meansDNS reports whether the ports of a rule name one of DNS, and nothing like all
// ports.
func (r *rule) meansDNS() bool {
	return slices.ContainsFunc(r.ports, func(p *port) bool {
		if p.name != "" {
			return strings.Contains(p.name, "dns") || strings.Contains(p.name, "domain")
		}
		return slices.ContainsFunc(dnsPorts, func(n uint16) bool { return p.First <= n && n <= p.Last })
	})
}

// mayGiveDNS reports whether a rule may let somebody ask a DNS server.
func (l *linter) mayGiveDNS(r *rule) bool {
	if len(r.ports) > 0 {
		return r.meansDNS()
	}
	if len(r.peers) == 0 {
		return true
	}
	return slices.ContainsFunc(r.peers, func(p *peer) bool {
		if p.block != nil {
			return !p.block.Empty()
		}
		ends, _, closed := p.targets(l.world, r)
		return !closed || r.of.space.name == "kube-system" || slices.ContainsFunc(ends, func(e *end) bool { return e.declares(53, policy.UDP) || e.declares(53, policy.TCP) })
	})
}

// needsNames reports whether what a rule allows is found by its name.
func (r *rule) needsNames() bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p *peer) bool {
		return p.block == nil && !p.pods.Empty() || p.block != nil && p.block.CIDR.Bits() == 0
	})
}

// askers are who may ask a DNS server: the policies of a namespace that may allow
// it, and the ends that they may select.
type askers struct {
	policies []*policyModel
	ends     map[*end]bool
}

func (l *linter) askers(s *space) *askers {
	if s.asks != nil {
		return s.asks
	}
	s.asks = &askers{ends: map[*end]bool{}}
	for _, p := range s.policies {
		if !p.broken && (!p.isolates[policy.Egress] || !slices.ContainsFunc(p.rules[policy.Egress], l.mayGiveDNS)) {
			continue
		}
		s.asks.policies = append(s.asks.policies, p)
		for _, e := range p.selected() {
			s.asks.ends[e] = true
		}
	}
	return s.asks
}

func (l *linter) egressWithoutDNS() {
	if l.otherPolicies != "" || l.lostPolicies {
		return
	}
	for _, p := range l.policies {
		if p.broken || p.subject.Empty() || !p.isolates[policy.Egress] || !slices.ContainsFunc(p.rules[policy.Egress], (*rule).needsNames) {
			continue
		}
		message := "allows egress, and no policy for the same Pods allows DNS"
		var found bool
		if len(p.space.ends) == 0 {
			// Any Pod that the policy selects may be selected by another.
			found = !slices.ContainsFunc(l.askers(p.space).policies, func(q *policyModel) bool { return q.subject.Overlaps(p.subject) })
		} else {
			without := slices.DeleteFunc(slices.Clone(p.selected()), func(e *end) bool { return !e.isolable() || l.askers(p.space).ends[e] })
			message, found = message+": "+named(without)+" cannot resolve a name", len(without) > 0
		}
		if found {
			l.find(Warning, p.object, path{"spec", "egress"}, message, "allow UDP and TCP port 53 to the cluster's DNS, here or in a policy for the whole namespace")
		}
	}
}

// nodeDNS is a NodeLocal DNSCache: a Pod on the host's network that answers at
// addresses which its node takes for its own.
type nodeDNS struct {
	end   *end
	addrs []netip.Addr
}

// nodeDNSName is what its Pods are labelled with, wherever they come from.
const nodeDNSName = "node-local-dns"

// nodeDNSDefault is the address in its documentation.
// https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/
var nodeDNSDefault = netip.MustParseAddr("169.254.20.10")

func (l *linter) nodeDNS() *nodeDNS {
	for _, e := range l.ends {
		if !e.pod.HostNetwork || e.pod.Finished || e.pod.Labels["k8s-app"] != nodeDNSName && e.pod.Labels["app.kubernetes.io/name"] != nodeDNSName {
			continue
		}
		d := &nodeDNS{end: e, addrs: localIPs(e.api)}
		if len(d.addrs) == 0 {
			d.addrs = []netip.Addr{nodeDNSDefault}
		}
		return d
	}
	return nil
}

// localIPs reads the flag -localip from the command lines of a Pod. What is a
// placeholder in it is left out.
func localIPs(p *corev1.Pod) []netip.Addr {
	var found []netip.Addr
	for _, c := range p.Spec.Containers {
		words := strings.Fields(strings.Join(slices.Concat(c.Command, c.Args), " "))
		for i, word := range words {
			name, value, given := strings.Cut(strings.TrimLeft(word, "-"), "=")
			if name != "localip" || word == name {
				continue
			}
			if !given && i+1 < len(words) {
				value = words[i+1]
			}
			for _, s := range strings.Split(strings.Trim(value, `"'`), ",") {
				if a, err := netip.ParseAddr(s); err == nil {
					found = append(found, a.Unmap())
				}
			}
		}
	}
	return found
}

func (l *linter) nodeLocalDNS() {
	cache := l.nodeDNS()
	if cache == nil || l.otherPolicies != "" || l.lostPolicies {
		return
	}
	for _, s := range l.spaces {
		reach := s.reaching(cache)
		for _, p := range s.policies {
			if p.broken || !p.isolates[policy.Egress] || !slices.ContainsFunc(p.rules[policy.Egress], (*rule).dnsBySelector) {
				continue
			}
			denied := slices.DeleteFunc(slices.Clone(p.selected()), func(e *end) bool { return !e.isolable() || reach[e] })
			if len(denied) == 0 {
				continue
			}
			l.find(Warning, p.object, path{"spec", "egress"},
				fmt.Sprintf("allows DNS by selectors only, and %s answers at %s, which no selector matches: %s", cache.end.object, cache.addrs[0], named(denied)),
				fmt.Sprintf("allow UDP and TCP port 53 to the ipBlock %s, too", netip.PrefixFrom(cache.addrs[0], cache.addrs[0].BitLen())))
		}
	}
}

// dnsBySelector reports whether the rule allows port 53 to Pods.
func (r *rule) dnsBySelector() bool {
	return len(r.ports) > 0 && r.meansDNS() && slices.ContainsFunc(r.peers, func(p *peer) bool { return p.block == nil })
}

// reaching are the ends that a policy lets ask the cache at one of its addresses.
func (s *space) reaching(cache *nodeDNS) map[*end]bool {
	out := map[*end]bool{}
	for _, q := range s.policies {
		if !q.broken && !slices.ContainsFunc(q.rules[policy.Egress], cache.allowedBy) {
			continue
		}
		for _, e := range q.selected() {
			out[e] = true
		}
	}
	return out
}

// allowedBy reports whether a rule allows questions to one of the addresses.
func (d *nodeDNS) allowedBy(r *rule) bool {
	return (len(r.ports) == 0 || r.meansDNS()) && (len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p *peer) bool {
		return p.block != nil && slices.ContainsFunc(d.addrs, p.block.Contains)
	}))
}
