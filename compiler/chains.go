package compiler

import (
	"crypto/sha256"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// programKey is an allow set as one family sees it.
type programKey struct {
	key       string
	direction policy.Direction
	family    family
}

// program is the chains that an allow set becomes, one for each way that
// packets of a connection go. Pods with equal allow sets share it.
type program struct {
	programKey
	refs   int
	chains [len(ways)]*object
	// cuts is how the set was cut, nil if it is not worth remembering.
	cuts *cuts
}

// takeProgram counts one more Pod that needs the chains of the set. was is how another set
// was cut that the Pod had, or nil.
func (u *update) takeProgram(set *policy.AllowSet, f family, was *cuts) *program {
	key := programKey{set.Key, set.Direction, f}
	p := u.c.programs[key]
	if p == nil {
		p = &program{programKey: key}
		parts := set.Parts()
		allowances := make([]allowance, len(parts))
		for i := range parts {
			last := set.Direction == policy.Ingress && len(parts) == 1
			allowances[i] = allow(parts[i].Rules, u.factsOf(parts[i]).ends, f, last, &u.c.limits, u.c.peers, was)
		}
		if len(parts) == 1 {
			p.cuts = allowances[0].cuts
		}
		for _, w := range ways {
			if len(parts) == 1 {
				p.chains[w] = u.take(u.chain(set, &allowances[0], f, w, false))
			} else {
				p.chains[w] = u.take(u.allOf(set, allowances, f, w))
			}
		}
		u.c.programs[key] = p
	}
	p.refs++
	return p
}

func (u *update) dropProgram(p *program) {
	if p.refs--; p.refs > 0 {
		return
	}
	delete(u.c.programs, p.programKey)
	for _, o := range p.chains {
		u.drop(o)
	}
}

// chainBuilder collects the rules of a chain and the objects they name.
type chainBuilder struct {
	u         *update
	family    family
	direction policy.Direction
	way       way
	// returns: another set is to be asked after this one.
	returns bool
	// rest is the chain for what no rule so far lets pass; empty where it is to return.
	rest string
	// goesOn: there are rules after those that lead to other chains, for what comes back
	// from these.
	goesOn bool
	// folds: groups have sets together where there are several.
	folds bool
	// joins: address ranges of a leaf have a set together.
	joins bool
	rules []Rule
	uses  []*object
}

// use returns the name under which the rules know the object.
func (b *chainBuilder) use(made *object) string {
	o := b.u.take(made)
	b.uses = append(b.uses, o)
	return o.name
}

// Verdicts that most chains have, once for all of them.
var (
	toJudged Term = Goto{JudgedChain}
	returns  Term = Return{}
)

// in looks fields up in a set that the rules use.
func (b *chainBuilder) in(made *object, key ...Field) Term {
	return In{Key: concat(key...), Ranges: made.set.Interval, Set: b.use(made)}
}

// vmap has a map that the rules use decide.
func (b *chainBuilder) vmap(made *object) Term {
	return VerdictMap{Key: concat(portField(b.way), L4Protocol), Ranges: made.set.Interval, Map: b.use(made)}
}

// allow is what becomes of a packet that is allowed. The Pod that opened the connection is
// asked first, and then the one that it went to, which is the last, for packets of both
// ways.
func (b *chainBuilder) allow() Term {
	if !b.returns && b.direction == policy.Ingress {
		return toJudged
	}
	return returns
}

func (b *chainBuilder) rule(terms ...Term) { b.rules = append(b.rules, Rule{Terms: terms}) }

// otherwise ends the chain.
func (b *chainBuilder) otherwise() {
	if b.rest != "" {
		b.rule(Goto{b.rest})
	}
}

// object names the chain by its rules and whatever else is in its name.
func (b *chainBuilder) object(letter byte, more, text string) *object {
	content := append(make([]byte, 0, 1024), more...)
	for i := range b.rules {
		content = b.rules[i].appendText(append(content, '\n'))
	}
	if len(b.rules) == 0 {
		content = append(content, '\n')
	}
	name := contentName(letter, content, text)
	c := &Chain{Name: name, Rules: b.rules}
	return &object{name: name, chain: c, uses: b.uses}
}

// allOf is what all parts of an allow set let pass, one asked after the other.
// There are few: an address is shared by two Pods, if at all.
func (u *update) allOf(set *policy.AllowSet, parts []allowance, f family, w way) *object {
	b := &chainBuilder{u: u, family: f, direction: set.Direction, way: w}
	for i := range parts {
		b.rule(Jump{b.use(u.chain(set.All[i], &parts[i], f, w, true))})
	}
	b.rule(b.allow())
	return b.of(set)
}

// chain is what the allow set lets pass; all else goes to a deny chain.
func (u *update) chain(set *policy.AllowSet, a *allowance, f family, w way, returns bool) *object {
	b := &chainBuilder{u: u, family: f, direction: set.Direction, way: w, returns: returns, rest: denyChain(set.Direction, w)}
	switch {
	case a.allPorts.any:
	case a.leaves != nil || a.apart:
		b.stretches(a)
	default:
		b.named(a.named)
		// Ports come before peers with all ports: to compare a port costs next to
		// nothing, to look an address up a lot.
		if (len(a.spans) > 0 || a.crowd != nil) && !a.allPorts.empty() {
			b.rest = b.use(b.class(&a.allPorts))
		} else {
			b.peers(nil, &a.allPorts)
		}
		b.ports(a)
		b.rule(Goto{b.rest})
	}
	return b.of(set)
}

// named lets the Pods pass that are limited to ports of theirs.
func (b *chainBuilder) named(list []lookup) {
	if len(list) > 0 {
		b.rule(b.in(membersObject(newNamedSet(b.family, list)), peerField(b.family, b.direction, b.way), L4Protocol, portField(b.way)), b.allow())
	}
}

// of is the chain of the set's policies.
func (b *chainBuilder) of(set *policy.AllowSet) *object {
	s := b.u.factsOf(set)
	what := b.direction.String() + b.way.suffix() + "-" + b.family.String()
	return b.object(chainLetter, what+"\n"+s.names, what+"-"+s.short)
}

// setFacts are what both families and ways need of an allow set.
type setFacts struct {
	ends *portEnds
	// names are a hash of its policies, short says the first of them.
	names, short string
}

// factsOf are those of a set, found once in an update.
func (u *update) factsOf(set *policy.AllowSet) *setFacts {
	s := u.sets[set]
	if s == nil {
		s = &setFacts{ends: endsOf(set.Rules)}
		var full string
		full, s.short = policyNames(set.Policies)
		names := sha256.Sum256([]byte(full))
		s.names = string(names[:])
		u.sets[set] = s
	}
	return s
}

// policyNames is the policies of a chain in full, and in short. They are in
// the chain's name for whoever reads the ruleset, so chains are shared only by
// Pods that the same policies select.
func policyNames(list []types.NamespacedName) (full, short string) {
	if len(list) == 0 {
		return "", "none"
	}
	var b strings.Builder
	for _, p := range list {
		b.WriteString(p.Namespace)
		b.WriteByte(types.Separator)
		b.WriteString(p.Name)
		b.WriteByte('\n')
	}
	short = list[0].Namespace + "." + list[0].Name
	if n := len(list) - 1; n > 0 {
		short = strconv.Itoa(n) + "-and-" + short
	}
	return b.String(), short
}

// A lookup finds its set, the table of that and the element cold, when it is a
// connection's first packet that asks: it costs as much as a dozen rules that compare,
// which stand one after the other in memory. So up to this many are compared.
const (
	fewRanges = 4
	fewSpans  = 8
)

// ports lets the peers pass that are limited to some ports, where these are few, or all
// have the same peers, or are a crowd.
func (b *chainBuilder) ports(a *allowance) {
	switch {
	case a.crowd != nil:
		b.crowd(a.crowd)
	case len(a.spans) <= fewSpans:
		b.spans(a.spans)
	default:
		exact, wide := byWidth(a.spans)
		b.spans(exact)
		b.spans(wide)
	}
}

// spans are compared if they are few. Others have a single class: its ports are a set, the
// same for both ways and families. Most rules name single ports, and a hash finds one of
// thousands at the price of one of two; a set with ranges reads more the more there are
// in it, so it has the wide ones only.
//
// In sets the port comes first. The kernel looks ranges up field by field, and
// carries on with every element that matched so far, one at a time: with the protocol
// first, these are nearly all.
func (b *chainBuilder) spans(spans []portSpan) {
	if len(spans) > fewSpans {
		b.peers([]Term{b.in(portsObject(spans), portField(b.way), L4Protocol)}, &spans[0].class.peers)
		return
	}
	for _, s := range spans {
		b.span(&s.class.peers, s)
	}
}

// span compares ports and protocol. Where one rule suffices for the peers, it is
// the same.
func (b *chainBuilder) span(p *peers, s portSpan) {
	match := b.matchSpan(s)
	if p.rules(b.folds) > 1 {
		class := b.use(b.class(p))
		if b.goesOn {
			b.rule(append(match, Jump{class})...)
		} else {
			b.rule(append(match, Goto{class})...)
		}
		return
	}
	b.peers(match, p)
}

// verdictMap has a verdict for each span.
func verdictMap(spans []portSpan, verdicts []MapValue, uses []*object) *object {
	s := portsSet(spans)
	s.Value = VerdictValue
	for i, v := range verdicts {
		s.Elements[i].Value = v
	}
	s.Name = contentName(portMapLetter, contentOf(s), "")
	sortElements(s.Elements)
	return &object{name: s.Name, set: s, uses: uses}
}

// inner builds what the chain leads to.
func (b *chainBuilder) inner() *chainBuilder {
	return &chainBuilder{u: b.u, family: b.family, direction: b.direction, way: b.way, returns: b.returns, rest: b.rest, folds: b.folds, joins: b.joins}
}

// class is the chain of the peers of some ports.
func (b *chainBuilder) class(p *peers) *object {
	inner := b.inner()
	inner.peers(nil, p)
	return inner.part()
}

func membersObject(m *memberSet) *object {
	s := m.declaration()
	return &object{name: s.Name, set: s, members: m}
}

func blocksObject(f family, ranges []addrRange) *object {
	s := &Set{Key: keyType(f.addrType()), Interval: true, Elements: make([]Element, len(ranges))}
	for i, r := range ranges {
		s.Elements[i].Key = r.key()
	}
	text := f.String() + "-" + ranges[0].String()
	s.Name = contentName(blocksLetter, contentOf(s), counted(text, len(ranges)))
	sortElements(s.Elements)
	return &object{name: s.Name, set: s}
}

func portsObject(spans []portSpan) *object {
	s := portsSet(spans)
	s.Name = contentName(portsLetter, contentOf(s), counted(spans[0].text(), len(spans)))
	sortElements(s.Elements)
	return &object{name: s.Name, set: s}
}

// portsSet has an element for each span, in their order, and no name.
func portsSet(spans []portSpan) *Set {
	s := &Set{Key: keyType(InetService, InetProto), Elements: make([]Element, len(spans))}
	for _, span := range spans {
		s.Interval = s.Interval || span.first != span.last
	}
	for i, span := range spans {
		s.Elements[i].Key = span.key(s.Interval)
	}
	return s
}

// contentOf is all that makes a set with immutable elements, in their order.
func contentOf(s *Set) []byte {
	out := make([]byte, 0, 64+40*len(s.Elements))
	out = append(append(append(out, s.Key.String()...), " : "...), s.Value.String()...)
	for _, e := range s.Elements {
		out = s.appendKey(append(out, '\n'), e.Key)
		out = e.Value.appendText(append(out, " : "...))
	}
	return out
}

// counted says how many more there are than the one that the text shows.
func counted(text string, n int) string {
	if n > 1 {
		return text + "-and-" + strconv.Itoa(n-1)
	}
	return text
}
