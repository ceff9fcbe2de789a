package compiler

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// Compiler keeps the ruleset as it should be. It is for one goroutine at a
// time.
type Compiler struct {
	cfg   Config
	epoch uint32
	grace bool
	// node is what rules say of the node.
	node   node
	limits limits

	// fixed are the sets of table inet sluice with names of their own, ports all of
	// table bridge sluice, objects all others.
	fixed   map[string]*fixedSet
	ports   map[string]*fixedSet
	objects map[string]*object
	// users are the sets that follow a group.
	users    map[policy.GroupKey]map[*object]struct{}
	programs map[programKey]*program
	peers    *peerMemo
	subjects map[types.NamespacedName]*subject

	// onVeth are the subjects behind a routed veth, guards what guards it.
	onVeth map[string]map[*subject]struct{}
	guards map[string]guard
}

// New returns a compiler of a ruleset without Pods and without an epoch.
func New(cfg Config) (*Compiler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("compile ruleset: %w", err)
	}
	c := &Compiler{
		cfg:      cfg,
		limits:   usualLimits,
		fixed:    newFixedSets(cfg.fixedSets()),
		ports:    newFixedSets(cfg.portTable().Sets),
		objects:  map[string]*object{},
		users:    map[policy.GroupKey]map[*object]struct{}{},
		programs: map[programKey]*program{},
		peers:    newPeerMemo(),
		subjects: map[types.NamespacedName]*subject{},
		onVeth:   map[string]map[*subject]struct{}{},
		guards:   map[string]guard{},
	}
	return c, nil
}

// Validate reports all that is wrong with the configuration.
func (c *Config) Validate() error {
	errs := []error{c.Mark.Validate()}
	for _, a := range c.NodeDNS {
		if !a.IsValid() || a.Zone() != "" {
			errs = append(errs, fmt.Errorf("address %q for DNS on the node is not valid", a))
		}
	}
	return errors.Join(errs...)
}

// Ruleset returns the whole ruleset as it should be.
func (c *Compiler) Ruleset() *Ruleset {
	out := c.outline()
	for i := range out.Sets {
		out.Sets[i].Elements = c.elements(out.Sets[i].Name)
	}
	return out
}

// outline is the ruleset without the elements of its sets.
func (c *Compiler) outline() *Ruleset {
	out := &Ruleset{
		Counters: slices.Clone(fixedCounters),
		Chains:   c.cfg.fixedChains(c.epoch, c.grace, c.node),
	}
	for _, f := range c.fixed {
		out.Sets = append(out.Sets, f.Set)
	}
	for _, o := range c.objects {
		if o.set != nil {
			s := *o.set
			s.Elements = nil
			out.Sets = append(out.Sets, s)
			continue
		}
		out.add(o)
	}
	out.sort()
	return out
}

func (r *Ruleset) add(o *object) {
	switch {
	case o.chain != nil:
		r.Chains = append(r.Chains, *o.chain)
	case o.set != nil:
		r.Sets = append(r.Sets, o.declared())
	default:
		r.Counters = append(r.Counters, o.name)
	}
}

// elements are those of one set, sorted.
func (c *Compiler) elements(set string) []Element {
	f := c.fixed[set]
	if f == nil {
		o := c.objects[set]
		if o.members == nil {
			return o.set.Elements // sorted, and they never change
		}
		return sortElements(o.members.elements())
	}
	var out []Element
	if len(f.values) > 0 {
		out = make([]Element, 0, len(f.values))
	}
	for k, v := range f.values {
		out = append(out, Element{k, v})
	}
	return sortElements(out)
}

// Replace returns one transaction that puts the ruleset in the place of
// whatever the table holds. Packets meet the old rules or the new ones. It can
// be large: [Compiler.Repair] comes to the same in pieces.
func (c *Compiler) Replace() []Op {
	table := &Table{}
	// Adding first, for there may be nothing to delete.
	out := []Op{{Add, table}, {Delete, table}, {Add, table}}
	return append(out, create(c.Ruleset())...)
}

// Guards returns the guards of all veths as they should be, sorted by veth.
func (c *Compiler) Guards() []GuardPlan {
	var out []GuardPlan
	for _, veth := range slices.Sorted(maps.Keys(c.guards)) {
		out = append(out, c.guards[veth].plan(&c.cfg, veth))
	}
	return out
}

// subject is a local Pod as it was compiled.
type subject struct {
	*policy.Subject
	// binds are the places of its addresses, in their order; the zero Bind
	// where the place is not known.
	binds    []Bind
	programs []*program
	// counters are by direction, nil where the Pod is not isolated.
	counters [len(directions)]*object
}

// placesOf looks up where the Pod's addresses are.
func placesOf(s *policy.Subject, links Links) []Bind {
	out := make([]Bind, len(s.Addrs))
	for i, a := range s.Addrs {
		out[i] = links.place(a)
	}
	return out
}

// place is the zero Bind if it is not known, or cannot be written in a rule.
func (l *Links) place(a netip.Addr) Bind {
	if b := l.Binds[a]; validInterface(b.Interface) {
		return b
	}
	return Bind{}
}

// moved reports whether an address of the Pod is not where it was.
func (s *subject) moved(links *Links) bool {
	for i, a := range s.Addrs {
		if !s.binds[i].equal(links.place(a)) {
			return true
		}
	}
	return false
}

func (b Bind) equal(o Bind) bool {
	return b.Interface == o.Interface && b.Veth == o.Veth && b.Port == o.Port && b.MAC == o.MAC && slices.Equal(b.LinkLocal, o.LinkLocal)
}

// sets are the allow sets of one of the Pod's addresses by direction, nil where
// it is not isolated.
func (s *subject) sets(a netip.Addr) [2]*policy.AllowSet {
	ingress, egress := s.Sets(a)
	return [...]*policy.AllowSet{policy.Ingress: ingress, policy.Egress: egress}
}

// program finds the chains of an allow set of the Pod's.
func (s *subject) program(set *policy.AllowSet, f family) *program {
	for _, p := range s.programs {
		if p.programKey == (programKey{set.Key, set.Direction, f}) {
			return p
		}
	}
	return nil
}

// cutsOf is how a set of the Pod's was cut, nil if that is not remembered, or there was no
// such Pod.
func (s *subject) cutsOf(d policy.Direction, f family) *cuts {
	if s == nil {
		return nil
	}
	for _, p := range s.programs {
		if p.direction == d && p.family == f && p.cuts != nil {
			return p.cuts
		}
	}
	return nil
}

// own are the addresses of which it is known that they are the Pod's: no other
// claims them.
func (s *subject) own() []netip.Addr {
	if len(s.Shared) == 0 {
		return s.Addrs
	}
	shared := make(map[netip.Addr]struct{}, len(s.Shared))
	for i := range s.Shared {
		shared[s.Shared[i].Addr] = struct{}{}
	}
	return slices.DeleteFunc(slices.Clone(s.Addrs), func(a netip.Addr) bool {
		_, ok := shared[a]
		return ok
	})
}

// facts yields what the Pod puts into the fixed sets.
func (s *subject) facts(yield func(set string, key Key, value MapValue)) {
	// From one own address to another the Pod reaches itself, and from any to the
	// same, whoever has it.
	own := s.own()
	for i, a := range s.Addrs {
		f, key, sets := familyOf(a), addrKey(a), s.sets(a)
		yield(f.set(localSet), key, MapValue{})
		if b := s.binds[i]; b.Interface != "" {
			place := interfaceKey(b.Interface) + key
			yield(f.set(bindSet), place, MapValue{})
			yield(f.set(sourceMap), place, s.sends(sets[policy.Egress], f))
		} else if sets[policy.Egress] == nil {
			yield(f.set(unplacedSet), key, MapValue{})
		}
		yield(f.set(selfSet), key+key, MapValue{})
		if _, alone := slices.BinarySearchFunc(own, a, netip.Addr.Compare); alone {
			for _, o := range own {
				if o != a && familyOf(o) == f {
					yield(f.set(selfSet), key+addrKey(o), MapValue{})
				}
			}
		}
		if sets[policy.Ingress] != nil || sets[policy.Egress] != nil {
			yield(f.set(isolatedSet), key, MapValue{})
		}
		for _, d := range directions {
			if sets[d] == nil {
				continue
			}
			yield(deniedMap(d, f), key, MapValue{DoCount, s.counters[d].name})
			p := s.program(sets[d], f)
			for _, w := range ways {
				if !bySource(d, w) {
					yield(dispatchMap(d, w, f), key, MapValue{DoJump, p.chains[w].name})
				}
			}
		}
	}
}

// anything is the verdict on what a Pod sends that is not isolated in egress.
var anything = MapValue{Do: DoReturn}

// sends is the verdict on what the Pod sends. Its chain returns, if at all, to where
// [Config.source] would.
func (s *subject) sends(egress *policy.AllowSet, f family) MapValue {
	if egress == nil {
		return anything
	}
	return MapValue{DoGoto, s.program(egress, f).chains[forth].name}
}

// counter counts what is denied to the Pod in one direction.
func counter(pod types.NamespacedName, d policy.Direction) *object {
	text := d.String() + "-" + pod.Namespace + "." + pod.Name
	return &object{name: contentName(counterLetter, d.String()+" "+pod.String(), text), counter: true}
}

// sameFamily is the addresses of one family.
func sameFamily(list []netip.Addr, f family) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(list), func(a netip.Addr) bool { return familyOf(a) != f })
}
