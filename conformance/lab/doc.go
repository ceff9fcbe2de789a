// Package lab builds nodes and Pods as network namespaces and sends real
// packets between them.
package lab
