package detect

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// Traffic control sits in front of nftables: what it sends elsewhere at an interface
// never comes to that interface's hooks of family netdev, nor to a hook behind them.
// BPF programs at tc hang on a clsact or ingress qdisc, or on the interface itself (tcx,
// from Linux 6.6); XDP programs sit in front of all. Netlink shows all but tcx, which
// the system call bpf shows where it is allowed: see programs.go.
//
// What a program does cannot be read with the rights that an agent has. Those that see
// packets of Pods before us may redirect them past us, as Cilium's do, so the node is not
// ready until the operator says of them that they do not.

// Parents of filters, of linux/pkt_sched.h. An ingress qdisc has the first
// alone.
const (
	atIngress = 0xfffffff2
	atEgress  = 0xfffffff3
)

// Attributes and values that the libraries do not name.
const (
	tcaKind         = 1
	tcaOptions      = 2
	tcaActKind      = 1
	tcaActOptions   = 2
	tcaMirredParms  = 2
	tcaBPFName      = 7
	mirredEaction   = 20
	mirredIfindex   = 24
	mirredSize      = 28
	egressRedirect  = 1
	ingressRedirect = 3
	iflaXDP         = 43
	iflaXDPAttached = 2
	iflaXDPProgram  = 4
)

// actionsIn is the attribute with the actions, by the kind of filter.
var actionsIn = map[string]uint16{"basic": 3, "bpf": 1, "cgroup": 1, "flower": 3, "fw": 4, "matchall": 2, "u32": 7}

// tcFilter is what matters of a filter.
type tcFilter struct {
	kind string
	// name is a BPF program's.
	name string
	// actions are the kinds of the filter's actions.
	actions []string
	// to are the interfaces that it sends packets to, instead of on their way: out of
	// that interface, or, for those in back, as if they had come by it.
	to, back []int
}

// trafficFindings tell which interfaces' packets take another way.
func (s Search) trafficFindings() ([]Finding, error) {
	socket, err := nlsocket.Open(s.NS, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	var out []Finding
	qdiscs, err := ingressQdiscs(socket)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, index := range slices.Sorted(maps.Keys(qdiscs)) {
		i := s.Interfaces[index]
		if i == nil {
			continue
		}
		found, err := s.filterFindings(socket, i, qdiscs[index])
		out = append(out, found...)
		errs = append(errs, err)
	}
	programs, err := xdpPrograms(socket)
	for _, p := range programs {
		out = append(out, s.programFindings(p)...)
	}
	errs = append(errs, err)
	programs, err = s.tcxPrograms()
	for _, p := range programs {
		out = append(out, s.programFindings(p)...)
	}
	return out, errors.Join(append(errs, err)...)
}

// ingressQdiscs are the interfaces with one, by index, and which.
func ingressQdiscs(s *nlsocket.Socket) (map[int]string, error) {
	var out map[int]string
	err := nlsocket.DumpWhole(func() error {
		out = map[int]string{}
		req := s.Request(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
		req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC})
		return s.Each(req, func(msg []byte) {
			index, kind, _ := tcMessage(msg)
			if kind == "ingress" || kind == "clsact" {
				out[index] = kind
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list qdiscs: %w", err)
	}
	return out, nil
}

// tcMessage is what all messages about traffic control begin with.
func tcMessage(msg []byte) (index int, kind string, options []byte) {
	if len(msg) < nl.SizeofTcMsg {
		return 0, "", nil
	}
	for a := range nlsocket.Attrs(msg[nl.SizeofTcMsg:]) {
		switch a.Kind {
		case tcaKind:
			kind = unix.ByteSliceToString(a.Value)
		case tcaOptions:
			options = a.Value
		}
	}
	return nlsocket.Int(msg[4:8]), kind, options
}

// filterFindings say where an interface's filters send packets, and which
// programs see them.
func (s Search) filterFindings(socket *nlsocket.Socket, i *links.Interface, qdisc string) ([]Finding, error) {
	var out []Finding
	for _, at := range []struct {
		parent uint32
		name   string
	}{{atIngress, "ingress"}, {atEgress, "egress"}} {
		if at.parent == atEgress && qdisc != "clsact" {
			continue
		}
		filters, err := tcFilters(socket, i.Index, at.parent)
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
			continue // it is gone, or its qdisc is
		}
		if err != nil {
			return out, fmt.Errorf("list filters of %s: %w", i.Name, err)
		}
		out = append(out, s.describeFilters(i, at.name, filters)...)
	}
	return out, nil
}

// describeFilters tells of what filters do at an interface. An ifb gives back what it is
// given, which goes on where it was; what is sent as if it had come by another interface
// comes to our hooks there. All else is out of our sight.
func (s Search) describeFilters(i *links.Interface, at string, filters []tcFilter) []Finding {
	detours, away := map[string]bool{}, map[string]bool{}
	programs := attached{iface: i, at: "tc " + at, ingress: at == "ingress", mend: `"tc filter show dev ` + i.Name + " " + at + `"`}
	for _, f := range filters {
		for _, to := range f.back {
			detours[s.nameInterface(to)] = true
		}
		for _, to := range f.to {
			if t := s.Interfaces[to]; t != nil && t.Kind != "ifb" && at == "ingress" && s.Ways[i.Index] {
				away[s.nameInterface(to)] = true
				continue
			}
			detours[s.nameInterface(to)] = true
		}
		if f.kind == "bpf" || slices.Contains(f.actions, "bpf") {
			programs.names = append(programs.names, cmp.Or(f.name, "one without a name"))
		}
	}
	out := s.programFindings(programs)
	see := `see "tc filter show dev ` + i.Name + " " + at + `"`
	if len(detours) > 0 {
		out = append(out, Finding{
			What: "TrafficRedirect", Object: "interface " + i.Name,
			Message: fmt.Sprintf("a filter at tc %s sends its frames through %s (as the CNI plug-in bandwidth does): they pass by hooks of family netdev there, and are judged where they come out again", at, listed(detours)),
			Mend:    "nothing, if a bandwidth limit is wanted; otherwise " + see,
		})
	}
	if len(away) > 0 {
		out = append(out, Finding{
			What: "TrafficBypass", Object: "interface " + i.Name,
			Message: fmt.Sprintf("a filter at tc %s sends its frames out of %s: they come to no hook that judges", at, listed(away)),
			Mend:    "take it away, or have it redirect to an ifb: " + see,
		})
	}
	return out
}

func (s Search) nameInterface(index int) string {
	if t := s.Interfaces[index]; t != nil {
		return strings.TrimSpace(t.Kind + " " + t.Name)
	}
	return fmt.Sprintf("interface %d", index)
}

func listed(names map[string]bool) string {
	return strings.Join(FirstOf(slices.Sorted(maps.Keys(names)), 5), ", ")
}

// maxFilters bounds what is kept of an interface's filters.
const maxFilters = 256

func tcFilters(s *nlsocket.Socket, index int, parent uint32) ([]tcFilter, error) {
	var out []tcFilter
	err := nlsocket.DumpWhole(func() error {
		out = nil
		req := s.Request(unix.RTM_GETTFILTER, unix.NLM_F_DUMP)
		req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(index), Parent: parent})
		return s.Each(req, func(msg []byte) {
			if _, kind, options := tcMessage(msg); options != nil && len(out) < maxFilters {
				out = append(out, filterOf(kind, options))
			}
		})
	})
	return out, err
}

// filterOf reads a filter's options. Of a kind that is not known only the kind
// is told.
func filterOf(kind string, options []byte) tcFilter {
	f := tcFilter{kind: kind}
	in, known := actionsIn[kind]
	for a := range nlsocket.Attrs(options) {
		switch {
		case known && a.Kind == in:
			for action := range nlsocket.Attrs(a.Value) {
				f.readAction(action.Value)
			}
		case kind == "bpf" && a.Kind == tcaBPFName:
			f.name = unix.ByteSliceToString(a.Value)
		}
	}
	return f
}

func (f *tcFilter) readAction(action []byte) {
	var kind string
	var options []byte
	for a := range nlsocket.Attrs(action) {
		switch a.Kind {
		case tcaActKind:
			kind = unix.ByteSliceToString(a.Value)
		case tcaActOptions:
			options = a.Value
		}
	}
	f.actions = append(f.actions, kind)
	if kind != "mirred" {
		return
	}
	for a := range nlsocket.Attrs(options) {
		if a.Kind != tcaMirredParms || len(a.Value) < mirredSize {
			continue
		}
		switch to := nlsocket.Int(a.Value[mirredIfindex:mirredSize]); nlsocket.Int(a.Value[mirredEaction:mirredIfindex]) {
		case egressRedirect:
			f.to = append(f.to, to)
		case ingressRedirect:
			f.back = append(f.back, to)
		}
	}
}
