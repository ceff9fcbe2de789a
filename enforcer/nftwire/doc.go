// Package nftwire brings what the compiler makes, as data, into the kernel's own form and
// back: rules, sets and elements as netlink bytes, batches of them, and what our tables
// hold. README.md beside this file says how it is divided, and why it stands beside
// other netlink stacks.
package nftwire
