// Package policy is the evaluator: Kubernetes objects go in, per-Pod allow
// sets and explained verdicts come out.
//
// It follows the NetworkPolicy v1 documentation
// (https://kubernetes.io/docs/concepts/services-networking/network-policies/
// and the comments of k8s.io/api/networking/v1). One evaluator serves the
// engine, the command line and the tests.
//
// # Invariants
//
//   - Pure and deterministic: no I/O, no clock, no logging, no goroutines. The
//     same objects in any order, in any number of steps, give byte-identical
//     results.
//   - A policy never disappears. What cannot be understood of it allows
//     nothing, and the Pods it selects stay isolated in the directions it
//     names; [Index.SetPolicy] reports why.
//   - An address that several live Pods claim is judged by the policies of each
//     and allowed what each allows. As a peer it is what all of them are.
//   - hostNetwork Pods and finished Pods (Succeeded, Failed) are neither
//     subjects nor peers.
//   - A namespace that is not known yet matches no namespaceSelector, not even
//     the empty one: its labels could still turn a NotIn either way.
//   - [Index.Changes] names all that may differ since it was last asked, and
//     an event costs what it touches, whatever the size of the cluster.
package policy
