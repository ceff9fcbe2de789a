// Package sockets holds the engine to what applications see whose sockets are of SCTP. The
// lab speaks SCTP by raw sockets, which every kernel has, and which are not the kernel's
// own SCTP: where that is loaded both would answer. So these tests have a package, and a
// machine, of their own: see conformance/kernels.
package sockets
