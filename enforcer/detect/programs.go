package detect

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"unsafe"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// attached are BPF programs at one place of an interface.
type attached struct {
	iface *links.Interface
	// at is the place, as people write it: "tc ingress", "tcx ingress", "XDP".
	at string
	// ingress: they see what comes by the interface before our hooks do. What they see
	// on its way out was judged.
	ingress bool
	names   []string
	// mend is how to see what is there.
	mend string
}

// programFindings tell of programs: those that may take packets of Pods past us, and
// all others.
func (s Search) programFindings(p attached) []Finding {
	may, others := map[string]bool{}, map[string]bool{}
	for _, name := range p.names {
		if s.programs != nil && len(s.programs) < maxForeign {
			s.programs[name] = true
		}
		harmless := links.MatchAny(s.Harmless, name) || p.at == placeXDP && links.MatchAny(s.Harmless, "xdp@"+p.iface.Name)
		if p.ingress && s.Ways[p.iface.Index] && !harmless {
			may[name] = true
		} else {
			others[name] = true
		}
	}
	var out []Finding
	if len(may) > 0 {
		c := Finding{
			What: "TrafficBypass", Object: "interface " + p.iface.Name,
			Message: fmt.Sprintf("BPF programs at %s (%s) see packets of Pods before our hooks, and may redirect them past these, as Cilium's do", p.at, listed(may)),
			Mend:    "see what put them there: " + p.mend + `, "bpftool net"; name them with --harmless-programs if they send nothing elsewhere`,
		}
		if p.at == placeXDP {
			c.Mend += " (xdp@" + p.iface.Name + ")"
		}
		out = append(out, c)
	}
	if len(others) > 0 {
		out = append(out, Finding{
			What: "TrafficProgram", Object: "interface " + p.iface.Name,
			Message: fmt.Sprintf("BPF programs at %s (%s) see its frames, and may drop them", p.at, listed(others)),
			Mend:    "if an allowed connection fails, see what put them there: " + p.mend + `, "bpftool net"`,
		})
	}
	return out
}

const placeXDP = "XDP"

// xdpPrograms are the interfaces with one.
func xdpPrograms(s *nlsocket.Socket) ([]attached, error) {
	var out []attached
	err := nlsocket.DumpWhole(func() error {
		out = nil
		req := s.Request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		return s.Each(req, func(msg []byte) {
			i, ok := links.InterfaceOf(msg)
			if program, has := xdpOf(msg); ok && has {
				out = append(out, attached{
					iface: &i, at: placeXDP, ingress: true, names: []string{programName(uint32(program))},
					mend: `"ip -d link show ` + i.Name + `"`,
				})
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces with XDP programs: %w", err)
	}
	return out, nil
}

// xdpOf is the number of an interface's XDP program.
func xdpOf(msg []byte) (program int, has bool) {
	for a := range nlsocket.Attrs(msg[unix.SizeofIfInfomsg:]) {
		if a.Kind != iflaXDP {
			continue
		}
		for x := range nlsocket.Attrs(a.Value) {
			switch x.Kind {
			case iflaXDPAttached:
				has = len(x.Value) > 0 && x.Value[0] != 0
			case iflaXDPProgram:
				program = nlsocket.Int(x.Value)
			}
		}
	}
	return program, has
}

// What package unix does not name, of linux/bpf.h.
const (
	bpfTCXIngress = 46
	bpfTCXEgress  = 47
	// maxPrograms is how many programs at one place are told.
	maxPrograms = 64
)

// bpfQuery is the part of union bpf_attr for BPF_PROG_QUERY.
type bpfQuery struct {
	ifindex, kind uint32
	flags, attach uint32
	programs      uint64
	count         uint32
	_             uint32
	rest          [4]uint64
}

// tcxPrograms are those on the interfaces themselves. Kernels before 6.6 have none
// (EINVAL), and an agent in a container is mostly kept from asking (EPERM, by seccomp):
// then nothing is known of them.
func (s Search) tcxPrograms() ([]attached, error) {
	var out []attached
	err := s.NS.Do(func() error {
		for _, index := range slices.Sorted(maps.Keys(s.Interfaces)) {
			for _, at := range []struct {
				kind uint32
				name string
			}{{bpfTCXIngress, "tcx ingress"}, {bpfTCXEgress, "tcx egress"}} {
				names, err := programsAt(index, at.kind)
				switch {
				case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSYS):
					return nil
				case errors.Is(err, unix.ENODEV):
					continue
				case err != nil:
					return fmt.Errorf("list programs at %s of %s: %w", at.name, s.Interfaces[index].Name, err)
				}
				if len(names) > 0 {
					out = append(out, attached{iface: s.Interfaces[index], at: at.name, ingress: at.kind == bpfTCXIngress, names: names, mend: `"bpftool net show dev ` + s.Interfaces[index].Name + `"`})
				}
			}
		}
		return nil
	})
	return out, err
}

// programsAt names the programs at one place of an interface of the thread's namespace.
func programsAt(index int, kind uint32) ([]string, error) {
	var pins runtime.Pinner
	defer pins.Unpin()
	ids := new([maxPrograms]uint32)
	pins.Pin(ids)
	query := bpfQuery{ifindex: uint32(index), kind: kind, programs: uint64(uintptr(unsafe.Pointer(ids))), count: maxPrograms} //nolint:gosec // The kernel writes the numbers there; they are pinned.
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&query)), unsafe.Sizeof(query))     //nolint:gosec // The kernel reads the query, and writes its count.
	// ENOSPC: there are more, and the first of them were told.
	if errno != 0 && errno != unix.ENOSPC {
		return nil, errno
	}
	var out []string
	for _, id := range ids[:min(query.count, maxPrograms)] {
		out = append(out, programName(id))
	}
	return out, nil
}

// bpfInfo is struct bpf_prog_info up to the name.
type bpfInfo struct {
	kind, id      uint32
	tag           [8]byte
	jited, xlated uint32
	code          [2]uint64
	loaded        uint64
	user, maps    uint32
	mapIDs        uint64
	name          [16]byte
}

// programName is a program's name, or its number where it may not be asked for.
func programName(id uint32) string {
	number := fmt.Sprintf("program %d", id)
	get := struct{ id, next, flags uint32 }{id: id}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_GET_FD_BY_ID, uintptr(unsafe.Pointer(&get)), unsafe.Sizeof(get)) //nolint:gosec // The kernel reads it.
	if errno != 0 {
		return number
	}
	defer func() { _ = unix.Close(int(fd)) }()
	var pins runtime.Pinner
	defer pins.Unpin()
	info := new(bpfInfo)
	pins.Pin(info)
	ask := struct {
		fd, size uint32
		info     uint64
	}{uint32(fd), uint32(unsafe.Sizeof(*info)), uint64(uintptr(unsafe.Pointer(info)))} //nolint:gosec // The kernel writes there what it tells of the program.
	_, _, errno = unix.Syscall(unix.SYS_BPF, unix.BPF_OBJ_GET_INFO_BY_FD, uintptr(unsafe.Pointer(&ask)), unsafe.Sizeof(ask)) //nolint:gosec // The kernel writes there what it tells of the program.
	if name := unix.ByteSliceToString(info.name[:]); errno == 0 && name != "" {
		return name
	}
	return number
}
