package packetpath

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// The classic shapes. Both are given every advantage that such rulesets have or
// could have: a rule has all its ports at once, sets are shared by all policies
// with the same peers, what matches is accepted at once and not marked and
// carried on, and a Pod's chain starts with what is established.

// peers are the sets that rules ask for their peers, by name.
type peers struct {
	w workload
	// order is that of first use.
	order []string
	addrs map[string][]netip.Addr
	// blocks have one range, and perhaps an exception.
	blocks map[string][2]netip.Prefix
}

func newPeers(w workload) *peers {
	return &peers{w: w, addrs: map[string][]netip.Addr{}, blocks: map[string][2]netip.Prefix{}}
}

// of names the sets of a rule's peers.
func (s *peers) of(r rule) []string {
	var out []string
	if r.app != "" {
		name := "app-" + r.app
		if _, known := s.addrs[name]; !known {
			s.order = append(s.order, name)
			s.addrs[name] = s.w.members(r.app)
		}
		out = append(out, name)
	}
	if r.block.IsValid() {
		name := "net-" + strings.ReplaceAll(r.block.String(), "/", "-")
		if r.except.IsValid() {
			name += "-x"
		}
		if _, known := s.blocks[name]; !known {
			s.order = append(s.order, name)
			s.blocks[name] = [2]netip.Prefix{r.block, r.except}
		}
		out = append(out, name)
	}
	return out
}

// byProtocol are a rule's ports as text, as a list is written in both languages
// but for the sign between the ends of a range.
func byProtocol(ports []portRange, dash string) map[string]string {
	out := map[string]string{}
	for _, p := range ports {
		protocol := strings.ToLower(string(p.protocol))
		text := fmt.Sprint(p.low)
		if p.high != p.low {
			text = fmt.Sprintf("%d%s%d", p.low, dash, p.high)
		}
		if out[protocol] != "" {
			text = out[protocol] + "," + text
		}
		out[protocol] = text
	}
	return out
}

var portProtocols = []string{strings.ToLower(string(corev1.ProtocolTCP)), strings.ToLower(string(corev1.ProtocolUDP))}

// selected is the policies of each local Pod that has any, by address.
func (w workload) selected() map[netip.Addr][]policySpec {
	byApp := map[string][]policySpec{}
	for _, p := range w.policies {
		byApp[p.app] = append(byApp[p.app], p)
	}
	out := map[netip.Addr][]policySpec{}
	for _, p := range w.local {
		if policies := byApp[p.app]; len(policies) > 0 {
			out[p.addr] = policies
		}
	}
	return out
}

// nftLinear is the workload as chains of jumps for nft.
func nftLinear(w workload) string {
	sets := newPeers(w)
	var chains, dispatch strings.Builder
	done := map[string]bool{}
	selected := w.selected()
	for _, pod := range w.local {
		policies := selected[pod.addr]
		if len(policies) == 0 {
			continue
		}
		fmt.Fprintf(&dispatch, "    ip daddr %s jump pod-%s\n", pod.addr, pod.name)
		var body strings.Builder
		fmt.Fprintf(&body, "  chain pod-%s {\n    ct state established,related accept\n", pod.name)
		for _, p := range policies {
			fmt.Fprintf(&body, "    jump policy-%s\n", p.name)
			if !done[p.name] {
				done[p.name] = true
				fmt.Fprintf(&chains, "  chain policy-%s {\n%s  }\n", p.name, nftRules(sets, p.rules))
			}
		}
		fmt.Fprintf(&body, "    drop\n  }\n")
		chains.WriteString(body.String())
	}
	var out strings.Builder
	out.WriteString("table inet linear {\n")
	for _, name := range sets.order {
		out.WriteString(sets.nft(name))
	}
	out.WriteString(chains.String())
	fmt.Fprintf(&out, "  chain forward {\n    type filter hook forward priority filter\n%s  }\n}\n", dispatch.String())
	return out.String()
}

func nftRules(sets *peers, rules []rule) string {
	var out strings.Builder
	for _, r := range rules {
		ports := byProtocol(r.ports, "-")
		for _, set := range sets.of(r) {
			if len(ports) == 0 {
				fmt.Fprintf(&out, "    ip saddr @%s accept\n", set)
			}
			for _, protocol := range portProtocols {
				if ports[protocol] != "" {
					fmt.Fprintf(&out, "    ip saddr @%s %s dport { %s } accept\n", set, protocol, ports[protocol])
				}
			}
		}
	}
	return out.String()
}

func (s *peers) nft(name string) string {
	if addrs, ok := s.addrs[name]; ok {
		return fmt.Sprintf("  set %s { type ipv4_addr; elements = { %s }; }\n", name, join(addrs))
	}
	b := s.blocks[name]
	return fmt.Sprintf("  set %s { type ipv4_addr; flags interval; elements = { %s }; }\n", name, join(without(b[0], b[1])))
}

// without is a range as ranges that leave the exception out.
func without(block, except netip.Prefix) []netip.Prefix {
	if !except.IsValid() {
		return []netip.Prefix{block}
	}
	var out []netip.Prefix
	for block.Bits() < except.Bits() {
		bits := block.Bits() + 1
		lower := netip.PrefixFrom(block.Addr(), bits)
		raw := block.Addr().As4()
		raw[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
		upper := netip.PrefixFrom(netip.AddrFrom4(raw), bits)
		if lower.Contains(except.Addr()) {
			block, out = lower, append(out, upper)
		} else {
			block, out = upper, append(out, lower)
		}
	}
	return out
}

func join[T fmt.Stringer](items []T) string {
	var out []string
	for _, i := range items {
		out = append(out, i.String())
	}
	return strings.Join(out, ", ")
}

// iptablesRules is the workload as chains of jumps for iptables-restore. With
// ipset, sets says what sets it needs; without, each peer is a rule.
func iptablesRules(w workload, ipset bool) (text string, sets *peers) {
	sets = newPeers(w)
	var heads, rules strings.Builder
	done := map[string]bool{}
	selected := w.selected()
	// Chain names have 28 characters at most.
	for _, pod := range w.local {
		policies := selected[pod.addr]
		if len(policies) == 0 {
			continue
		}
		fmt.Fprintf(&heads, ":POD-%s - [0:0]\n", pod.name)
		fmt.Fprintf(&rules, "-A FORWARD -d %s/32 -j POD-%s\n-A POD-%s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", pod.addr, pod.name, pod.name)
		for _, p := range policies {
			fmt.Fprintf(&rules, "-A POD-%s -j POL-%s\n", pod.name, p.name)
			if done[p.name] {
				continue
			}
			done[p.name] = true
			fmt.Fprintf(&heads, ":POL-%s - [0:0]\n", p.name)
			for _, r := range p.rules {
				rules.WriteString(iptablesRule("POL-"+p.name, r, sets, ipset))
			}
		}
		fmt.Fprintf(&rules, "-A POD-%s -j DROP\n", pod.name)
	}
	return "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n" + heads.String() + rules.String() + "COMMIT\n", sets
}

func iptablesRule(chain string, r rule, sets *peers, ipset bool) string {
	var sources []string
	for _, name := range sets.of(r) {
		switch {
		case ipset:
			sources = append(sources, "-m set --match-set "+name+" src")
		case sets.addrs[name] != nil:
			for _, a := range sets.addrs[name] {
				sources = append(sources, "-s "+a.String()+"/32")
			}
		default:
			for _, p := range without(sets.blocks[name][0], sets.blocks[name][1]) {
				sources = append(sources, "-s "+p.String())
			}
		}
	}
	ports := byProtocol(r.ports, ":")
	var out strings.Builder
	for _, source := range sources {
		if len(ports) == 0 {
			fmt.Fprintf(&out, "-A %s %s -j ACCEPT\n", chain, source)
		}
		for _, protocol := range portProtocols {
			if ports[protocol] != "" {
				fmt.Fprintf(&out, "-A %s %s -p %s -m multiport --dports %s -j ACCEPT\n", chain, source, protocol, ports[protocol])
			}
		}
	}
	return out.String()
}

// ipsetScript makes the sets, for ipset restore.
func (s *peers) ipsetScript() string {
	var out strings.Builder
	for _, name := range s.order {
		if addrs, ok := s.addrs[name]; ok {
			fmt.Fprintf(&out, "create %s hash:ip\n", name)
			for _, a := range addrs {
				fmt.Fprintf(&out, "add %s %s\n", name, a)
			}
			continue
		}
		b := s.blocks[name]
		fmt.Fprintf(&out, "create %s hash:net\nadd %s %s\n", name, name, b[0])
		if b[1].IsValid() {
			fmt.Fprintf(&out, "add %s %s nomatch\n", name, b[1])
		}
	}
	return out.String()
}
