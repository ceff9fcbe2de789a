package tables

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// makerOf is the process that made a generation, as its notice says: the name
// that it gave itself, and its number outside of all PID namespaces.
func makerOf(data []byte) string {
	var name string
	var pid uint32
	for a := range nlsocket.Attrs(data[nl.SizeofNfgenmsg:]) {
		switch {
		case a.Kind == unix.NFTA_GEN_PROC_NAME:
			name = unix.ByteSliceToString(a.Value)
		case a.Kind == unix.NFTA_GEN_PROC_PID && len(a.Value) == 4:
			pid = binary.BigEndian.Uint32(a.Value)
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%q (PID %d)", name, pid)
}

// mostBlamed bounds how many are named.
const mostBlamed = 3

// blame names who made the generations that are not ours, a few of them.
func (d *Drift) blame() string {
	var out []string
	for _, g := range d.strange {
		if m := d.makers[g]; m != "" && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	if more := len(out) - mostBlamed; more > 0 {
		out = append(out[:mostBlamed], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}

// Blamed names who changed our tables, as far as the last Check knew; empty if
// it did not.
func (d *Drift) Blamed() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.blamed
}
