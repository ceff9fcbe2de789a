// Package beyond holds tests of a policy engine on a real cluster for what
// users meet and the upstream suite does not ask. "make beyond" runs them.
//
// A Pod of these tests runs agnhost's netexec. The tests put the prober of this
// directory into it, through netexec's upload and a port that is forwarded into
// the Pod, neither of which touches the Pod's network, and tell the prober what
// to send and to answer.
package beyond
