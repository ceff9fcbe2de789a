package detect

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
)

// flowtableFindings name those that take packets of Pods past the forward hook. A
// flowtable takes what comes by its devices, of connections that some rule gave it: they
// pass no hook any more until they end, so that no change of a policy cuts them. Who may
// begin one was judged. Where no rule gives it any, or its devices carry no Pods, it
// does nothing to us.
func (s Search) flowtableFindings() ([]Finding, error) {
	found, err := flowtables(s.NS)
	return s.describeFlowtables(found), err
}

func (s Search) describeFlowtables(found []flowtable) []Finding {
	ways := map[string]bool{}
	for index := range s.Ways {
		if i := s.Interfaces[index]; i != nil {
			ways[i.Name] = true
		}
	}
	var out []Finding
	for _, f := range found {
		devices := slices.DeleteFunc(slices.Clone(f.devices), func(name string) bool { return !ways[name] })
		if f.uses == 0 || len(devices) == 0 {
			continue
		}
		slices.Sort(devices)
		out = append(out, Finding{
			What: "Flowtable", Object: "flowtable " + f.name,
			Message: fmt.Sprintf("connections of Pods that it takes over come by %s past our hooks, so that a change of policy does not cut them", strings.Join(FirstOf(devices, 10), ", ")),
			Mend:    "switch off the offloading of what made it, or take the interfaces of Pods, and those that lead out, from it",
		})
	}
	return out
}

// flowtable is one of another program.
type flowtable struct {
	name    string
	devices []string
	// uses is how many rules give it connections.
	uses uint32
}

// maxFlowtables bounds what is kept of them.
const maxFlowtables = 1000

// flowtables lists those of all tables.
func flowtables(ns netns.Namespace) ([]flowtable, error) {
	var out []flowtable
	err := nftwire.Ask(ns, func(socket *nftwire.Socket) error {
		return socket.Flowtables(maxFlowtables, func(f nftwire.Flowtable) {
			// Only these families have a forward path to bypass.
			if f.Family == unix.NFPROTO_IPV4 || f.Family == unix.NFPROTO_IPV6 || f.Family == unix.NFPROTO_INET {
				out = append(out, flowtable{familyNames[f.Family] + " " + f.Table + " " + f.Name, f.Devices, f.Uses})
			}
		})
	})
	return out, err
}
