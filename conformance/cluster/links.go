package main

import (
	"fmt"
	"strings"
)

// connect makes the network between the machines, as ip's commands: a bridge in
// the control plane, a veth to each node, and routes to every node's Pods, but
// for those from node to node where flannel makes them. It has no way out: the
// computer's own network never hears of it.
func (c *Cluster) connect(controlPlane *Machine, nodes []Machine) error {
	hub := []string{"link set lo up", "link add nodes type bridge", "link set nodes up"}
	for _, n := range c.Options.networks() {
		hub = append(hub, fmt.Sprintf("address add %s/%d dev nodes %s", n.controlPlane(), n.machines.Bits(), quick(n)))
	}
	for i, node := range nodes {
		hub = append(hub,
			fmt.Sprintf("link add %s type veth peer name eth0 netns %d", node.Name, node.PID),
			fmt.Sprintf("link set %s master nodes up", node.Name))
		for _, n := range c.Options.networks() {
			hub = append(hub, fmt.Sprintf("route add %s via %s", n.podsOf(i+1), n.node(i+1)))
		}
	}
	if err := controlPlane.configure(strings.Join(hub, "\n")); err != nil {
		return err
	}
	for i := range nodes {
		if err := nodes[i].configure(strings.Join(c.nodeLinks(i+1), "\n")); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) nodeLinks(number int) []string {
	commands := []string{"link set lo up", "link set eth0 up"}
	for _, n := range c.Options.networks() {
		commands = append(commands,
			fmt.Sprintf("address add %s/%d dev eth0 %s", n.node(number), n.machines.Bits(), quick(n)),
			fmt.Sprintf("route add %s via %s", n.everywhere(), n.controlPlane()))
		for other := 1; other <= c.Options.Nodes; other++ {
			if other != number && !c.Options.flannel() {
				commands = append(commands, fmt.Sprintf("route add %s via %s", n.podsOf(other), n.node(other)))
			}
		}
	}
	return commands
}

// quick spares IPv6 addresses the second in which the kernel asks whether
// somebody else has them.
func quick(n network) string {
	if n.machines.Addr().Is6() {
		return "nodad"
	}
	return ""
}
