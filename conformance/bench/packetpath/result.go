package packetpath

import (
	"fmt"
	"io"
	"time"

	"github.com/sluice-net/sluice/conformance/bench/figures"
)

// Options say how much is measured. The zero value is a full run, of about
// twenty minutes.
type Options struct {
	// Repeats is the number of rounds, each of which samples every cell once;
	// 0: as many as a full run has.
	Repeats int
	// Turns is how many readings a round takes of a cell, and of conntrack-only in
	// between; 0: as many as in a full run.
	Turns int
	// Window is how long one reading of throughput or rate takes; 0: as long as
	// in a full run.
	Window time.Duration
	// Quick shows that the harness works, in seconds: few cells, two rounds,
	// short samples, nothing to be quoted.
	Quick bool
	// Log gets a line about each step; nil: nobody does.
	Log io.Writer
}

// Shape is how policies are brought before the kernel.
type Shape string

// The shapes that are compared. Conntrack, a table with nothing but "ct state
// established,related accept", is what any stateful engine costs, and the base
// of all ratios.
const (
	None      Shape = "none"
	Conntrack Shape = "conntrack"
	// Hooks is the same with a chain without rules at each hook where Sluice
	// has a guard: what is left to save of what guards cost.
	Hooks Shape = "conntrack-hooks"
	// Guards is the same with the guards themselves: what is left for judging.
	Guards Shape = "conntrack-guards"
	Sluice Shape = "sluice"
	// Unguarded is Sluice with Pods that are let off their guards: what
	// everything else of it costs.
	Unguarded Shape = "sluice-unguarded"
	// NFTLinear is a jump for each local Pod, one after the other; then the
	// Pod's chain, which accepts what is established and jumps to a chain for
	// each policy, whose rules ask for port and a set of peers.
	NFTLinear Shape = "nft-linear"
	// IPTablesIPSet is the same in the terms of iptables with ipset.
	IPTablesIPSet Shape = "iptables-ipset"
	// IPTablesLinear stands in for IPTablesIPSet where the kernel or the machine
	// has no ipset: a rule for each peer. Result.Note says why.
	IPTablesLinear Shape = "iptables-linear"
)

// open reports whether the shape lets everything through, and so knows no load.
func (s Shape) open() bool { return s == None || s == Conntrack || s == Hooks || s == Guards }

// Metric is what a sample is of.
type Metric string

// Of Throughput, Packets and Connections more is better, of the others less.
const (
	// Throughput is that of one established TCP connection, in Gbit/s.
	Throughput Metric = "throughput Gbit/s"
	// Packets are UDP packets a second with 16 bytes each, in one flow, counted
	// where they arrive in the server.
	Packets Metric = "packets/s"
	// Connections are TCP connections a second: connect, a byte there and one
	// back, close; a caller on each processor, at the pace of its median one.
	Connections Metric = "connections/s"
	// ConnectionP50 and ConnectionP99 are how long those connections took, from
	// connect to the answer, in microseconds.
	ConnectionP50 Metric = "connection p50 µs"
	ConnectionP99 Metric = "connection p99 µs"
	// PacketCPU and ConnectionCPU are the processor time, of client, server and
	// all that the kernel does in their name, that a packet or a connection
	// took, in microseconds. They suffer least from other load.
	PacketCPU     Metric = "cpu µs/packet"
	ConnectionCPU Metric = "cpu µs/connection"
)

// MoreIsBetter reports in which direction a metric's values are good.
func (m Metric) MoreIsBetter() bool {
	return m == Throughput || m == Packets || m == Connections
}

// Load is what policies a node has to enforce.
type Load struct {
	// Policies select the server's Pod, Elsewhere others of the node.
	Policies, Elsewhere int
	// LocalPods is the number of Pods on the node, client and server included.
	LocalPods int
}

func (l Load) String() string {
	return fmt.Sprintf("%d policies, %d elsewhere, %d Pods", l.Policies, l.Elsewhere, l.LocalPods)
}

// Result is one metric of one cell: topology, shape and load.
type Result struct {
	// Topology is bridge or ptp; both Pods are on the same node.
	Topology string
	Shape    Shape
	Load
	Metric Metric
	// Samples are in the order of the readings, Base conntrack-only's in turns with
	// them.
	Samples, Base []float64
	// Note is what a reader must know of how it came about.
	Note string `json:",omitempty"`
}

// cell is what is installed once a round, and sampled.
type cell struct {
	topology string
	shape    Shape
	load     Load
}

func (c cell) String() string {
	if c.shape.open() {
		return fmt.Sprintf("%s %s", c.topology, c.shape)
	}
	return fmt.Sprintf("%s %s, %s", c.topology, c.shape, c.load)
}

// key is where the samples of a metric go.
type key struct {
	cell   cell
	metric Metric
}

// quantile is that of the values, and 0 of none: a processor that was taken away for
// a whole window made nothing.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return figures.Quantile(values, q)
}
