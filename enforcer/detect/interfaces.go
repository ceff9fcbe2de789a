package detect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// tunnelKinds are the kinds of devices that put packets into others.
var tunnelKinds = []string{"vxlan", "geneve", "bareudp", "gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ipip", "sit", "ip6tnl", "wireguard"}

// interfaces lists those of the node and says what each is for Pods.
func (l Look) interfaces(ctx context.Context, f *diagnosis.Facts) error {
	known, err := linksOf(ctx, l.NS, l.Patterns)
	if err != nil {
		return err
	}
	defer known.Close()
	ways := known.PodWays()
	socket, err := nlsocket.Open(l.NS, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer socket.Close()
	var list []diagnosis.Interface
	var lowers []int
	more := 0
	err = nlsocket.DumpWhole(func() error {
		list, lowers, more = nil, nil, 0
		req := socket.Request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		return socket.Each(req, func(msg []byte) {
			i, lower, ok := interfaceOf(msg, known.Interfaces(), ways)
			switch {
			case !ok:
			case len(list) == diagnosis.MaxInterfaces:
				more++
			default:
				list, lowers = append(list, i), append(lowers, lower)
			}
		})
	})
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	for i := range list {
		if n := known.Interfaces()[lowers[i]]; n != nil && list[i].Role == diagnosis.RoleTunnel {
			list[i].Lower = n.Name
		}
	}
	for _, b := range known.Bridges() {
		for i := range list {
			list[i].HidesTagged = list[i].HidesTagged || list[i].Name == b.Name && b.HidesTagged()
		}
	}
	slices.SortFunc(list, func(a, b diagnosis.Interface) int { return strings.Compare(a.Name, b.Name) })
	f.Interfaces, f.MoreInterfaces = list, more
	if !l.Conditions {
		return nil
	}
	return l.search(f, known)
}

// interfaceOf reads a link message, and the number of what the interface sends by.
func interfaceOf(msg []byte, known map[int]*links.Interface, ways map[int]bool) (diagnosis.Interface, int, bool) {
	i, ok := links.InterfaceOf(msg)
	if !ok {
		return diagnosis.Interface{}, 0, false
	}
	out := diagnosis.Interface{Name: i.Name, Kind: i.Kind, IPv4: i.CallIPTables, IPv6: i.CallIP6Tables}
	out.Up = nlsocket.Int(msg[8:12])&unix.IFF_UP != 0
	if mtu := nlsocket.Nested(msg[unix.SizeofIfInfomsg:], unix.IFLA_MTU); len(mtu) == 4 {
		out.MTU = nlsocket.Int(mtu)
	}
	if m := known[i.Master]; m != nil {
		out.Master = m.Name
	}
	switch {
	case slices.Contains(tunnelKinds, i.Kind):
		out.Role = diagnosis.RoleTunnel
	case i.Kind == "bridge" && ways[i.Index]:
		out.Role = diagnosis.RoleBridge
	case i.LeadsOut() && ways[i.Index]:
		out.Role = diagnosis.RolePod
	}
	return out, i.Peer, true
}

// usualTables are the routing tables that rules lead to on every node: none, default, main
// and local.
var usualTables = []int{0, 253, 254, 255}

// maxTables bounds how many others are told.
const maxTables = 100

// routes finds what leads out of the node, and other routing tables.
func (l Look) routes(f *diagnosis.Facts) error {
	return l.NS.Do(func() error {
		out := map[int]bool{}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			filter := &netlink.Route{Table: unix.RT_TABLE_MAIN}
			err := netlink.RouteListFilteredIter(family, filter, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
				if r.Dst != nil && (r.Dst.IP == nil || !r.Dst.IP.IsUnspecified()) || r.Type != unix.RTN_UNICAST {
					return true
				}
				if r.Dst != nil {
					if ones, _ := r.Dst.Mask.Size(); ones != 0 {
						return true
					}
				}
				if r.LinkIndex != 0 {
					out[r.LinkIndex] = true
				}
				for _, hop := range r.MultiPath {
					out[hop.LinkIndex] = true
				}
				return true
			})
			if err != nil {
				return fmt.Errorf("list routes: %w", err)
			}
			rules, err := netlink.RuleList(family)
			if err != nil {
				return fmt.Errorf("list rules of routing: %w", err)
			}
			for _, r := range rules {
				if !slices.Contains(usualTables, r.Table) && !slices.Contains(f.Tables, r.Table) && len(f.Tables) < maxTables {
					f.Tables = append(f.Tables, r.Table)
				}
			}
		}
		slices.Sort(f.Tables)
		for index := range out {
			link, err := netlink.LinkByIndex(index)
			if err != nil {
				continue // it is gone
			}
			for i := range f.Interfaces {
				if f.Interfaces[i].Name == link.Attrs().Name && f.Interfaces[i].Role != diagnosis.RoleTunnel {
					f.Interfaces[i].Role = diagnosis.RoleUplink
				}
			}
		}
		return nil
	})
}

// reversePath reads rp_filter of all, and of what leads out.
func (l Look) reversePath(f *diagnosis.Facts) error {
	return l.NS.Do(func() (err error) {
		if f.ReversePath, err = readNumber("/proc/sys/net/ipv4/conf/all/rp_filter"); err != nil {
			return err
		}
		for i := range f.Interfaces {
			if f.Interfaces[i].Role != diagnosis.RoleUplink || strings.Contains(f.Interfaces[i].Name, "/") {
				continue
			}
			n, err := readNumber("/proc/sys/net/ipv4/conf/" + f.Interfaces[i].Name + "/rp_filter")
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			f.Interfaces[i].ReversePath = n
		}
		return nil
	})
}
