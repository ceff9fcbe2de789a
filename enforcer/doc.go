// Package enforcer brings the compiler's plans into the kernel and keeps them
// there. README.md beside this file states its invariants.
package enforcer
