package source

import (
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// What one policy says can take the loop seconds, and its author decides how much
// that is. So no other object waits for it: a large policy that was delivered by
// itself is taken apart from all others, and what comes while it is prepared is let
// through between two pieces of it.
const (
	// largeFrom is how many peers, exceptions and ports make a policy large.
	largeFrom = 1000
	// largeTogether is how many large ones are taken at once, by the same measure,
	// if there are several: a new list has all of them.
	largeTogether = 20_000
)

// weight is how much a policy has to say.
func weight(np *networkingv1.NetworkPolicy) int {
	if np == nil {
		return 0
	}
	n := 0
	rule := func(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
		n += 1 + len(peers) + len(ports)
		for i := range peers {
			if b := peers[i].IPBlock; b != nil {
				n += len(b.Except)
			}
		}
	}
	for i := range np.Spec.Ingress {
		rule(np.Spec.Ingress[i].From, np.Spec.Ingress[i].Ports)
	}
	for i := range np.Spec.Egress {
		rule(np.Spec.Egress[i].To, np.Spec.Egress[i].Ports)
	}
	return n
}

// Choice is what to take out of the mailbox.
type Choice uint8

const (
	// Everything there is, which is brought together anyway.
	Everything Choice = iota
	// InTurn are what is small, and large policies, in turns if there are both.
	InTurn
	// Small is all but large policies.
	Small
)

// noteLarge remembers which pending events are large. What was delivered together
// takes effect together.
func (m *Mailbox) noteLarge(events []Event) {
	for _, e := range events {
		key := Key{e.Kind, e.Name}
		delete(m.large, key)
		if w := weight(e.Policy); w >= largeFrom && len(events) == 1 {
			m.large[key] = w
		}
	}
}

// choose takes the pending events that are due.
func (m *Mailbox) choose(c Choice) map[Key]Event {
	if len(m.large) == 0 || c == Everything {
		out := m.pending
		m.pending = map[Key]Event{}
		clear(m.large)
		return out
	}
	turn := c == InTurn && (m.largeNext || len(m.large) == len(m.pending))
	if c == InTurn {
		m.largeNext = !turn
	}
	out := map[Key]Event{}
	if !turn {
		for key, e := range m.pending {
			if _, large := m.large[key]; !large {
				out[key] = e
				delete(m.pending, key)
			}
		}
		return out
	}
	sum := 0
	for _, key := range slices.SortedFunc(maps.Keys(m.large), compareKeys) {
		if sum += m.large[key]; len(out) > 0 && sum > largeTogether {
			break
		}
		out[key] = m.pending[key]
		delete(m.pending, key)
		delete(m.large, key)
	}
	return out
}

func compareKeys(a, b Key) int { return strings.Compare(a.Name.String(), b.Name.String()) }
