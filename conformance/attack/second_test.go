package attack_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
)

// TestAttackBySecondInterface: policies are not enforced on second interfaces, which the
// agent tells; but nobody gets past those of others by one, in the name of somebody whom
// they let in.
func TestAttackBySecondInterface(t *testing.T) {
	elsewhere := enforced.Pod(namespace, "elsewhere", remote(false).String(), remote(true).String())
	elsewhere.Labels, elsewhere.Spec.NodeName = map[string]string{"app": friend}, "elsewhere"
	bare, guarded := newWorld(t, lab.Multus, false, elsewhere), newWorld(t, lab.Multus, true, elsewhere)
	for _, kind := range []struct {
		by   string
		want lab.SecondKind
	}{{open, lab.SecondRouted}, {stray, lab.SecondPort}} {
		for _, is6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, IPv6 %t", kind.by, is6), func(t *testing.T) {
				own, made := bare.pod(kind.by).Second()
				if made != kind.want {
					t.Fatalf("the second interface of %s is of kind %d", kind.by, made)
				}
				for name, a := range map[string]netip.Addr{"a Pod elsewhere": remote(is6), "a neighbour": bare.addr(friend, is6)} {
					sendBySecond(t, bare, kind.by, victim, a, is6, true)
					sendBySecond(t, guarded, kind.by, victim, a, is6, false)
					t.Log("in the name of " + name)
				}
				if is6 {
					return
				}
				// In its own name it is somebody that no policy knows.
				sendBySecond(t, guarded, kind.by, victim, own, false, false)
				if made == lab.SecondRouted {
					sendBySecond(t, guarded, kind.by, attacker, own, false, true)
				}
			})
		}
	}
	t.Run("it is told", func(t *testing.T) {
		status := guarded.Agent(guarded.Spec().Nodes[0].Name).Status()
		for _, name := range podNames {
			p := guarded.pod(name)
			inside := p.SecondVeth()
			if _, kind := p.Second(); kind == lab.SecondMacvlan {
				inside = "net1 in it (macvlan)"
			}
			told := false
			for _, c := range status.Conditions {
				told = told || c.What == "SecondInterface" && c.Object == "Pod "+p.Pod.Name.String() && strings.Contains(c.Message, inside)
			}
			if !told {
				t.Errorf("nothing is told of %s at %s: %v", inside, name, status.Conditions)
			}
		}
		if err := status.Ready(); err != nil {
			t.Error(err)
		}
	})
}

// sendBySecond sends from a Pod's second interface to the node, for another Pod.
func sendBySecond(t *testing.T, w *world, by, at string, source netip.Addr, is6, want bool) {
	t.Helper()
	p := w.pod(by)
	link := p.SecondVeth()
	if _, kind := p.Second(); kind == lab.SecondPort {
		link = "br1"
	}
	s := &scene{w: w, target: at, sender: p.Namespace, packet: packet{
		t: t, src: source, dst: w.addr(at, is6), token: newToken(),
		srcMAC: hardwareAddr(t, p.Namespace, "net1"), dstMAC: hardwareAddr(t, w.node, link),
	}}
	if err := p.Inject("net1", s.udp(allowedPort)); err != nil {
		t.Fatal(err)
	}
	within := 4 * soon
	if want {
		within = eventually
	}
	if got := s.arrivals().arrives(s.token, within); got != want {
		t.Errorf("from %s to %s in the name of %s: arrives is %t, want %t", by, at, source, got, want)
	}
}
