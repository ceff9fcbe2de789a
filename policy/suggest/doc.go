// Package suggest makes NetworkPolicies of flows that were seen: the smallest readable
// ones that let these flows pass, checked by the evaluator against each of them.
//
// # What is suggested
//
//   - One policy for each group of equal Pods of the chosen namespaces of which any flow
//     was seen, in all chosen directions: a database that was only asked is not left free
//     to ask others. Pods are equal if they have the same labels but for those that
//     controllers add to each Pod or each revision.
//   - A group is selected by the fewest labels that select it and nothing else there is,
//     the recommended and usual ones first.
//   - A port is given by its name where all Pods at the destination have it by that name.
//   - Who may resolve names by UDP may by TCP, too: long answers come that way.
//   - Addresses outside stay as they are up to four that are used alike; more become
//     their networks of 24 bits (IPv6: 64). More than four of these become the internet
//     without private ranges if they are public, and their networks of 16 bits (48) if
//     they are not.
//
// # What is not
//
// Flows of protocols without ports: a rule that allows ping allows everything. Flows from
// a Pod's own node, which always pass. Flows whose ends no object names any more. Each
// is counted in [Result.Left].
//
// What did not happen while somebody looked is not in the flows: the monthly job, the
// fail-over, the certificate that is renewed. Nobody but their owners knows.
//
// # Invariants
//
//   - Pure and deterministic: the same objects and flows in any order give the same.
//   - [Make] fails rather than suggest policies that deny a flow they were made from.
//   - Applied beside the policies that there are, audited ones change no verdict: none has
//     the name of an enforced policy, and [Make] fails rather than suggest one that does.
package suggest
