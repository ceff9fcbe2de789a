package enforcer

import (
	"errors"
	"fmt"

	"github.com/sluice-net/sluice/enforcer/detect"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
)

// bridgeNetfilter keeps packets between two ports of a bridge going through the
// forward hook. Without it Pods behind the same bridge reach each other unseen.
//
// There is a switch in each network namespace and one in each bridge; either is
// enough. The bridge's is set even where the namespace's is on: others set that one as
// they please, and packets would be out of sight until somebody looks. Only the
// bridge's is ever set: it is no wider than what we are answerable for, and a
// container may set it by netlink where /proc/sys is read-only.
type bridgeNetfilter struct {
	ns netns.Namespace
	// checkOnly never sets anything.
	checkOnly bool
}

// bridgeSwitches is what became of the switches.
type bridgeSwitches struct {
	// changed: something was set.
	changed bool
	// borrowed are the bridges that only the namespace's switches keep in sight,
	// though theirs may be set, with the reason.
	borrowed map[string]error
}

// Ensure checks the switches, sets them where it may, and fails if Pods behind
// one of the bridges are out of reach of policies.
func (b bridgeNetfilter) Ensure(bridges []*links.Interface) (out bridgeSwitches, err error) {
	if len(bridges) == 0 {
		return out, nil
	}
	four, six, err := detect.BridgeSwitches(b.ns)
	if err != nil {
		return out, fmt.Errorf("enforce policies between Pods of a bridge: %w", err)
	}
	var errs []error
	out.borrowed = map[string]error{}
	for _, i := range bridges {
		inSight := (four || i.CallIPTables) && (six || i.CallIP6Tables)
		if i.CallIPTables && i.CallIP6Tables || inSight && b.checkOnly {
			continue
		}
		err := b.set(i)
		switch {
		case err == nil:
			out.changed = true
		case inSight:
			out.borrowed[i.Name] = err
		default:
			errs = append(errs, fmt.Errorf("enforce policies between Pods of bridge %s: %w", i.Name, err))
		}
	}
	return out, errors.Join(errs...)
}

// conditions say which bridges are in sight by somebody else's grace.
func (s bridgeSwitches) conditions() []Condition {
	var out []Condition
	for name, err := range s.borrowed {
		out = append(out, Condition{
			What: "BridgeSwitch", Object: "bridge " + name,
			Message: "only bridge-nf-call-iptables and its IPv6 twin bring its packets past our hooks, and its own switches cannot be set: " + err.Error(),
			Mend:    "set nf_call_iptables and nf_call_ip6tables of the bridge, or run with --keep-bridge-netfilter",
		})
	}
	return out
}

func (b bridgeNetfilter) set(bridge *links.Interface) error {
	if b.checkOnly {
		return errors.New("neither its nf_call_iptables and nf_call_ip6tables are 1, nor bridge-nf-call-iptables and its IPv6 twin; setting them is switched off")
	}
	return links.SwitchOnNetfilter(b.ns, bridge)
}
