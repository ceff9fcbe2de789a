package main

import (
	"flag"
	"fmt"
	"slices"
)

// Options are what a user chooses of a cluster.
type Options struct {
	Nodes int    `json:"nodes"`
	CNI   string `json:"cni"`
	Proxy string `json:"proxy"`
	IP    string `json:"ip"`
}

// maxNodes keeps node numbers within one byte of an address, with room for what
// is no node.
const maxNodes = 50

func (o *Options) addFlags(flags *flag.FlagSet) {
	flags.IntVar(&o.Nodes, "nodes", 2, "`number` of worker nodes")
	flags.StringVar(&o.CNI, "cni", "bridge", "how Pods are attached: bridge or ptp")
	flags.StringVar(&o.Proxy, "proxy", "nftables", "kube-proxy's mode: nftables or iptables")
	flags.StringVar(&o.IP, "ip", "ipv4", "addresses of Pods, Services and nodes: ipv4, ipv6 or dual")
}

func (o *Options) validate() error {
	if o.Nodes < 1 || o.Nodes > maxNodes {
		return fmt.Errorf("nodes: %d is not between 1 and %d", o.Nodes, maxNodes)
	}
	for _, choice := range []struct {
		name, value string
		of          []string
	}{
		{"cni", o.CNI, []string{"bridge", "ptp"}},
		{"proxy", o.Proxy, []string{"nftables", "iptables"}},
		{"ip", o.IP, []string{"ipv4", "ipv6", "dual"}},
	} {
		if !slices.Contains(choice.of, choice.value) {
			return fmt.Errorf("%s: %q is none of %v", choice.name, choice.value, choice.of)
		}
	}
	return nil
}

// String is the combination's name, as in a directory of results.
func (o *Options) String() string {
	return fmt.Sprintf("%s-%s-%s", o.CNI, o.Proxy, o.IP)
}

func (o *Options) networks() []network {
	switch o.IP {
	case "ipv4":
		return []network{ipv4}
	case "ipv6":
		return []network{ipv6}
	default:
		return []network{ipv4, ipv6}
	}
}
