package lab

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileLimit raises the limit of open files as far as it goes and returns it.
func fileLimit() int {
	const want = 1 << 17
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 1024
	}
	if lim.Cur >= want {
		return want
	}
	raised := unix.Rlimit{Cur: want, Max: max(want, lim.Max)}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
		return want
	}
	// Without CAP_SYS_RESOURCE the hard limit stays.
	raised = unix.Rlimit{Cur: lim.Max, Max: lim.Max}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
		return int(lim.Max)
	}
	return int(lim.Cur)
}

// standingFiles is about how many files a lab holds while nothing is probed:
// a namespace has itself, its netlink socket and a raw socket or two, and each
// port a server.
func standingFiles(s *Spec) int {
	n := 256
	for _, p := range s.Pods {
		n += 6 + len(p.Addrs)*len(p.Ports)
	}
	return n + 8*len(s.Nodes)
}

// filesPerFlow are client, server and accepted connection.
const filesPerFlow = 3

// parallelFlows is how many flows fit under the limit of open files.
func parallelFlows(s *Spec) int {
	return max(1, min(4096, (fileLimit()-standingFiles(s))/filesPerFlow))
}

// checkFileLimit refuses a lab that would run out of files.
func checkFileLimit(s *Spec) error {
	if limit, need := fileLimit(), standingFiles(s)+64*filesPerFlow; limit < need {
		return fmt.Errorf("%d Pods need %d open files and the limit is %d: raise it (ulimit -n)", len(s.Pods), need, limit)
	}
	return nil
}
