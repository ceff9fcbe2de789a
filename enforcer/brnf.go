package enforcer

import (
	"errors"
	"fmt"
	"strings"

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
//
// For frames with a VLAN's tag there is the namespace's bridge-nf-filter-vlan-tagged
// alone, and it is asked for where tags can reach Pods: [links.Bridge.HidesTagged]. It is
// not set either. Where bridge-nf-call-iptables is on, as Kubernetes has it, it sends the
// tagged frames of all bridges through all rules of the node: virtual machines of somebody
// else's would be cut off by a policy drop that never concerned them, and nobody would
// know why. Nor could an agent in a container set it.
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

// unfilteredBridge says that packets of a bridge do not come past our hooks.
type unfilteredBridge struct {
	name, mend string
	err        error
}

type unfilteredBridges []unfilteredBridge

func (list unfilteredBridges) Error() string {
	var out []string
	for _, b := range list {
		out = append(out, fmt.Sprintf("enforce policies between Pods of bridge %s: %v", b.name, b.err))
	}
	return strings.Join(out, "\n")
}

// Ensure checks the switches, sets them where it may, and fails if Pods behind
// one of the bridges are out of reach of policies.
func (b bridgeNetfilter) Ensure(bridges []links.Bridge) (out bridgeSwitches, err error) {
	if len(bridges) == 0 {
		return out, nil
	}
	switches, err := detect.ReadBridgeSwitches(b.ns)
	if err != nil {
		return out, fmt.Errorf("enforce policies between Pods of a bridge: %w", err)
	}
	var unfiltered unfilteredBridges
	out.borrowed = map[string]error{}
	for _, i := range bridges {
		err := b.ensure(i.Interface, switches, &out)
		if err == nil && i.HidesTagged() && !switches.Tagged {
			err = errTagsUnfiltered
		}
		if err != nil {
			unfiltered = append(unfiltered, unfilteredBridge{i.Name, mendOf(err), err})
		}
	}
	if len(unfiltered) > 0 {
		return out, unfiltered
	}
	return out, nil
}

// ensure sees to the packets of one bridge, but for those with tags.
func (b bridgeNetfilter) ensure(bridge *links.Interface, switches detect.BridgeSwitches, out *bridgeSwitches) error {
	inSight := (switches.IPv4 || bridge.CallIPTables) && (switches.IPv6 || bridge.CallIP6Tables)
	if bridge.CallIPTables && bridge.CallIP6Tables || inSight && b.checkOnly {
		return nil
	}
	err := b.set(bridge)
	switch {
	case err == nil:
		out.changed = true
	case inSight:
		out.borrowed[bridge.Name] = err
	default:
		return err
	}
	return nil
}

// errTagsUnfiltered is about a bridge that takes tags off frames and puts them on.
var errTagsUnfiltered = errors.New("it filters VLANs (vlan_filtering) and has a port that is no Pod's, and packets in frames with a tag come past no hook, to Pods and from them, as long as bridge-nf-filter-vlan-tagged is 0")

func mendOf(err error) string {
	if errors.Is(err, errTagsUnfiltered) {
		return `set the switch with "sysctl -w net.bridge.bridge-nf-filter-vlan-tagged=1", and in /etc/sysctl.d for the next boot (it counts for all bridges whose packets rules see), or switch vlan_filtering of the bridge off`
	}
	return loadBridgeFilter
}

// loadBridgeFilter mends all else that keeps packets of bridges from the hooks.
const loadBridgeFilter = "load br_netfilter on the node, and let the agent set nf_call_iptables of the bridge"

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
