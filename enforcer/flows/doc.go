// Package flows tells of connections that pass: of all, to whoever follows, and of those
// that audited policies would deny. It learns of them from conntrack, so that a packet
// costs nothing, and reads conntrack only while somebody wants to know: a follower, or an
// audited policy that selects a Pod of the node.
//
// What it costs then: a notice of the kernel for each new connection of the node, and one
// dump of the connections at the beginning and every minute, by which those are found that
// are there already. Each flow is looked at once an interval, up to [MostRate] a second;
// what is beyond, and what the kernel had no room for, is counted
// (sluice_flows_left_out_total).
//
// The kernel must give notice of connections: net.netfilter.nf_conntrack_events, which is
// on by default, 2 or 1
// (https://docs.kernel.org/networking/nf_conntrack-sysctl.html).
package flows
