package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// parsed is a NetworkPolicy as the index keeps it. It is immutable but for
// anchor.
type parsed struct {
	types.NamespacedName
	// selector is everything where the podSelector is invalid: whoever the
	// policy is meant for stays isolated.
	selector *selector
	// mode is what the policy says of itself; see [parsed.audited].
	mode     mode
	isolates [2]bool
	rules    [2][]rule
	// hash is a content address of the rules of a direction.
	hash [2]string
	// named are the port names of a direction, sorted, each once.
	named [2][]NamedPortRef
	// problems are what is invalid, as "field: message".
	problems []string
	// anchor is the place in namespace.policiesBy.
	anchor int
}

// rule is one entry of spec.ingress or spec.egress.
type rule struct {
	ref RuleRef
	// allPeers, allPorts: the list is absent or empty.
	allPeers, allPorts bool
	peers              []peer
	ports              []port
	// allowed is what it allows any subject, nil until somebody asks, or where that
	// depends on the subject's named ports.
	allowed *AllowRule
}

// peer is one entry of from or to: selectors, or a block, or invalid.
type peer struct {
	invalid string
	// group is nil for a block.
	group *groupSpec
	block IPBlock
	// named is the Pods in the block, of a rule that gives egress to named ports.
	named *groupSpec
}

// port is one entry of ports: a range, or a name, or invalid. The protocol is
// that of the range in any case.
type port struct {
	invalid string
	name    string
	PortRange
}

// parser reads one policy in the light of what [Validate] found wrong with it.
type parser struct {
	policy types.NamespacedName
	errs   field.ErrorList
}

// parsePolicy always returns a policy, with everything invalid in it turned
// into something that allows nothing, and what is invalid as an error.
func parsePolicy(np *networkingv1.NetworkPolicy) (*parsed, error) {
	np = np.DeepCopy()
	Default(np)
	r := &parser{
		policy: types.NamespacedName{Namespace: np.Namespace, Name: np.Name},
		errs:   Validate(np),
	}
	p := &parsed{NamespacedName: r.policy}
	p.selector = r.subject(&np.Spec)
	p.mode, _ = parseMode(np.Annotations) // Validate has said what is wrong
	p.isolates = r.directions(&np.Spec)
	for i := range np.Spec.Ingress {
		in := &np.Spec.Ingress[i]
		p.rules[Ingress] = append(p.rules[Ingress], r.rule(Ingress, i, in.From, in.Ports))
	}
	for i := range np.Spec.Egress {
		out := &np.Spec.Egress[i]
		p.rules[Egress] = append(p.rules[Egress], r.rule(Egress, i, out.To, out.Ports))
	}
	for _, d := range []Direction{Ingress, Egress} {
		p.hash[d] = hashRules(p.rules[d])
		p.named[d] = portNames(p.rules[d])
	}
	for _, e := range r.errs {
		p.problems = append(p.problems, e.Error())
	}
	return p, r.errs.ToAggregate()
}

// same reports whether q says nothing new over p.
func (p *parsed) same(q *parsed) bool {
	return p.selector.text == q.selector.text && p.mode == q.mode && p.isolates == q.isolates && p.hash == q.hash &&
		slices.Equal(p.problems, q.problems)
}

// under is the first error at path or inside it, empty if there is none.
func (r *parser) under(path string) string {
	for _, e := range r.errs {
		if rest, ok := strings.CutPrefix(e.Field, path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return e.Error()
		}
	}
	return ""
}

// refuse notes what Validate let pass though it cannot be understood, and
// returns the message.
func (r *parser) refuse(path string, err error) string {
	e := field.Invalid(field.NewPath(path), "", err.Error())
	r.errs = append(r.errs, e)
	return e.Error()
}

func (r *parser) subject(spec *networkingv1.NetworkPolicySpec) *selector {
	const path = "spec.podSelector"
	if r.under(path) != "" {
		return everything
	}
	s, err := parseSelector(&spec.PodSelector)
	if err != nil {
		r.refuse(path, err)
		return everything
	}
	return s
}

// directions isolates in both where policyTypes cannot be understood.
func (r *parser) directions(spec *networkingv1.NetworkPolicySpec) [2]bool {
	if r.under("spec.policyTypes") != "" {
		return [2]bool{true, true}
	}
	return [2]bool{
		Ingress: slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeIngress),
		Egress:  slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeEgress),
	}
}

func (r *parser) rule(d Direction, index int, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) rule {
	path, list := "spec.ingress["+strconv.Itoa(index)+"].", "from["
	if d == Egress {
		path, list = "spec.egress["+strconv.Itoa(index)+"].", "to["
	}
	out := rule{
		ref:      RuleRef{Policy: r.policy, Direction: d, Rule: index},
		allPeers: len(peers) == 0,
		allPorts: len(ports) == 0,
	}
	for i := range peers {
		out.peers = append(out.peers, r.peer(path+list+strconv.Itoa(i)+"]", &peers[i]))
	}
	for i := range ports {
		out.ports = append(out.ports, r.port(path+"ports["+strconv.Itoa(i)+"]", &ports[i]))
	}
	if !out.looksUpNames() {
		return out
	}
	for i := range out.peers {
		if p := &out.peers[i]; p.invalid == "" && p.group == nil {
			p.named = blockGroup(p.block)
		}
	}
	return out
}

func (r *parser) peer(path string, in *networkingv1.NetworkPolicyPeer) peer {
	if why := r.under(path); why != "" {
		return peer{invalid: why}
	}
	if in.IPBlock != nil {
		b, err := parseIPBlock(in.IPBlock)
		if err != nil {
			return peer{invalid: r.refuse(path+".ipBlock", err)}
		}
		return peer{block: b}
	}
	pods, err := parseSelector(in.PodSelector)
	if err != nil {
		return peer{invalid: r.refuse(path+".podSelector", err)}
	}
	if in.NamespaceSelector == nil {
		if in.PodSelector == nil {
			return peer{invalid: r.refuse(path, errors.New("names no peer"))}
		}
		return peer{group: fixedGroup(r.policy.Namespace, pods)}
	}
	namespaces, err := parseSelector(in.NamespaceSelector)
	if err != nil {
		return peer{invalid: r.refuse(path+".namespaceSelector", err)}
	}
	return peer{group: selectedGroup(namespaces, pods)}
}

func parseIPBlock(in *networkingv1.IPBlock) (IPBlock, error) {
	cidr, err := ParseCIDR(in.CIDR)
	if err != nil {
		return IPBlock{}, err
	}
	b := IPBlock{CIDR: cidr}
	for _, s := range in.Except {
		e, err := ParseCIDR(s)
		if err != nil {
			return IPBlock{}, err
		}
		b.Except = append(b.Except, e)
	}
	slices.SortFunc(b.Except, netip.Prefix.Compare)
	b.Except = slices.Compact(b.Except)
	return b, nil
}

func (r *parser) port(path string, in *networkingv1.NetworkPolicyPort) port {
	if why := r.under(path); why != "" {
		return port{invalid: why}
	}
	var out port
	var ok bool
	if in.Protocol == nil {
		out.Protocol = TCP
	} else if out.Protocol, ok = parseProtocol(string(*in.Protocol)); !ok {
		return port{invalid: r.refuse(path+".protocol", errors.New("unknown protocol"))}
	}
	switch {
	case in.Port == nil:
		out.First, out.Last = 0, 65535
		return out
	case in.Port.Type != intstr.Int:
		// The type decides which value counts, as in Validate: protobuf can carry
		// both.
		out.name = in.Port.StrVal
		return out
	}
	first, last := in.Port.IntVal, in.Port.IntVal
	if in.EndPort != nil {
		last = *in.EndPort
	}
	if first < 1 || last < first || last > 65535 {
		return port{invalid: r.refuse(path, errors.New("no range of ports"))}
	}
	out.First, out.Last = uint16(first), uint16(last)
	return out
}

// hashRules is equal for rules that allow the same in the same places.
func hashRules(rules []rule) string {
	var b []byte
	for i := range rules {
		b = rules[i].appendContent(b)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

func (r *rule) appendContent(b []byte) []byte {
	b = append(b, "rule\n"...)
	for i := range r.peers {
		p := &r.peers[i]
		switch {
		case p.invalid != "":
			b = append(b, "no peer"...)
		case p.group != nil:
			b = append(append(b, "group "...), p.group.key...)
		default:
			b = append(append(b, "block "...), p.block.String()...)
		}
		b = append(b, '\n')
	}
	for i := range r.ports {
		b = append(append(b, "port "...), r.ports[i].String()...)
		b = append(b, '\n')
	}
	return b
}

func portNames(rules []rule) []NamedPortRef {
	var out []NamedPortRef
	for i := range rules {
		for j := range rules[i].ports {
			if p := &rules[i].ports[j]; p.name != "" {
				out = append(out, NamedPortRef{Protocol: p.Protocol, Name: p.name})
			}
		}
	}
	slices.SortFunc(out, NamedPortRef.compare)
	return slices.Compact(out)
}

func (n NamedPortRef) compare(o NamedPortRef) int {
	if n.Protocol != o.Protocol {
		return int(n.Protocol) - int(o.Protocol)
	}
	return strings.Compare(n.Name, o.Name)
}

func (n NamedPortRef) String() string { return n.Name + "/" + n.Protocol.String() }

// String is the range as a person writes it, e.g. "TCP 80-90".
func (r PortRange) String() string {
	switch {
	case r.First == 0 && r.Last == 65535:
		return r.Protocol.String() + " (all ports)"
	case r.First == r.Last:
		return r.Protocol.String() + " " + strconv.Itoa(int(r.First))
	}
	return r.Protocol.String() + " " + strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}

func (p *port) String() string {
	switch {
	case p.invalid != "":
		return "no port"
	case p.name != "":
		return p.Protocol.String() + " port named " + p.name
	}
	return p.PortRange.String()
}

// String is the block as a person writes it, e.g. "10.0.0.0/8 except
// 10.1.0.0/16".
func (b IPBlock) String() string {
	out := b.CIDR.String()
	for i, e := range b.Except {
		if i == 0 {
			out += " except "
		} else {
			out += ", "
		}
		out += e.String()
	}
	return out
}
