// Package question answers what people ask of network policy: may this reach
// that, and why. It is what the commands of sluice ask, and a Go program can.
//
// There is one way through it:
//
//		manifests ─▶ World ─ Ask ─▶ ends ─▶ paths ─▶ verdicts ─▶ Answer
//
//	  - A [World] is objects with the index over them: [New] makes one of a set of
//	    manifests, [NewLive] of what was read of a cluster.
//	  - A [Question] names the ends of a flow as people do: Pods, addresses,
//	    Services, workloads, nodes. [Parse] reads one.
//	  - Each end stands for Pods and addresses, or leads through a door, a Service or
//	    a port of a node, to what is behind it.
//	  - A [Path] is one way between them: the flow that the source's node judges, and
//	    the one that the destination's node judges.
//	  - An [Answer] groups the paths by how they end. [World.Explain] adds what every
//	    policy had to say, and [Reason] puts it into words.
//
// # Invariants
//
//   - Pure and deterministic: objects in, answers out. It reads no files and asks no
//     cluster: what a question needs beyond the objects that it has it names, in
//     [Missing], and whoever asks gets it and asks again.
//   - An answer is data. Text that it holds is names, reasons and notices; how an
//     answer is laid out is its reader's.
//   - Nothing is guessed in silence. Where a path depends on what is not known, all
//     possible ones are judged, and a notice says on what it depends. Where one must
//     speak for all, a denied one does.
//   - Two ends that have addresses of both families may use either. Where the answer is
//     not the same over both, both are paths.
//   - Whose a Pod is, and from where addresses are, package inventory says: a list of all
//     connections is of the same ends.
//   - Verdicts are those of [policy.Index], and routes those of package service:
//     nothing here decides what a policy allows.
//
// An end that has no addresses, such as a workload before it runs or a range, is
// to be a [Kind] of its own whose members carry what the index matches instead of an
// address; a verdict that depends on the address that is not there is to be a
// [Result] beside [Partly].
package question
