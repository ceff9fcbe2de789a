package attack_test

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

// origin is from where an attack comes.
type origin struct {
	name string
	// pod sends from its namespace; empty: somebody outside of the cluster.
	pod string
}

var (
	byAttacker = origin{"a Pod", attacker}
	byStray    = origin{"an unguarded Pod", stray}
	byFriend   = origin{"the allowed Pod", friend}
	byCaged    = origin{"a Pod isolated in egress", caged}
	byOutsider = origin{"the uplink", ""}
)

type families uint8

const (
	ipv4 families = 1 << iota
	ipv6
	dual = ipv4 | ipv6
)

// attack is frames that must not arrive at a Pod.
type attack struct {
	name string
	in   families
	// by: each of them tries.
	by []origin
	// at is the Pod that must not get it; empty: victim.
	at string
	// frames makes them for a sender and a receiver.
	frames func(s *scene) [][]byte
	// only are the topologies that it runs in; empty: all. Of those that a plug-in has
	// its own of, the everyday one that it is like counts.
	only []lab.Topology
	// without says per topology, in the same way unless it says something of its own, why
	// they do not arrive without the engine either.
	without map[lab.Topology]string
	// allowed: they have to arrive, with the engine too.
	allowed bool
}

// scene is one attack in one world.
type scene struct {
	packet
	w      *world
	sender *lab.Namespace
	// target is the Pod that is attacked, targetMAC where a sender aims.
	target string
}

func one(frame []byte) [][]byte { return [][]byte{frame} }

// newScene has a packet from the sender to the target, as the sender's kernel
// would address it.
func newScene(t testing.TB, w *world, by origin, at string, is6 bool, token []byte) *scene {
	s := &scene{w: w, target: at, packet: packet{t: t, dst: w.addr(at, is6), token: token}}
	if by.pod == "" {
		s.sender = w.Outside()
		s.srcMAC = hardwareAddr(t, s.sender, "eth0")
		s.dstMAC = hardwareAddr(t, w.Fabric(), "outside")
		s.src = outsider
		if is6 {
			s.src = netip.MustParseAddr("2001:db8::66")
		}
		return s
	}
	p := w.pod(by.pod)
	s.sender, s.srcMAC, s.src = p.Namespace, p.MAC, w.addr(by.pod, is6)
	s.dstMAC = s.hop(at)
	return s
}

// hop is the hardware address that a Pod sends to for another Pod.
func (s *scene) hop(pod string) net.HardwareAddr {
	if s.w.topology.Bridged() {
		return s.w.pod(pod).MAC
	}
	// Where it routes, every Pod's neighbour is the node, at the Pod's own link.
	for _, name := range podNames {
		if p := s.w.pod(name); p.Namespace == s.sender {
			return p.GatewayMAC
		}
	}
	return s.dstMAC
}

func (s *scene) addrOf(pod string) netip.Addr { return s.w.addr(pod, s.is6()) }

func (s *scene) inject(frames [][]byte) {
	s.t.Helper()
	if err := s.sender.Inject("eth0", frames...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) arrivals() *recorder { return s.w.heard[s.target] }

// briefAttacks are those in which topologies of a kind can differ: by whom a packet can
// be from, and where it gets through.
func briefAttacks() []attack {
	return slices.DeleteFunc(slices.Concat(sourceAttacks, linkAttacks, discoveryAttacks, arpAttacks), func(a attack) bool {
		return !slices.Contains(a.by, byAttacker) && !slices.Contains(a.by, byOutsider) && !a.allowed
	})
}

// like is the everyday topology that another one is of the kind of.
func like(t lab.Topology) lab.Topology {
	if t.Bridged() {
		return lab.Bridge
	}
	return lab.PTP
}

// attacks are all of them, by theme.
func attacks() []attack {
	var all []attack
	for _, theme := range [][]attack{
		linkAttacks, tagAttacks, multicastAttacks, ethertypeAttacks,
		sourceAttacks, streamAttacks, icmpAttacks, fragmentAttacks, extensionAttacks, protocolAttacks,
		// Last: in the lab without the engine they leave traces.
		discoveryAttacks, arpAttacks, linkMessageAttacks,
	} {
		all = append(all, theme...)
	}
	return all
}

// topologies are those that are always tried with all there is.
var topologies = lab.Everyday

func TestAttack(t *testing.T) {
	for _, topology := range enforced.Whole(t) {
		t.Run(topology.String(), func(t *testing.T) {
			t.Parallel()
			attackAll(t, topology, attacks())
		})
	}
	for _, topology := range enforced.Brief(t) {
		t.Run(topology.String(), func(t *testing.T) { attackAll(t, topology, briefAttacks()) })
	}
}

func attackAll(t *testing.T, topology lab.Topology, all []attack) {
	bare, guarded := newWorld(t, topology, false), newWorld(t, topology, true)
	life := startLife(t, guarded)
	late := map[string][]byte{}
	for _, a := range all {
		if len(a.only) > 0 && !slices.Contains(a.only, like(topology)) {
			continue
		}
		for _, by := range a.by {
			t.Run(a.name+" from "+by.name, func(t *testing.T) {
				if a.in&ipv4 != 0 {
					t.Run("ipv4", func(t *testing.T) { a.run(t, bare, guarded, by, false, late) })
				}
				if a.in&ipv6 != 0 {
					t.Run("ipv6", func(t *testing.T) { a.run(t, bare, guarded, by, true, late) })
				}
			})
		}
	}
	t.Run("nothing came late", func(t *testing.T) {
		for name, token := range late {
			for _, pod := range []string{victim, fan} {
				if n, _ := guarded.heard[pod].frames(token); n > 0 {
					t.Errorf("%s: %d frames at %s", name, n, pod)
				}
			}
		}
	})
	life.check(t)
}

// run tries an attack in both worlds.
func (a *attack) run(t *testing.T, bare, guarded *world, by origin, is6 bool, late map[string][]byte) {
	at := a.at
	if at == "" {
		at = victim
	}
	token := newToken()
	control := newScene(t, bare, by, at, is6, token)
	control.inject(a.frames(control))
	why, own := a.without[bare.topology]
	if !own {
		why = a.without[like(bare.topology)]
	}
	if why != "" {
		if control.arrivals().arrives(token, soon) {
			t.Errorf("without the engine it arrived, though %s", why)
		}
	} else if !control.arrivals().arrives(token, eventually) {
		t.Errorf("without the engine it did not arrive: it proves nothing")
	}

	s := newScene(t, guarded, by, at, is6, token)
	s.inject(a.frames(s))
	if a.allowed {
		if !s.arrivals().arrives(token, eventually) {
			t.Error("it did not arrive")
		}
		return
	}
	if at == victim || at == fan {
		late[t.Name()] = token
	}
	if s.arrivals().arrives(token, soon) {
		_, frame := s.arrivals().frames(token)
		t.Errorf("it got through:\n% x", frame)
	}
}
