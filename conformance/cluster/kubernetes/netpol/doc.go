// Package netpol is the upstream end-to-end suite with the NetworkPolicy tests
// alone: the whole suite takes four times as long to build, and what is left out
// would be skipped.
package netpol
