// Package compiler turns the allow sets of a node's Pods into nftables
// objects, and the change of allow sets into the least change of objects.
//
// README.md beside this file shows the packet's path and why each hook and
// chain is there.
//
// # Invariants
//
//   - Pure and deterministic, like package policy: no I/O, clocks, logging or
//     goroutines, byte-identical output for the same input in any order.
//   - Rules, sets and elements are data with two renderings: nft's text here, which
//     also names chains, and the kernel's bytes in enforcer. Nothing reads either back.
//   - Our table only drops or falls through ("accept" ends only our own base
//     chain), and uses no packet marks.
//   - What holds intervals never changes in place: port maps, CIDR sets and the
//     chains that use them are named by their content. Only hash sets, verdict
//     maps without intervals, and rules change, and for these one nftables
//     transaction is atomic for packets in flight. See [Plan].
//   - The result of [Compiler.Update] equals, object for object, what a new
//     Compiler would make of the same state.
package compiler
