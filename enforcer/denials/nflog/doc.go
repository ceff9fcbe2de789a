// Package nflog reads what the rules of a network namespace log of denied packets, and
// asks the kernel how many packets of a flow it has denied since. It needs Linux, and
// knows nothing of policies.
package nflog
