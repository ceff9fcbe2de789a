// Package denials holds the way of a denied packet, from the rules through the kernel's
// log to the denial that people read, against real packets.
package denials
