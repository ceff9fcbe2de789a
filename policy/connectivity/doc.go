// Package connectivity says who can reach whom, on which ports and by which
// rules: for all pairs at once, and for ends that have no address yet.
//
// What [policy.Index] answers about a flow between two addresses, this package
// answers about workloads, ranges of addresses and Pods that nobody has made.
// It has no reading of NetworkPolicy of its own: which policies isolate a Pod,
// what they allow and whom a peer's selectors match is asked of an Index that
// holds one Pod for each group of equal Pods. What it adds is address blocks
// where the address is not known, and the combination of all ends.
//
// # Ends
//
//   - Equal Pods are one end: those of one namespace with the same labels and
//     the same named ports. Where a cell of the matrix is an end's own, it is
//     about two Pods of it: a Pod always reaches itself.
//   - Pods on the host network are their node: no policy selects them or names
//     them, and what reaches Pods from there may come from their own node.
//   - Addresses that are no Pod's are ranges: the address space of both families
//     cut wherever an ipBlock of a policy begins or ends. Ranges that all
//     policies treat alike are one end. They stand for what is outside, so the
//     own node of a Pod, which always reaches it, is not meant by them; where
//     the nodes' ranges are known, these are ends apart.
//
// # What depends on an address
//
// An ipBlock may or may not hold the address of a Pod that has none. Then the
// answer is [Depends], with the conditions: each is about the address of one
// end. The logic is that of three values, kept right through both ends and both
// families: a stretch depends only if there are addresses with which it passes,
// and others with which it does not. Blocks that only together hold all
// addresses of Pods are taken together; two Pods are never given one address
// by that both must have the only one of a block. What is not looked at: that
// an address may be another Pod's already.
//
// # Invariants
//
//   - Pure and deterministic: objects in, data out, the same whatever the order
//     of the objects.
//   - Whatever addresses the Pods get, [policy.Index.Evaluate] allows what is
//     Allowed here and denies what is Denied.
//   - Cost follows the allow sets and not the pairs times ports times rules: a
//     set's peers fall into a few profiles, each profile has its stretches of
//     ports, and a pair is the meeting of two profiles.
//
// Labels that controllers add to Pods (pod-template-hash, a StatefulSet's
// pod-name) are in no template, so selectors on them do not match a workload;
// of a Job those are added that follow from its name.
package connectivity
