package lint

import (
	"fmt"
	"slices"
)

func peerChecks() []check {
	return []check{
		{Check{
			ID: "peer-selects-nothing", Severity: Warning,
			Says:   "A peer's selectors match no Pod and no workload of the namespaces that they mean.",
			Why:    "The rule allows nobody by this peer. If it is a slip of the pen, somebody is denied who should not be.",
			Mend:   "Write the labels that the workloads have; the message names the nearest.",
			Silent: "A namespaceSelector that may match namespaces of which the input has no workload: those Pods are elsewhere. Without a near miss it is a note, as the peer may be another team's.",
		}, (*linter).peersSelectNothing},
		{Check{
			ID: "peer-or", Severity: Warning,
			Says:   "A namespaceSelector and a podSelector are two entries of a list where only one entry makes sense.",
			Why:    "Entries are alternatives. A dash before the podSelector makes it mean Pods of the policy's own namespace, and the namespaceSelector all Pods of those namespaces.",
			Mend:   "Remove the dash before the second selector, so that both are asked for at once.",
			Silent: "Lists in which the podSelector selects Pods of the policy's own namespace, or may: there both alternatives can be meant.",
		}, (*linter).peersOr},
		{Check{
			ID: "peer-host-network", Severity: Warning,
			Says:   "All Pods that a peer's selectors match run on the host's network.",
			Why:    "Such Pods have their node's address, and no selector matches that.",
			Mend:   "Allow the nodes by an ipBlock.",
			Silent: "Peers that also match a Pod with an address of its own, and those that match every Pod of a namespace.",
		}, (*linter).peersOnHosts},
		{Check{
			ID: "peer-adds-nothing", Severity: Note,
			Says:   "Another peer of the rule matches all that this one matches.",
			Why:    "It can be removed and nothing changes.",
			Mend:   "Remove it, or narrow the other.",
			Silent: "Selectors beside a block of addresses: that a block holds the Pods is nowhere said.",
		}, (*linter).peersAddNothing},
	}
}

// eachPeer visits the peers with selectors that some labels can match.
func (l *linter) eachPeer(visit func(*rule, *peer)) {
	for _, r := range l.allRules() {
		for _, p := range r.peers {
			if p.block == nil && !p.pods.Empty() && (p.own || !p.namespaces.Empty()) {
				visit(r, p)
			}
		}
	}
}

func (l *linter) peersSelectNothing() {
	l.eachPeer(func(r *rule, p *peer) {
		ends, spaces, closed := p.targets(l.world, r)
		if len(ends) > 0 || l.orOf(r, p) != nil {
			return
		}
		var there []*end
		for _, s := range spaces {
			there = append(there, s.ends...)
		}
		near := nearest(p.podSelector, p.path.at("podSelector"), there)
		if len(there) == 0 || !closed && (near == nil || !near.sameKey) {
			return
		}
		at, message := p.path, fmt.Sprintf("selects %s %s, and no workload there is that", p.pods, inWords(spaces))
		severity, mend := Note, "write the labels of the workloads that are meant, or remove the entry"
		if near != nil {
			at, message, mend = near.path, message+": "+near.String(), near.mend()
		} else {
			message += fmt.Sprintf(": of %s, %s", many(len(there), "workload"), whatIsThere(p.podSelector, there))
		}
		if near != nil && closed && !l.matchedBy(r, near.end) {
			severity = Warning
		}
		severity, message = l.unless(spaces[0], severity, message)
		l.find(severity, r.of.object, at, message, mend)
	})
}

// matchedBy reports whether a peer of the rule matches an end: then a peer that
// misses it by a letter may be there for other times.
func (l *linter) matchedBy(r *rule, e *end) bool {
	return slices.ContainsFunc(r.peers, func(p *peer) bool {
		if p.block != nil {
			return false
		}
		ends, _, _ := p.targets(l.world, r)
		return slices.Contains(ends, e)
	})
}

// inWords names namespaces.
func inWords(spaces []*space) string {
	if len(spaces) == 1 {
		return "in namespace " + spaces[0].name
	}
	return fmt.Sprintf("in %d namespaces", len(spaces))
}

// orOf is the namespaceSelector next to a peer that was meant to stand in one entry
// with its podSelector, nil if nothing says so.
func (l *linter) orOf(r *rule, p *peer) *peer {
	if !p.own || p.pods.All() || p.block != nil {
		return nil
	}
	for i, o := range r.peers {
		if o.block != nil || o.own || o.podSelector != nil && !o.pods.All() {
			continue
		}
		if i+1 < len(r.peers) && r.peers[i+1] == p || i > 0 && r.peers[i-1] == p {
			if o.covers(r, p) || l.meantThere(r, p, o) {
				return o
			}
		}
	}
	return nil
}

// meantThere reports whether a podSelector matches nothing of the policy's own
// namespace, and does match in one that the namespaceSelector selects.
func (l *linter) meantThere(r *rule, p, namespaces *peer) bool {
	own := r.of.space
	may := func(e *end) bool { return e.may(p.pods) }
	if len(own.ends) == 0 || l.doubtAbout(own) != "" || slices.ContainsFunc(own.ends, may) {
		return false
	}
	return slices.ContainsFunc(l.spaces, func(s *space) bool {
		does, _ := s.matches(namespaces.namespaces)
		return does && s != own && slices.ContainsFunc(s.ends, func(e *end) bool { return p.pods.Contains(e.pod.Labels) })
	})
}

func (l *linter) peersOr() {
	l.eachPeer(func(r *rule, p *peer) {
		o := l.orOf(r, p)
		if o == nil {
			return
		}
		message := fmt.Sprintf("podSelector %s is an entry of its own: it means Pods of namespace %s, of which none is that, while %s allows all Pods of namespaces with %s",
			p.pods, r.of.space.name, o.path[3:], o.namespaces)
		if o.covers(r, p) {
			message = fmt.Sprintf("podSelector %s restricts nothing: %s, an entry of its own, allows all Pods of %s", p.pods, o.path[3:], namespacesIn(o))
		}
		l.find(Warning, r.of.object, p.path, message, "remove the dash before the second of the two selectors, so that both must match")
	})
}

func namespacesIn(p *peer) string {
	if p.namespaces.All() {
		return "every namespace"
	}
	return "namespaces with " + p.namespaces.String()
}

func (l *linter) peersOnHosts() {
	l.eachPeer(func(r *rule, p *peer) {
		ends, spaces, closed := p.targets(l.world, r)
		if !closed || len(ends) == 0 || p.pods.All() || slices.ContainsFunc(ends, func(e *end) bool { return !e.pod.HostNetwork }) {
			return
		}
		severity, message := l.unless(spaces[0], Warning,
			fmt.Sprintf("matches nobody: %s is on the host's network, and has its node's address", named(ends)))
		l.find(severity, r.of.object, p.path, message, "allow the nodes' addresses by an ipBlock")
	})
}

func (l *linter) peersAddNothing() {
	c := l.coverage()
	for _, r := range l.allRules() {
		if c.policies[r.of] != nil || c.rules[r] != nil {
			continue
		}
		for _, p := range r.peers {
			by := c.peers[p]
			if by == nil || l.orOf(r, p) != nil {
				continue
			}
			l.find(Note, r.of.object, p.path, fmt.Sprintf("adds nothing: %s[%d] matches all of it", peerField(r.dir), by.path[len(by.path)-1]), "remove it, or narrow the other")
		}
	}
}
