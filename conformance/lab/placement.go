package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// census is what is known of nodes and addresses while manifests are read.
type census struct {
	// used are all addresses that mean something in the manifests.
	used map[netip.Addr]bool
	// nodes are the addresses of each node.
	nodes map[string][]netip.Addr
	// families that Pods use.
	families [2]bool
}

// count reads addresses and nodes.
func (c *census) count(pods []*corev1.Pod, o Placement) error {
	for _, a := range o.External {
		c.used[a] = true
		c.families[family(a)] = true
	}
	for _, s := range o.Services {
		for _, ip := range s.Spec.ClusterIPs {
			if a, err := netip.ParseAddr(ip); err == nil {
				c.used[a] = true
			}
		}
	}
	for _, p := range pods {
		addrs, err := podAddrs(p)
		if err != nil {
			return err
		}
		hosts, err := hostAddrs(p)
		if err != nil {
			return err
		}
		if p.Spec.HostNetwork {
			// A node may have more addresses than status.hostIPs tell.
			hosts = append(hosts, addrs...)
		}
		for _, a := range append(slices.Clone(addrs), hosts...) {
			c.used[a] = true
			c.families[family(a)] = true
		}
		if finished(p) {
			continue
		}
		if p.Spec.NodeName == "" {
			p.Spec.NodeName = c.nodeWith(hosts)
		}
		if p.Spec.NodeName != "" {
			c.extend(p.Spec.NodeName, hosts)
		}
	}
	return nil
}

// nodeWith finds the node that has one of the addresses, or makes one up for
// them.
func (c *census) nodeWith(hosts []netip.Addr) string {
	for _, name := range c.names() {
		for _, a := range hosts {
			if slices.Contains(c.nodes[name], a) {
				return name
			}
		}
	}
	if len(hosts) == 0 {
		return ""
	}
	return c.invent(hosts)
}

func (c *census) extend(name string, addrs []netip.Addr) {
	known := c.nodes[name]
	for _, a := range addrs {
		if !slices.Contains(known, a) {
			known = append(known, a)
		}
	}
	c.nodes[name] = known
}

// invent names a new node.
func (c *census) invent(addrs []netip.Addr) string {
	for i := 1; ; i++ {
		name := fmt.Sprintf("node-%d", i)
		if _, taken := c.nodes[name]; !taken {
			c.extend(name, addrs)
			return name
		}
	}
}

func (c *census) names() []string { return slices.Sorted(maps.Keys(c.nodes)) }

// schedule puts Pods that have no node on nodes whose addresses nobody gave, as
// many as asked for. A node with a given address would not do: its Pods always
// hear it, and these Pods would come to an own node that the manifests do not
// know of.
func (c *census) schedule(pods []*corev1.Pod, s Spread) {
	want := 1
	if s == TwoNodes {
		want = 2
	}
	for len(c.nodes) < want {
		c.invent(nil)
	}
	free := func() []string {
		return slices.DeleteFunc(c.names(), func(name string) bool { return len(c.nodes[name]) > 0 })
	}
	next := 0
	for _, p := range pods {
		if p.Spec.NodeName != "" || finished(p) {
			continue
		}
		for len(free()) < want {
			c.invent(nil)
		}
		p.Spec.NodeName = free()[next%want]
		next++
	}
}

// Node addresses are made up from the ranges for benchmarks of networks
// (RFC 2544, RFC 5180): nobody means a real host by them.
var inventedAddrs = [2]netip.Addr{
	netip.MustParseAddr("198.18.0.0"),
	netip.MustParseAddr("2001:2::"),
}

// inhabit gives nodes without addresses some, and each Pod its node's.
func (c *census) inhabit(pods []*corev1.Pod) error {
	next := inventedAddrs
	for _, name := range c.names() {
		if len(c.nodes[name]) > 0 {
			continue
		}
		for fam, wanted := range c.families {
			if !wanted {
				continue
			}
			for next[fam] = next[fam].Next(); c.used[next[fam]]; {
				next[fam] = next[fam].Next()
			}
			c.used[next[fam]] = true
			c.extend(name, []netip.Addr{next[fam]})
		}
	}
	for _, p := range pods {
		hosts, err := hostAddrs(p)
		if err != nil {
			return err
		}
		addrs := c.nodes[p.Spec.NodeName]
		if len(hosts) > 0 || finished(p) || len(addrs) == 0 {
			continue
		}
		p.Status.HostIP = addrs[0].String()
		for _, a := range addrs {
			p.Status.HostIPs = append(p.Status.HostIPs, corev1.HostIP{IP: a.String()})
		}
	}
	return nil
}
