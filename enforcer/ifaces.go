package enforcer

import (
	"encoding/binary"
	"fmt"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// iface is what matters of a network interface.
type iface struct {
	index int
	name  string
	kind  string // as in "ip link show type KIND"
	// master is the bridge that it is a port of, 0 for none.
	master int
	// peer and nsid name the other end of a veth; nsid is -1 if that is in our
	// own namespace.
	peer, nsid int
	mac        net.HardwareAddr
	// callIPTables and callIP6Tables are a bridge's own switches.
	callIPTables, callIP6Tables bool
}

// leadsOut reports whether the interface is a veth whose other end is in
// another namespace: what a Pod hangs on.
func (i *iface) leadsOut() bool { return i.kind == "veth" && i.nsid >= 0 && i.peer != 0 }

// Attributes that the libraries do not name, of linux/if_link.h and
// linux/if_addr.h.
const (
	iflaTargetNetnsid   = 46
	ifaTargetNetnsid    = 10
	iflaBrCallIPTables  = 36
	iflaBrCallIP6Tables = 37
)

// ifaceOf reads a link message.
func ifaceOf(msg []byte) (iface, bool) {
	if len(msg) < unix.SizeofIfInfomsg {
		return iface{}, false
	}
	i := iface{index: int(int32(binary.NativeEndian.Uint32(msg[4:]))), nsid: -1}
	for a := range attrs(msg[unix.SizeofIfInfomsg:]) {
		switch a.kind {
		case unix.IFLA_IFNAME:
			i.name = unix.ByteSliceToString(a.value)
		case unix.IFLA_ADDRESS:
			i.mac = append(net.HardwareAddr(nil), a.value...)
		case unix.IFLA_MASTER:
			i.master = attrInt(a.value)
		case unix.IFLA_LINK:
			i.peer = attrInt(a.value)
		case unix.IFLA_LINK_NETNSID:
			i.nsid = attrInt(a.value)
		case unix.IFLA_LINKINFO:
			i.readInfo(a.value)
		}
	}
	return i, i.name != ""
}

func (i *iface) readInfo(info []byte) {
	var data []byte
	for a := range attrs(info) {
		switch a.kind {
		case nl.IFLA_INFO_KIND:
			i.kind = unix.ByteSliceToString(a.value)
		case nl.IFLA_INFO_DATA:
			data = a.value
		}
	}
	if i.kind != "bridge" {
		return
	}
	for a := range attrs(data) {
		set := len(a.value) == 1 && a.value[0] != 0
		switch a.kind {
		case iflaBrCallIPTables:
			i.callIPTables = set
		case iflaBrCallIP6Tables:
			i.callIP6Tables = set
		}
	}
}

func attrInt(b []byte) int {
	if len(b) != 4 {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(b)))
}

// listIfaces reads all interfaces of the socket's namespace.
func listIfaces(s *nlSocket) (map[int]*iface, error) {
	var out map[int]*iface
	err := dumpWhole(func() error {
		out = map[int]*iface{}
		req := s.request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		return s.each(req, func(msg []byte) {
			if i, ok := ifaceOf(msg); ok {
				out[i.index] = &i
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return out, nil
}

// dumpWhole repeats a dump until it is not interrupted.
func dumpWhole(dump func() error) error {
	var err error
	for range dumpTries {
		if err = dump(); err == nil || !dumpAgain(err) {
			return err
		}
	}
	return err
}
