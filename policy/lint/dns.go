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
			Says:   "A policy allows egress to Pods, namespaces or the internet, and no policy for the same Pods allows DNS, or only by TCP.",
			Why:    "Others are found by their names. Where the name cannot be resolved, what is allowed is never reached, and the failure looks like another. Resolvers ask by UDP, and by TCP only after an answer that was too long; a port without a protocol is TCP.",
			Mend:   "Allow UDP and TCP port 53 to the cluster's DNS, in this policy or in one for the whole namespace.",
			Silent: "Policies that allow no egress at all; those that allow blocks of addresses only, unless it is all addresses; whatever may be DNS: UDP port 53, 853, 1053, 5353 or 8053 to anybody, TCP port 853 (DNS over TLS), ports named for it but for those named for TCP, or all ports to namespaces, blocks or Pods that may be a DNS server; TCP for Pods whose dnsConfig has the option use-vc. Namespaces with a policy that could not be read, and input with policies of other kinds, which may allow it.",
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

// dnsBy is how somebody may ask a DNS server.
type dnsBy uint8

const (
	notDNS dnsBy = iota
	// byTCP: by TCP alone, to which resolvers turn only after an answer by UDP that was
	// too long.
	byTCP
	// anyhow: as resolvers ask.
	anyhow
)

// dns is what the port lets somebody ask. Of what may have another meaning, such as a
// name, it is taken for granted that it does.
func (p *port) dns() dnsBy {
	means := slices.ContainsFunc(dnsPorts, func(n uint16) bool { return p.First <= n && n <= p.Last })
	overTLS := p.has(policy.TCP, 853) && !p.has(policy.TCP, 53)
	if p.name != "" {
		means = strings.Contains(p.name, "dns") || strings.Contains(p.name, "domain")
		overTLS = !strings.Contains(p.name, "tcp")
	}
	switch {
	case !means || p.Protocol == policy.SCTP:
		return notDNS
	case p.Protocol == policy.TCP && !overTLS:
		return byTCP
	}
	return anyhow
}

// dns is what the ports of a rule let somebody ask, where they are not all ports.
func (r *rule) dns() dnsBy {
	by := notDNS
	for _, p := range r.ports {
		by = max(by, p.dns())
	}
	return by
}

// mayGiveDNS is how a rule may let somebody ask a DNS server.
func (l *linter) mayGiveDNS(r *rule) dnsBy {
	if len(r.ports) > 0 {
		return r.dns()
	}
	if len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p *peer) bool { return l.mayHoldDNS(r, p) }) {
		return anyhow
	}
	return notDNS
}

// mayHoldDNS reports whether a DNS server may be among what a peer matches.
func (l *linter) mayHoldDNS(r *rule, p *peer) bool {
	if p.block != nil {
		return !p.block.Empty()
	}
	ends, _, closed := p.targets(l.world, r)
	return !closed || r.of.space.name == "kube-system" || slices.ContainsFunc(ends, func(e *end) bool { return e.declares(53, policy.UDP) || e.declares(53, policy.TCP) })
}

// needsNames reports whether what a rule allows is found by its name.
func (r *rule) needsNames() bool {
	return len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p *peer) bool {
		return p.block == nil && !p.pods.Empty() || p.block != nil && p.block.CIDR.Bits() == 0
	})
}

// askers are who may ask a DNS server, and how: the policies of a namespace that may
// allow it, and the ends that they may select.
type askers struct {
	policies map[*policyModel]dnsBy
	ends     map[*end]dnsBy
}

// askers are those by the policies that count where p does.
func (l *linter) askers(p *policyModel) *askers {
	known := &p.space.asks[0]
	if p.audited {
		known = &p.space.asks[1]
	}
	if *known != nil {
		return *known
	}
	a := &askers{map[*policyModel]dnsBy{}, map[*end]dnsBy{}}
	*known = a
	for _, q := range p.beside() {
		by := l.asksBy(q)
		if by == notDNS {
			continue
		}
		a.policies[q] = by
		for _, e := range q.selected() {
			a.ends[e] = max(a.ends[e], by)
		}
	}
	return a
}

// asksBy is how a policy may let its Pods ask.
func (l *linter) asksBy(p *policyModel) dnsBy {
	if p.broken {
		return anyhow
	}
	by := notDNS
	if p.isolates[policy.Egress] {
		for _, r := range p.rules[policy.Egress] {
			by = max(by, l.mayGiveDNS(r))
		}
	}
	return by
}

// resolves reports whether an end that may ask in this way resolves names: its own
// resolver may have been told to ask by TCP.
func (e *end) resolves(by dnsBy) bool {
	c := e.api.Spec.DNSConfig
	return by == anyhow || by == byTCP && c != nil && slices.ContainsFunc(c.Options, func(o corev1.PodDNSConfigOption) bool { return o.Name == "use-vc" })
}

func (l *linter) egressWithoutDNS() {
	if l.otherPolicies != "" || l.lostPolicies {
		return
	}
	for _, p := range l.policies {
		if p.broken || p.subject.Empty() || !p.isolates[policy.Egress] || !slices.ContainsFunc(p.rules[policy.Egress], (*rule).needsNames) {
			continue
		}
		asks := l.askers(p)
		if len(p.space.ends) > 0 {
			if without := slices.DeleteFunc(slices.Clone(p.selected()), func(e *end) bool { return !e.isolable() || e.resolves(asks.ends[e]) }); len(without) > 0 {
				l.findWithoutDNS(p, asks.least(without), ": "+named(without)+p.cannotResolve())
			}
			continue
		}
		// Any Pod that the policy selects may be selected by another.
		by := notDNS
		for q, how := range asks.policies {
			if q.subject.Overlaps(p.subject) {
				by = max(by, how)
			}
		}
		if by != anyhow {
			l.findWithoutDNS(p, by, "")
		}
	}
}

// least is how all of the ends may ask.
func (a *askers) least(ends []*end) dnsBy {
	by := anyhow
	for _, e := range ends {
		by = min(by, a.ends[e])
	}
	return by
}

// findWithoutDNS tells of a policy whose Pods may not ask, or by TCP alone: there, if the
// policy itself says so, at the port, to which a protocol is wanting.
func (l *linter) findWithoutDNS(p *policyModel, by dnsBy, who string) {
	at, message := path{"spec", "egress"}, "allows egress, and no policy for the same Pods allows DNS"
	mend := "allow UDP and TCP port 53 to the cluster's DNS, here or in a policy for the whole namespace"
	if by == byTCP {
		message = "allows egress, and policies for the same Pods allow DNS by TCP alone: UDP 53 is missing, by which names are asked for first"
		mend = "allow UDP port 53 beside TCP: a port without a protocol is TCP"
		if own := p.tcpDNS(); own != nil {
			at = own.path
			message = fmt.Sprintf("allows DNS by TCP alone: %s is missing, by which names are asked for first", own.udp())
		}
	}
	l.find(Warning, p.object, at, message+who, mend)
}

// tcpDNS is the first port by which the policy allows DNS by TCP, nil if it has none.
func (m *policyModel) tcpDNS() *port {
	for _, r := range m.rules[policy.Egress] {
		for _, o := range r.ports {
			if o.dns() == byTCP {
				return o
			}
		}
	}
	return nil
}

// udp names the port of DNS by UDP that belongs to one by TCP.
func (p *port) udp() string {
	if p.single() {
		return fmt.Sprintf("UDP %d", p.First)
	}
	return "UDP 53"
}

// cannotResolve says what becomes of the Pods of a policy without DNS, and when.
func (m *policyModel) cannotResolve() string {
	if m.audited {
		return " could not resolve a name once the policy is enforced"
	}
	return " cannot resolve a name"
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
		for _, p := range s.policies {
			if p.broken || !p.isolates[policy.Egress] || !slices.ContainsFunc(p.rules[policy.Egress], (*rule).dnsBySelector) {
				continue
			}
			reach := p.reaching(cache)
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
	return r.dns() != notDNS && slices.ContainsFunc(r.peers, func(p *peer) bool { return p.block == nil })
}

// reaching are the ends that a policy which counts where this one does lets ask the
// cache at one of its addresses.
func (m *policyModel) reaching(cache *nodeDNS) map[*end]bool {
	out := map[*end]bool{}
	for _, q := range m.beside() {
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
	return (len(r.ports) == 0 || r.dns() == anyhow) && (len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p *peer) bool {
		return p.block != nil && slices.ContainsFunc(d.addrs, p.block.Contains)
	}))
}
