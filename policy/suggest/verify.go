package suggest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// index has all objects but policies.
func (m *maker) index() *policy.Index {
	x := policy.NewIndex(policy.Options{})
	for name, labels := range m.in.NamespaceLabels {
		x.SetNamespace(name, labels)
	}
	for _, p := range m.in.Pods {
		if p.HostNetwork {
			x.SetPod(p)
		}
	}
	for _, g := range m.groups {
		if _, known := m.in.NamespaceLabels[g.namespace]; !known {
			x.SetNamespace(g.namespace, map[string]string{"kubernetes.io/metadata.name": g.namespace})
		}
		for _, p := range g.pods {
			x.SetPod(p)
		}
	}
	return x
}

// verify asks the evaluator about every flow that the policies were made of, once they are
// enforced and alone, and counts what else they let through.
func (m *maker) verify() error {
	x := m.index()
	for _, np := range m.out.Policies {
		np = np.DeepCopy()
		np.Annotations = map[string]string{policy.ModeKey: policy.ModeEnforce}
		if err := x.SetPolicy(np); err != nil {
			return fmt.Errorf("check what is suggested: %w", err)
		}
	}
	var denied []string
	for i := range m.used {
		f := &m.used[i]
		if !x.Evaluate(m.flow(x, f)).Allowed {
			denied = append(denied, f.String())
		}
	}
	if len(denied) > 0 {
		return fmt.Errorf("policies made of %d flows would deny %d of them: %s; several Pods have had one address, or Pods have changed their labels or ports since",
			len(m.used), len(denied), strings.Join(denied[:min(len(denied), 5)], ", "))
	}
	m.count(x)
	if m.in.Audited {
		return m.verifyUnchanged()
	}
	return nil
}

func (m *maker) flow(x *policy.Index, f *Flow) policy.Flow {
	end := func(e *End) policy.End {
		if g := m.byPod[e.Namespace+"/"+e.Pod]; g != nil {
			for _, p := range g.pods {
				if p.Name == e.Pod && slices.Contains(p.Addrs, e.Addr) {
					return policy.End{Addr: e.Addr, Pod: p}
				}
			}
		}
		return x.EndOfAddr(e.Addr)
	}
	return policy.Flow{Src: end(&f.Src), Dst: end(&f.Dst), Protocol: f.Protocol, Port: f.Port}
}

// count counts how much the policies let through: for one Pod of each group.
func (m *maker) count(x *policy.Index) {
	type target struct {
		proto policy.Protocol
		port  uint16
	}
	seen := map[target]bool{}
	for i := range m.used {
		seen[target{m.used[i].Protocol, m.used[i].Port}] = true
	}
	for _, src := range m.groups {
		for _, dst := range m.groups {
			if src == dst || m.sides[src] == nil && m.sides[dst] == nil {
				continue
			}
			a, b := someAddr(src), someAddr(dst)
			if !a.IsValid() || !b.IsValid() || a.Is4() != b.Is4() {
				continue
			}
			for t := range seen {
				m.out.Possible++
				if x.Evaluate(policy.Flow{Src: x.EndOfAddr(a), Dst: x.EndOfAddr(b), Protocol: t.proto, Port: t.port}).Allowed {
					m.out.Allowed++
				}
			}
		}
	}
}

func someAddr(g *group) netip.Addr {
	for _, p := range g.pods {
		if len(p.Addrs) > 0 {
			return p.Addrs[0]
		}
	}
	return netip.Addr{}
}
