package detect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/sluice-net/sluice/enforcer/netns"
)

// The switches of a network namespace that bring packets of all bridges past the hooks.
// Those in frames that bear a tag need another one besides, which is off by default.
const (
	callIPTablesPath  = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	callIP6TablesPath = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
	filterTaggedPath  = "/proc/sys/net/bridge/bridge-nf-filter-vlan-tagged"
)

// BridgeSwitches are a network namespace's.
type BridgeSwitches struct {
	// IPv4 and IPv6 bring packets of all bridges past the hooks, where a bridge's own
	// switches do not.
	IPv4, IPv6 bool
	// Tagged brings those in frames with a VLAN's tag along, of each bridge whose others
	// come past the hooks.
	Tagged bool
}

// NoBridgeFilter says that bridged packets have no hooks of iptables and nftables at all. A
// bridge takes its own switches even so, to no effect.
type NoBridgeFilter struct{ path string }

func (e *NoBridgeFilter) Error() string {
	return e.path + " does not exist: load the kernel module br_netfilter"
}

// ReadBridgeSwitches reads them.
func ReadBridgeSwitches(ns netns.Namespace) (out BridgeSwitches, err error) {
	err = ns.Do(func() error {
		var err4, err6, errTagged error
		out.IPv4, err4 = readSwitch(callIPTablesPath)
		out.IPv6, err6 = readSwitch(callIP6TablesPath)
		out.Tagged, errTagged = readSwitch(filterTaggedPath)
		return errors.Join(err4, err6, errTagged)
	})
	return out, err
}

// readSwitch must be called inside the namespace.
func readSwitch(path string) (bool, error) {
	value, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, &NoBridgeFilter{path}
	}
	if err != nil {
		return false, fmt.Errorf("read the switch of bridge filtering: %w", err)
	}
	return strings.TrimSpace(string(value)) == "1", nil
}
