// Package lint finds in Kubernetes objects what NetworkPolicies surely, or very
// likely, do not do as their author meant: a selector that selects nothing, a rule
// that can never match, a dash that turns AND into OR.
//
// It asks the evaluator: selectors, blocks and named ports are compared by the code
// that judges flows, not by the look of the text.
//
// # Invariants
//
//   - Pure and deterministic: objects in, findings out, sorted.
//   - Nothing is guessed. A check about what is not there speaks only where the
//     input would have it: no workload of a namespace in the input, no word about
//     what the policies of that namespace select. Where something of the input may
//     make Pods that are not seen (a custom resource, a kustomization that is not
//     built), what is said about Pods is a note.
//   - What a check says adds nothing can be removed, all of it at once, and no flow
//     is judged otherwise, whatever Pods there are. What it says never matches can be
//     removed, and no flow between the Pods of the input is.
//   - A policy that is audited counts for no verdict, so it does nothing for one that is
//     enforced; what is enforced does for both.
//   - A policy with an error is not linted: what remains of it is not what its
//     author wrote.
//   - What each check must not report, and why, stands with the check.
package lint
