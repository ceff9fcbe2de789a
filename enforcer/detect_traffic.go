package enforcer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// Traffic control sits in front of nftables: what it sends elsewhere at an
// interface never comes to that interface's hooks of family netdev. Of BPF
// programs netlink shows those that hang on a clsact or ingress qdisc, and XDP;
// those that hang on the interface itself (tcx, netkit) it does not.

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
	// to are the interfaces that it sends packets to, instead of on their way.
	to []int
}

// trafficConditions tell which interfaces' packets take another way.
func trafficConditions(ns netns.Namespace, ifaces map[int]*links.Interface) ([]Condition, error) {
	socket, err := nlsocket.Open(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	var out []Condition
	qdiscs, err := ingressQdiscs(socket)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, index := range slices.Sorted(maps.Keys(qdiscs)) {
		i := ifaces[index]
		if i == nil {
			continue
		}
		found, err := filterConditions(socket, i, qdiscs[index], ifaces)
		out = append(out, found...)
		errs = append(errs, err)
	}
	programs, err := xdpPrograms(socket)
	for _, name := range programs {
		out = append(out, Condition{
			What: "TrafficProgram", Object: "interface " + name,
			Message: "it has an XDP program, which sees frames before anything else and may drop them or send them elsewhere",
			Mend:    `see what put it there: "ip -d link show ` + name + `", "bpftool net"`,
		})
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

// filterConditions say where an interface's filters send packets, and which
// programs see them.
func filterConditions(s *nlsocket.Socket, i *links.Interface, qdisc string, ifaces map[int]*links.Interface) ([]Condition, error) {
	var out []Condition
	for _, at := range []struct {
		parent uint32
		name   string
	}{{atIngress, "ingress"}, {atEgress, "egress"}} {
		if at.parent == atEgress && qdisc != "clsact" {
			continue
		}
		filters, err := tcFilters(s, i.Index, at.parent)
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
			continue // it is gone, or its qdisc is
		}
		if err != nil {
			return out, fmt.Errorf("list filters of %s: %w", i.Name, err)
		}
		out = append(out, describeFilters(i, at.name, filters, ifaces)...)
	}
	return out, nil
}

func describeFilters(i *links.Interface, at string, filters []tcFilter, ifaces map[int]*links.Interface) []Condition {
	targets, programs := map[string]bool{}, map[string]bool{}
	for _, f := range filters {
		for _, to := range f.to {
			name := fmt.Sprintf("interface %d", to)
			if t := ifaces[to]; t != nil {
				name = strings.TrimSpace(t.Kind + " " + t.Name)
			}
			targets[name] = true
		}
		if f.kind == "bpf" || slices.Contains(f.actions, "bpf") {
			programs[f.name] = true
		}
	}
	var out []Condition
	if len(targets) > 0 {
		out = append(out, Condition{
			What: "TrafficRedirect", Object: "interface " + i.Name,
			Message: fmt.Sprintf("a filter at tc %s sends its frames through %s (as the CNI plug-in bandwidth does): they pass by hooks of family netdev there, and are judged where they come out again", at, strings.Join(firstOf(slices.Sorted(maps.Keys(targets)), 5), ", ")),
			Mend:    `nothing, if a bandwidth limit is wanted; otherwise see "tc filter show dev ` + i.Name + " " + at + `"`,
		})
	}
	if len(programs) > 0 {
		out = append(out, Condition{
			What: "TrafficProgram", Object: "interface " + i.Name,
			Message: fmt.Sprintf("BPF programs at tc %s (%s) see its frames before nftables, and may drop them or send them elsewhere", at, strings.Join(firstOf(slices.Sorted(maps.Keys(programs)), 5), ", ")),
			Mend:    `see what put them there: "tc filter show dev ` + i.Name + " " + at + `", "bpftool net"`,
		})
	}
	return out
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
		if e := nlsocket.Int(a.Value[mirredEaction:mirredIfindex]); e == egressRedirect || e == ingressRedirect {
			f.to = append(f.to, nlsocket.Int(a.Value[mirredIfindex:mirredSize]))
		}
	}
}

// xdpPrograms are the interfaces with one.
func xdpPrograms(s *nlsocket.Socket) ([]string, error) {
	var out []string
	err := nlsocket.DumpWhole(func() error {
		out = nil
		req := s.Request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		return s.Each(req, func(msg []byte) {
			if i, ok := links.InterfaceOf(msg); ok && hasXDP(msg) {
				out = append(out, i.Name)
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces with XDP programs: %w", err)
	}
	return out, nil
}

func hasXDP(msg []byte) bool {
	for a := range nlsocket.Attrs(msg[unix.SizeofIfInfomsg:]) {
		if a.Kind != iflaXDP {
			continue
		}
		for x := range nlsocket.Attrs(a.Value) {
			if x.Kind == iflaXDPAttached && len(x.Value) > 0 && x.Value[0] != 0 {
				return true
			}
		}
	}
	return false
}
