package policy

import (
	"fmt"
	"slices"
	"strings"
)

// tracePolicies makes room for the traces of all rules.
func tracePolicies(policies []*parsed, d Direction) []PolicyTrace {
	out := make([]PolicyTrace, len(policies))
	for i, p := range policies {
		out[i] = PolicyTrace{Policy: p.NamespacedName, Problems: slices.Clone(p.problems)}
		for j := range p.rules[d] {
			r := &p.rules[d][j]
			t := RuleTrace{RuleRef: r.ref, Invalid: r.invalid()}
			if len(r.peers) > 0 {
				t.Peers = make([]PartTrace, len(r.peers))
			}
			if len(r.ports) > 0 {
				t.Ports = make([]PartTrace, len(r.ports))
			}
			out[i].Rules = append(out[i].Rules, t)
		}
	}
	return out
}

// invalid is why the rule can allow nothing, empty if it can.
func (r *rule) invalid() string {
	if len(r.peers) > 0 && !slices.ContainsFunc(r.peers, func(p peer) bool { return p.invalid == "" }) {
		return r.peers[0].invalid
	}
	if len(r.ports) > 0 && !slices.ContainsFunc(r.ports, func(p port) bool { return p.invalid == "" }) {
		return r.ports[0].invalid
	}
	return ""
}

func (f *facts) tracePort(p *port, index int, matched bool) PartTrace {
	t := PartTrace{Index: index, Matched: matched, What: p.String(), Why: p.invalid}
	if p.invalid != "" {
		t.What = "invalid port"
		return t
	}
	flow := f.proto.String()
	if f.proto.HasPorts() {
		flow = fmt.Sprintf("%s %d", f.proto, f.port)
	}
	switch {
	case !f.proto.HasPorts():
		t.Why = fmt.Sprintf("%s has no ports: only a rule without ports allows it", f.proto)
	case p.Protocol != f.proto:
		t.Why = fmt.Sprintf("protocol is %s, not %s", f.proto, p.Protocol)
	case p.name != "":
		t.Why = f.whyName(p, matched)
	case matched:
		t.Why = fmt.Sprintf("%s is in %s", flow, t.What)
	default:
		t.Why = fmt.Sprintf("port %d is not in %s", f.port, t.What)
	}
	return t
}

func (f *facts) whyName(p *port, matched bool) string {
	owners := f.named()
	if owners.none() {
		return fmt.Sprintf("destination %s is no Pod, so it has no port named %s/%s", f.addr, p.name, p.Protocol)
	}
	who := "destination Pod " + owners.first.pod.NamespacedName.String()
	if owners.shared() {
		who = fmt.Sprintf("all Pods that claim %s", f.addr)
	}
	found := resolvePort(owners.ports(), p.name, p.Protocol)
	if len(found) == 0 {
		if owners.shared() {
			return fmt.Sprintf("the Pods that claim %s do not all have the same port named %s/%s", f.addr, p.name, p.Protocol)
		}
		return fmt.Sprintf("%s has no port named %s/%s", who, p.name, p.Protocol)
	}
	list := make([]string, len(found))
	for i, r := range found {
		list[i] = fmt.Sprint(r.First)
	}
	why := fmt.Sprintf("port %s/%s of %s is %s", p.name, p.Protocol, who, strings.Join(list, " and "))
	if !matched {
		why += fmt.Sprintf(", not %d", f.port)
	}
	return why
}

func (f *facts) tracePeer(p *peer, index int, matched bool) PartTrace {
	t := PartTrace{Index: index, Matched: matched}
	switch {
	case p.invalid != "":
		t.What, t.Why = "invalid peer", p.invalid
	case p.group != nil:
		t.What, t.Why = p.group.what(), f.whyGroup(p.group)
	default:
		t.What, t.Why = "ipBlock "+p.block.String(), f.whyBlock(p.block)
	}
	return t
}

func (f *facts) whyBlock(b IPBlock) string {
	if f.addr.Is4() != b.CIDR.Addr().Is4() {
		families := [2]string{"IPv6", "IPv4"}
		mine, other := families[0], families[1]
		if f.addr.Is4() {
			mine, other = other, mine
		}
		return mine + " address, " + other + " block"
	}
	if !b.CIDR.Contains(f.addr) {
		return fmt.Sprintf("%s is not in %s", f.addr, b.CIDR)
	}
	for _, e := range b.Except {
		if e.Contains(f.addr) {
			return fmt.Sprintf("%s is in except %s", f.addr, e)
		}
	}
	return fmt.Sprintf("%s is in %s", f.addr, b.CIDR)
}

// what shows the peer in short.
func (s *groupSpec) what() string {
	pods := "podSelector " + s.pods.text
	if len(s.pods.reqs) == 0 {
		pods = "every Pod"
	}
	switch {
	case s.in.fixed:
		return pods + " in namespace " + s.in.name
	case s.in.sel == nil:
		return pods + " of the cluster"
	case len(s.in.sel.reqs) == 0:
		return pods + " in any namespace"
	}
	return pods + " in namespaces with " + s.in.sel.text
}

func (f *facts) whyGroup(s *groupSpec) string {
	if f.peer.none() {
		return fmt.Sprintf("%s is no Pod", f.addr)
	}
	if !f.peer.shared() {
		return s.why(f.peer.first.class)
	}
	if e := f.outsider(s); e != nil {
		return fmt.Sprintf("Pod %s, which claims %s too, is not among them: %s", e.pod.NamespacedName, f.addr, s.why(e.class))
	}
	return fmt.Sprintf("all Pods that claim %s are among them", f.addr)
}

// why says what of a Pod's class meets the selectors or does not.
func (s *groupSpec) why(c *class) string {
	switch {
	case s.in.fixed && c.ns.name != s.in.name:
		return fmt.Sprintf("Pod is in namespace %s, not %s", c.ns.name, s.in.name)
	case s.in.sel != nil && !c.ns.known:
		return fmt.Sprintf("namespace %s is not known, so its labels are not", c.ns.name)
	}
	var met []string
	if s.in.sel != nil {
		if i := s.in.sel.miss(c.ns.labels); i >= 0 {
			return s.in.sel.reqs[i].why("namespace", c.ns.labels)
		}
		for i := range s.in.sel.reqs {
			met = append(met, s.in.sel.reqs[i].why("namespace", c.ns.labels))
		}
	}
	if i := s.pods.miss(c); i >= 0 {
		return s.pods.reqs[i].why("pod", c)
	}
	for i := range s.pods.reqs {
		met = append(met, s.pods.reqs[i].why("pod", c))
	}
	if len(met) == 0 {
		return fmt.Sprintf("Pod is in namespace %s", c.ns.name)
	}
	return strings.Join(met, ", ")
}

// why says what of the labels meets the requirement or does not.
func (r *requirement) why(of string, given labels) string {
	v, ok := given.value(r.key)
	if !ok {
		why := fmt.Sprintf("%s has no label %s", of, r.key)
		if r.op == opIn {
			why += ", which must be " + either(r.values)
		}
		return why
	}
	is := fmt.Sprintf("%s label %s is %s", of, r.key, quoteEmpty(v))
	switch {
	case r.matches(given):
		return is
	case r.op == opIn:
		return is + ", not " + either(r.values)
	case r.op == opNotIn:
		return is + ", which is excluded"
	}
	return is + ", but the label must be absent"
}

func either(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quoteEmpty(v)
	}
	return strings.Join(quoted, " or ")
}

func quoteEmpty(v string) string {
	if v == "" {
		return `""`
	}
	return v
}
