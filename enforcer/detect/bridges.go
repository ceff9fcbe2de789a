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
const (
	callIPTablesPath  = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	callIP6TablesPath = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
)

// NoBridgeFilter says that bridged packets have no hooks of iptables and nftables at all. A
// bridge takes its own switches even so, to no effect.
type NoBridgeFilter struct{ path string }

func (e *NoBridgeFilter) Error() string {
	return e.path + " does not exist: load the kernel module br_netfilter"
}

// BridgeSwitches reads the namespace's, for IPv4 and IPv6.
func BridgeSwitches(ns netns.Namespace) (four, six bool, err error) {
	err = ns.Do(func() error {
		var err4, err6 error
		four, err4 = readSwitch(callIPTablesPath)
		six, err6 = readSwitch(callIP6TablesPath)
		return errors.Join(err4, err6)
	})
	return four, six, err
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
