// Package rulesim is a dumb kernel for tests: it reads nftables commands as
// text, keeps the tables that they make, and judges packets by them.
//
// It reads the text itself, not the compiler's structures, so that what is
// rendered wrongly is judged wrongly. It refuses every statement, expression,
// type and flag that it does not know: a ruleset that it accepts is one that
// it understands whole.
//
// # What it holds to
//
//   - A transaction ([Kernel.Run]) is applied whole or not at all, in the order
//     of its commands, and refuses what Linux refuses: objects that are missing,
//     chains, sets and counters that are still referred to, elements that clash,
//     deletions of elements that are not there, chains nested 16 deep.
//   - An expression that cannot load its value (another family, no such port,
//     a later fragment, no conntrack entry) ends its rule, not the packet.
//   - goto does not return to the chain it left, return does not leave more
//     than one jump, and "accept" ends one base chain, not the packet.
//
// It is stricter than Linux where Linux forgives what the compiler never means:
// any overlap of intervals is refused (Linux takes a wider one after a narrower
// one), deleting from intervals must name one exactly (Linux deletes the one
// that covers it), and [Kernel.Apply] wants a [compiler.Plan] that does
// nothing in vain and changes no interval in place.
package rulesim
