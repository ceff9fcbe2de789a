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
	// Flannel is the backend that flannel carries packets between nodes with;
	// nothing where the CNI is another.
	Flannel string `json:"flannel,omitempty"`
}

// maxNodes keeps node numbers within one byte of an address, with room for what
// is no node.
const maxNodes = 50

func (o *Options) addFlags(flags *flag.FlagSet) {
	flags.IntVar(&o.Nodes, "nodes", 2, "`number` of worker nodes")
	flags.StringVar(&o.CNI, "cni", "bridge", "how Pods are attached: bridge, ptp or flannel")
	flags.StringVar(&o.Proxy, "proxy", "nftables", "kube-proxy's mode: nftables or iptables")
	flags.StringVar(&o.IP, "ip", "ipv4", "addresses of Pods, Services and nodes: ipv4, ipv6 or dual")
	flags.StringVar(&o.Flannel, "flannel", vxlan, "flannel's backend: vxlan or host-gw")
}

// Flannel's backends.
const (
	vxlan  = "vxlan"
	hostGW = "host-gw"
)

// settle forgets what says nothing about the cluster that is meant, so that equal
// clusters have equal options.
func (o *Options) settle() {
	if !o.flannel() {
		o.Flannel = ""
	}
}

func (o *Options) flannel() bool { return o.CNI == "flannel" }

// attachment is how Pods are attached, and how packets get from node to node where
// there is a choice.
func (o *Options) attachment() string {
	if o.Flannel == "" {
		return o.CNI
	}
	return o.CNI + " " + o.Flannel
}

// bridged says that a node's Pods are on one bridge.
func (o *Options) bridged() bool { return o.CNI != "ptp" }

func (o *Options) validate() error {
	if o.Nodes < 1 || o.Nodes > maxNodes {
		return fmt.Errorf("nodes: %d is not between 1 and %d", o.Nodes, maxNodes)
	}
	for _, choice := range []struct {
		name, value string
		of          []string
	}{
		{"cni", o.CNI, []string{"bridge", "ptp", "flannel"}},
		{"proxy", o.Proxy, []string{"nftables", "iptables"}},
		{"ip", o.IP, []string{"ipv4", "ipv6", "dual"}},
	} {
		if !slices.Contains(choice.of, choice.value) {
			return fmt.Errorf("%s: %q is none of %v", choice.name, choice.value, choice.of)
		}
	}
	if o.flannel() && o.Flannel != vxlan && o.Flannel != hostGW {
		return fmt.Errorf("flannel: %q is none of %v", o.Flannel, []string{vxlan, hostGW})
	}
	return nil
}

// String is the combination's name, as in a directory of results.
func (o *Options) String() string {
	name := fmt.Sprintf("%s-%s-%s", o.CNI, o.Proxy, o.IP)
	if o.Flannel != "" {
		name += "-" + o.Flannel
	}
	return name
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
