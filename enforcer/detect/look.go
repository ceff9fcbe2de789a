package detect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nftwire"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// Look is a look at a whole node, once.
type Look struct {
	// NS is the node's network namespace, nil for that of the process.
	NS netns.Namespace
	// Container: the process sees the node's network, and not its files.
	Container bool
	// Patterns say what interfaces are, as the agent's flags do.
	Patterns links.Patterns
	// Mask are Sluice's bits of the conntrack mark, 0 for the usual ones.
	Mask uint32
	// Conditions: search for what an agent would tell. An agent knows already.
	Conditions bool
	// Features: try what of nftables the kernel has. An agent's own rules show it.
	Features bool
	// CNIDirs are where CNI configuration may be; none: [CNIDirs].
	CNIDirs []string
}

// Facts looks. What cannot be looked at is among the facts, so that it never fails.
func (l Look) Facts(ctx context.Context) *diagnosis.Facts {
	l.NS = netns.OrOwn(l.NS)
	f := &diagnosis.Facts{Container: l.Container, Mask: l.Mask, Unread: map[string]string{}}
	if f.Mask == 0 {
		f.Mask = compiler.DefaultMask
	}
	note := func(err error, checks ...string) {
		for _, c := range checks {
			if err != nil && f.Unread[c] == "" {
				f.Unread[c] = err.Error()
			}
		}
	}
	f.Kernel = kernelRelease()
	f.Nft = findNft(ctx)
	if f.FeaturesUntried = "who looked tries nothing"; l.Features {
		f.Features, f.FeaturesUntried = tryFeatures(ctx)
	}
	f.Bridges = l.bridgeFilter(note)
	if !l.Container {
		f.CNI = readCNI(l.CNIDirs)
	}
	note(l.ourTables(f), diagnosis.IDAgent)
	note(l.interfaces(ctx, f), diagnosis.IDBridges, diagnosis.IDCNI, diagnosis.IDMTU)
	note(l.routes(f), diagnosis.IDMTU, diagnosis.IDReversePath)
	note(l.reversePath(f), diagnosis.IDReversePath)
	note(l.conntrack(f), diagnosis.IDConntrack)
	note(l.marks(f), diagnosis.IDMarks)
	note(l.proxies(f), diagnosis.IDProxy)
	return f
}

// ourTables are the families that have a table of ours.
func (l Look) ourTables(f *diagnosis.Facts) error {
	return nftwire.Ask(l.NS, func(socket *nftwire.Socket) error {
		families, err := socket.Tables()
		for _, family := range families {
			f.OurTables = append(f.OurTables, familyNames[family])
		}
		slices.Sort(f.OurTables)
		return err
	})
}

// bridgeFilter reads the namespace's switches.
func (l Look) bridgeFilter(note func(error, ...string)) *diagnosis.BridgeFilter {
	switches, err := ReadBridgeSwitches(l.NS)
	var missing *NoBridgeFilter
	switch {
	case errors.As(err, &missing):
		return &diagnosis.BridgeFilter{Missing: missing.Error()}
	case err != nil:
		note(err, diagnosis.IDBridges)
		return nil
	}
	return &diagnosis.BridgeFilter{IPv4: switches.IPv4, IPv6: switches.IPv6, Tagged: switches.Tagged}
}

// proxies are the traces of kube-proxy by its mode.
func (l Look) proxies(f *diagnosis.Facts) error {
	chains, err := listForeign(l.NS)
	if err != nil {
		return err
	}
	f.Proxies = proxyTraces(chains, f.Interfaces)
	legacy, err := namesOfLegacyTables(l.NS)
	f.LegacyNAT = slices.Contains(legacy, "ip nat") || slices.Contains(legacy, "ip6 nat")
	return err
}

// proxyTraces goes by what kube-proxy makes only in that mode: a table, a chain for each
// Service, an interface.
func proxyTraces(chains []foreignChain, ifaces []diagnosis.Interface) map[string][]string {
	out := map[string][]string{}
	add := func(mode, trace string) {
		if !slices.Contains(out[mode], trace) && len(out[mode]) < 4 {
			out[mode] = append(out[mode], trace)
		}
	}
	services := map[string]bool{}
	for _, c := range chains {
		table := familyNames[c.family] + " " + c.table
		switch {
		case c.table == "kube-proxy":
			add(diagnosis.ProxyNftables, "table "+table)
		case c.table == "nat" && strings.HasPrefix(c.name, "KUBE-SVC-") && !services[table]:
			services[table] = true
			add(diagnosis.ProxyIPTables, fmt.Sprintf("chain %s %s", table, c.name))
		}
	}
	for _, i := range ifaces {
		if i.Name == "kube-ipvs0" {
			add(diagnosis.ProxyIPVS, "interface kube-ipvs0")
		}
	}
	return out
}

// search is what an agent would find, told as it would tell it.
func (l Look) search(f *diagnosis.Facts, known *links.Links) error {
	ipvs := NewIPVS(l.NS)
	ipvs.Update(known.Interfaces(), true)
	found, err := Search{NS: l.NS, Interfaces: known.Interfaces(), Ways: known.PodWays(), IPVS: &ipvs}.Findings()
	for _, c := range found {
		if len(f.Conditions) == nodestatus.MaxConditions {
			f.MoreConditions++
			continue
		}
		f.Conditions = append(f.Conditions, nodestatus.Condition{What: c.What, Object: c.Object, Message: c.Message, Mend: c.Mend})
	}
	return err
}

// kernelRelease is as uname says it.
func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// linksOf has looked at the interfaces of a namespace, and knows no Pod.
func linksOf(ctx context.Context, ns netns.Namespace, p links.Patterns) (*links.Links, error) {
	socket, err := nlsocket.Open(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := socket.Strict(); err != nil {
		socket.Close()
		return nil, err
	}
	if p.Uplinks == nil {
		p.Uplinks = links.DefaultUplinks
	}
	if p.Others == nil {
		p.Others = links.DefaultOtherInterfaces
	}
	out := links.New(socket, ns, p)
	err = out.Update(links.Everything())
	if err == nil {
		err = out.Resolve(ctx, false)
	}
	if err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}
