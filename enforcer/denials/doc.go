// Package denials makes of what the kernel logs of denied packets what people want to
// know: which Pods, which port, and why, by the policies that were in force when the
// packet was judged. It keeps the last denials, hands new ones to who follows, counts
// them, and knows how they are asked for. It touches no kernel: see its package nflog.
package denials
