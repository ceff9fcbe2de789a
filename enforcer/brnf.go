package enforcer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// bridgeNetfilter keeps packets between two ports of a bridge going through the
// forward hook. Without it Pods behind the same bridge reach each other unseen.
type bridgeNetfilter struct {
	ns Netns
	// checkOnly never writes.
	checkOnly bool
}

// The switches of a network namespace. That of each bridge stands beside them;
// one of the two is enough.
const (
	callIPTablesPath  = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	callIP6TablesPath = "/proc/sys/net/bridge/bridge-nf-call-ip6tables"
)

// Ensure checks the switches, sets them where it may, and fails if Pods behind
// one of the bridges are out of reach of policies. It reports whether it set
// something.
func (b bridgeNetfilter) Ensure(bridges []*iface) (changed bool, err error) {
	var names []string
	for _, i := range bridges {
		if !i.callIPTables || !i.callIP6Tables {
			names = append(names, i.name)
		}
	}
	if len(names) == 0 {
		return false, nil
	}
	err = b.ns.Do(func() error {
		var errs []error
		for _, path := range []string{callIPTablesPath, callIP6TablesPath} {
			set, err := b.ensure(path)
			changed = changed || set
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return changed, fmt.Errorf("enforce policies between Pods of bridge %s: %w", strings.Join(names, ", "), err)
	}
	return changed, nil
}

func (b bridgeNetfilter) ensure(path string) (changed bool, err error) {
	value, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("%s does not exist: load the kernel module br_netfilter", path)
	}
	if err != nil {
		return false, err
	}
	if strings.TrimSpace(string(value)) == "1" {
		return false, nil
	}
	if b.checkOnly {
		return false, fmt.Errorf("%s is %s and must be 1; setting it is switched off", path, strings.TrimSpace(string(value)))
	}
	if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
		return false, fmt.Errorf("set to 1: %w", err)
	}
	return true, nil
}
