package lab

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Priorities and tables as the AWS VPC CNI has them.
const (
	branchPriority = 10
	localPriority  = 20
	toPodPriority  = 512
	markPriority   = 1024
	fromPriority   = 1536
	cardTable      = 2
	// branchTable is that of the first branch interface, beyond those with names.
	branchTable = 1001
	// nodePortMark says that a connection came to the node itself by its first card.
	nodePortMark = 0x80
)

// secondCard is the node's second network card.
const secondCard = "eth1"

// connmarks have what is answered for the node leave by the card that it came by.
const connmarks = `table inet lab-connmark {
 chain prerouting {
  type filter hook prerouting priority mangle
  iifname "eth0" fib daddr . iif type local ct mark set ct mark | 0x80
  iifname "eni*" meta mark set ct mark & 0x80
 }
}
`

// plugCard gives the node its second card. The fabric sends to what is behind it by
// permanent neighbours, and so does the node the other way.
func (k *podLinks) plugCard() error {
	w := wire{a: k.lab.fabric, aName: fmt.Sprintf("node%d-1", k.index), b: k.node, bName: secondCard}
	w.aMAC, w.bMAC = mac(0xfc, k.index, 1), mac(0xfc, k.index, 2)
	var err error
	if k.fabricCard, k.card, err = w.add(0); err != nil {
		return err
	}
	k.fabricMAC, k.cardMAC = w.aMAC, w.bMAC
	if err := k.lab.fabric.addAddr(k.fabricCard, netip.PrefixFrom(gatewayLL6, 64), netlink.SCOPE_LINK); err != nil {
		return err
	}
	mask := uint32(nodePortMark)
	for fam := range 2 {
		rule := netlink.NewRule()
		rule.Priority, rule.Mark, rule.Mask, rule.Table = markPriority, nodePortMark, &mask, unix.RT_TABLE_MAIN
		if err := k.node.addRule(fam, rule); err != nil {
			return err
		}
	}
	// The reverse of what comes to the node's ports on the first card is the second.
	if err := k.node.Sysctl("ipv4/conf/"+uplinkName+"/rp_filter", "2"); err != nil {
		return err
	}
	return k.node.feed(connmarks, "nft", "-f", "-")
}

// addCard makes the second card, and the table that leads out by it.
func (k *podLinks) addCard() error {
	if err := k.plugCard(); err != nil {
		return err
	}
	return k.leadOut(k.card, cardTable)
}

// leadOut makes a table whose default route is an interface to the fabric.
func (k *podLinks) leadOut(link, table int) error {
	for fam, via := range []netip.Addr{k.lab.layout.fabric, gatewayLL6} {
		if err := k.node.addNeighbour(link, via, k.fabricMAC); err != nil {
			return err
		}
		if err := k.node.addRoute(everywhere(fam), hop{index: link, via: via, table: table}); err != nil {
			return err
		}
	}
	return nil
}

// addRules sends to a Pod by the main table; of every second one the address is the second
// card's.
func (k *podLinks) addRules(p *PodNamespace, near int) error {
	for _, a := range p.Pod.Addrs {
		to := netlink.NewRule()
		to.Priority, to.Dst, to.Table = toPodPriority, ipNet(host(a)), unix.RT_TABLE_MAIN
		if err := k.node.addRule(family(a), to); err != nil {
			return err
		}
		if p.number%2 == 0 || k.lab.spec.Topology == AWSBranch {
			continue
		}
		from := netlink.NewRule()
		from.Priority, from.Src, from.Table = fromPriority, ipNet(host(a)), cardTable
		if err := k.node.addRule(family(a), from); err != nil {
			return err
		}
		if err := k.comesBy(a, k.cardMAC); err != nil {
			return err
		}
	}
	return k.addEntries(p, near)
}

// comesBy has the fabric send to an address by the node's second card.
func (k *podLinks) comesBy(a netip.Addr, mac []byte) error {
	if err := k.lab.fabric.addNeighbour(k.fabricCard, a, mac); err != nil {
		return err
	}
	return k.lab.fabric.addRoute(host(a), hop{index: k.fabricCard})
}

// addTrunk makes the card that branch interfaces are on. Rules for what comes by these
// have to be asked before the node looks whether an address is its own, and before it
// looks for a socket: what belongs to one is not forwarded.
func (k *podLinks) addTrunk() error {
	if err := k.plugCard(); err != nil {
		return err
	}
	if err := k.node.Sysctl("ipv4/ip_early_demux", "0"); err != nil {
		return err
	}
	for fam := range 2 {
		rule := netlink.NewRule()
		rule.Priority, rule.Table = localPriority, unix.RT_TABLE_LOCAL
		if err := k.node.addRule(fam, rule); err != nil {
			return err
		}
		rule.Priority = 0
		if err := k.node.link.RuleDel(rule); err != nil {
			return fmt.Errorf("move the rule for local addresses of %s: %w", k.node.Name, err)
		}
	}
	return nil
}

// IsBranch reports whether a Pod has a branch interface: in a lab of AWSBranch two of three
// do.
func (p *PodNamespace) IsBranch() bool { return p.topology == AWSBranch && p.number%3 != 1 }

// addBranch gives a Pod its branch interface, a macvlan of the trunk: not every kernel
// has 802.1Q. Nothing but the table of that interface knows the Pod.
func (k *podLinks) addBranch(p *PodNamespace, near int) error {
	if !p.IsBranch() {
		return k.addRules(p, near)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = fmt.Sprintf("vlan.eth.%d", p.number), k.card, mac(0xfb, p.number, 2)
	// A VEPA's interfaces reach each other by way of the network, as branches do.
	branch := &netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_VEPA}
	if err := k.node.link.LinkAdd(branch); err != nil {
		return fmt.Errorf("add %s in %s: %w", attrs.Name, k.node.Name, err)
	}
	index, table := branch.Attrs().Index, p.table()
	if err := k.node.up(index); err != nil {
		return err
	}
	if err := k.node.settle(index); err != nil {
		return err
	}
	if err := k.leadOut(index, table); err != nil {
		return err
	}
	for fam := range 2 {
		for _, from := range []string{attrs.Name, p.Veth} {
			rule := netlink.NewRule()
			rule.Priority, rule.IifName, rule.Table = branchPriority, from, table
			if err := k.node.addRule(fam, rule); err != nil {
				return err
			}
		}
	}
	for _, a := range p.Pod.Addrs {
		if err := k.comesBy(a, attrs.HardwareAddr); err != nil {
			return err
		}
		// What an IPv6 neighbour answers would be forwarded like all else that comes from
		// the Pod.
		if err := k.node.addNeighbour(near, a, p.MAC); err != nil {
			return err
		}
	}
	return k.addEntries(p, near)
}

// table is the one that has the node's route to the Pod: 0 is the main one.
func (p *PodNamespace) table() int {
	if !p.IsBranch() {
		return 0
	}
	return branchTable + p.number
}

// addEntries tells the Pod the hardware address of a gateway that nobody has.
func (k *podLinks) addEntries(p *PodNamespace, _ int) error {
	for fam, s := range k.lay.subnets {
		if !p.has(fam) {
			continue
		}
		if err := p.addNeighbour(p.eth0, s.Gateway, p.GatewayMAC); err != nil {
			return err
		}
	}
	return nil
}

// addRule adds a rule of the routing.
func (n *Namespace) addRule(fam int, r *netlink.Rule) error {
	r.Family = unix.AF_INET
	if fam == 1 {
		r.Family = unix.AF_INET6
	}
	if err := n.link.RuleAdd(r); err != nil {
		return fmt.Errorf("add rule %s in %s: %w", r, n.Name, err)
	}
	return nil
}
