// Package service follows a connection to a Kubernetes Service to the Pods
// behind it, as kube-proxy routes it, and says which addresses NetworkPolicy
// judges on the way.
//
// A Service is no part of NetworkPolicy: policies see the Pods behind it. What
// they see depends on where addresses are translated, so a question about a
// Service is one about several flows, and sometimes about two at a time: what
// the client's node judges, and what the backend's node judges.
//
// # Invariants
//
//   - Pure and deterministic: objects in, paths out.
//   - Policies are judged where Sluice judges them: after the destination was
//     translated, before the source is. So a node that takes a connection and
//     hands it to a Pod of its own judges the client itself; one that hands it
//     to another node hides the client behind its own address.
//   - Nothing is guessed. Where a path depends on something unknown, such as
//     the node at which a client comes in, all of the possible paths are given.
package service
