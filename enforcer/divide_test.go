package enforcer

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/source"

	"github.com/sluice-net/sluice/enforcer/tables"
	"github.com/sluice-net/sluice/policy"
)

// sized is a Transactor that notes how large the main table's transactions are.
type sized struct {
	Transactor
	sizes []int
}

func (s *sized) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if family == knftables.InetFamily {
		s.sizes = append(s.sizes, len(ops))
	}
	return s.Transactor.Transact(ctx, family, ops)
}

// A namespace whose many Pods join or leave a group at once holds no processor
// for long, and ends with a new epoch if anybody left.
func TestManyMembersComeAndGoInPieces(t *testing.T) {
	const pods = 5_000
	e := newEventBench(t, 10, 0)
	team := func(name string) map[string]string { return map[string]string{"team": name} }
	relabel := func(name string) {
		e.a.box.Deliver(source.Event{Kind: source.NamespaceEvent, Name: types.NamespacedName{Name: "large"}, Labels: team(name)})
	}
	relabel("strangers")
	for i := range pods {
		p := &policy.Pod{
			NamespacedName: types.NamespacedName{Namespace: "large", Name: fmt.Sprint(i)}, UID: types.UID(fmt.Sprint(i)), Node: "there",
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)})},
		}
		e.a.box.Deliver(source.Event{Kind: source.PodEvent, Name: p.NamespacedName, Pod: p})
	}
	np := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "from-friends"},
		Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
			{NamespaceSelector: &metav1.LabelSelector{MatchLabels: team("friends")}},
		}}}},
	}
	e.a.box.Deliver(source.Event{Kind: source.PolicyEvent, Name: types.NamespacedName{Namespace: "shop", Name: "from-friends"}, Policy: np})
	e.sync(t)

	by := &sized{Transactor: e.s.tables}
	e.s.tables = by
	for _, step := range []struct {
		name, team string
		newEpoch   bool
	}{{"all join", "friends", false}, {"all leave", "strangers", true}} {
		relabel(step.team)
		epoch := e.s.rounds.Epoch()
		by.sizes = nil
		e.sync(t)
		moved := 0
		for _, n := range by.sizes {
			if moved += n; n > tables.PieceOf {
				t.Errorf("%s: a transaction of %d operations", step.name, n)
			}
		}
		if moved < pods {
			t.Errorf("%s: %v operations", step.name, by.sizes)
		}
		if changed := e.s.rounds.Epoch() != epoch; changed != step.newEpoch {
			t.Errorf("%s: another epoch: %t", step.name, changed)
		}
	}
}
