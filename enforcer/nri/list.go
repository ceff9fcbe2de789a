package nri

import (
	"errors"
	"net/netip"

	"github.com/containerd/nri/pkg/api"
	"k8s.io/apimachinery/pkg/types"
)

// maxSandboxes is what a list may hold. Kubernetes is made for 110 Pods on a
// node, and the kubelet keeps few that have ended.
const maxSandboxes = 8192

// listed is a sandbox of a list.
type listed struct {
	Sandbox
	id string
	// runs: its first process does. Where it does not, the sandbox has ended, or
	// the runtime needs no process for one, as CRI-O by default.
	runs bool
}

// standing chooses of a list what is beyond doubt. A Pod has one sandbox and an
// address is one Pod's: of several the one whose process runs counts, and if
// there is not exactly one, none does. The API knows their addresses, for none
// of them has only just started.
func standing(list []listed) []listed {
	of := map[types.UID]contest{}
	for i, s := range list {
		of[s.UID] = of[s.UID].with(i, s.runs)
	}
	at := map[netip.Addr]contest{}
	for i, s := range list {
		for _, a := range s.Addrs {
			at[a] = at[a].with(i, s.runs)
		}
	}
	var out []listed
	for i, s := range list {
		won := of[s.UID].winner() == i
		for _, a := range s.Addrs {
			won = won && at[a].winner() == i
		}
		if won {
			out = append(out, s)
		}
	}
	return out
}

// contest is between the sandboxes of a list, by index, that claim the same.
type contest struct {
	claims, running     int
	lastClaim, lastRuns int
}

func (c contest) with(i int, runs bool) contest {
	c.claims, c.lastClaim = c.claims+1, i
	if runs {
		c.running, c.lastRuns = c.running+1, i
	}
	return c
}

// winner is -1 if there is none.
func (c contest) winner() int {
	switch {
	case c.running == 1:
		return c.lastRuns
	case c.claims == 1:
		return c.lastClaim
	}
	return -1
}

// readList understands what it can of a list, and says how many it could not.
func readList(pods []*api.PodSandbox) (list []listed, unread int, problem error) {
	for _, pod := range pods {
		s, err := read(pod)
		switch {
		case err == nil:
			list = append(list, listed{s, pod.GetId(), pod.GetPid() != 0})
		case !errors.Is(err, errNodeNetwork):
			problem = err
			unread++
		}
	}
	return list, unread, problem
}
