// Package enforcer brings the compiler's plans into the kernel and keeps them
// there.
package enforcer
