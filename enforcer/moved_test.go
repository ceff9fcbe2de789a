package enforcer

import (
	"net/netip"
	"testing"

	"github.com/sluice-net/sluice/policy"
)

// TestPolicyMovesNobody: the kernel is asked where Pods are when their addresses change,
// and not when policies say something else of them; but for a Pod that is not found and
// is isolated now, which is reported in another way.
func TestPolicyMovesNobody(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*policy.Subject)
		want   bool
	}{
		{"nothing", func(*policy.Subject) {}, false},
		{"what it may do", func(s *policy.Subject) {
			set := *s.Ingress
			set.Key = "another"
			s.Ingress = &set
		}, false},
		{"an address", func(s *policy.Subject) { s.Addrs = append(s.Addrs, netip.MustParseAddr("10.9.9.9")) }, true},
		{"it is not isolated any more", func(s *policy.Subject) { s.Ingress, s.Egress = nil, nil }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEventBench(t, 20, 1)
			for s := range e.s.index.Subjects() {
				if s.Ingress == nil {
					continue
				}
				now := *s
				tt.change(&now)
				e.s.place(policy.SubjectChange{Pod: now.Pod, Now: &now})
				if due, _ := e.s.rounds.Resolve(); due != tt.want {
					t.Errorf("looks for Pods: %t, want %t", due, tt.want)
				}
				return
			}
			t.Fatal("no Pod is isolated")
		})
	}
}
