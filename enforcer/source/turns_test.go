package source

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// wordy is the event of a policy with so much to say.
func wordy(name string, rules int) Event {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	np.Spec.Ingress = make([]networkingv1.NetworkPolicyIngressRule, rules)
	return Event{Kind: PolicyEvent, Name: types.NamespacedName{Namespace: np.Namespace, Name: np.Name}, Policy: np}
}

// TestMailboxTakesLargePoliciesApart: small events first, then it is the large one's
// turn, and nobody who waits for all is told too early.
func TestMailboxTakesLargePoliciesApart(t *testing.T) {
	m := NewMailbox(clock.RealClock{}, func() {})
	large, other := wordy("huge", largeFrom), wordy("other", 1)
	names := func(mail Mail) string {
		var out []string
		for key := range mail.Events {
			out = append(out, key.Name.Name)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	expect := func(c Choice, want string, held bool) {
		t.Helper()
		if mail := m.Take(c); names(mail) != want || mail.Held != held {
			t.Errorf("took %q, held %t; want %q, %t", names(mail), mail.Held, want, held)
		}
	}
	m.Deliver(large)
	m.Deliver(other)
	expect(InTurn, "other", true)
	m.Deliver(other)
	expect(InTurn, "huge", true)
	expect(Small, "other", false)
	m.Deliver(large)
	expect(Small, "", true)
	expect(InTurn, "huge", false)
	// What came together stays together.
	m.Deliver(large, other)
	expect(InTurn, "huge other", false)
	m.Deliver(large)
	m.Deliver(other)
	expect(Everything, "huge other", false)
	m.Deliver(large)
	m.Deliver(wordy("huge", 1))
	expect(Small, "huge", false)
	m.Ask()
	expect(Small, "", true)
	if mail := m.Take(InTurn); !mail.Settle || mail.Held {
		t.Errorf("settle %t, held %t", mail.Settle, mail.Held)
	}
}
