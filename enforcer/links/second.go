package links

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// A Pod may have more interfaces than the one behind which its addresses are: Multus and
// its like give it some. The API's NetworkPolicies are about addresses of status.podIPs,
// so nothing is enforced on the others, and that is told. What holds there all the same is
// that what the node routes cannot come in the name of one of its Pods, for their
// addresses are bound to their interfaces.

// maxPeerLinks is how many interfaces of a Pod are looked at. Who is in there may make
// any number.
const maxPeerLinks = 64

// Seconds are the Pods with other interfaces, and what these are called. Those of which
// the node has an end are found by it. Of the others nothing is noticed: they are looked
// for when a Pod is new, and if anew is set.
func (l *Links) Seconds(anew bool) map[types.NamespacedName][]string {
	pods, firsts := l.namespacesOfPods()
	out := map[types.NamespacedName][]string{}
	for _, i := range l.ifaces {
		if pod, known := pods[i.NSID]; known && i.LeadsOut() && firsts[i.NSID] != i.Index {
			out[pod] = append(out[pod], i.Name+" of the node leads to it")
		}
	}
	for nsid, first := range firsts {
		if _, looked := l.inside[nsid]; looked && !anew {
			continue
		}
		// Whoever is gone meanwhile has none.
		if names, err := l.peers.others(l.ifaces[first]); err == nil {
			l.inside[nsid] = names
		}
	}
	maps.DeleteFunc(l.inside, func(nsid int, _ []string) bool { _, there := firsts[nsid]; return !there })
	for nsid, names := range l.inside {
		if len(names) > 0 {
			out[pods[nsid]] = append(out[pods[nsid]], names...)
		}
	}
	for _, names := range out {
		slices.Sort(names)
	}
	return out
}

// namespacesOfPods are the namespaces of known Pods by the node's number for them, and the
// veths that they are known by.
func (l *Links) namespacesOfPods() (pods map[int]types.NamespacedName, firsts map[int]int) {
	pods, firsts = map[int]types.NamespacedName{}, map[int]int{}
	for name, p := range l.pods {
		for a, b := range p.binds {
			_, presumed := l.presumed[a]
			if i := l.ifaces[b.veth]; i != nil && i.LeadsOut() && !presumed {
				pods[i.NSID], firsts[i.NSID] = name, i.Index
			}
		}
	}
	return pods, firsts
}

// others are the interfaces at a veth's far end by which one gets out of there, but for
// veths, of which the node sees its ends: macvlans and their like, whose device is
// elsewhere, and devices that are no other's, such as a network card's functions.
func (p *peers) others(veth *Interface) ([]string, error) {
	var out []string
	err := nlsocket.DumpWhole(func() error {
		out = nil
		if err := p.open(); err != nil {
			return err
		}
		req := p.socket.Request(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		req.AddData(nl.NewRtAttr(iflaTargetNetnsid, nl.Uint32Attr(uint32(veth.NSID))))
		req.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(extFilterSkipStats)))
		seen := 0
		return p.dump(req, func(msg []byte) bool {
			if i, ok := InterfaceOf(msg); ok && i.Index != veth.Peer && leadsElsewhere(i, msg) {
				out = append(out, describeInside(i))
			}
			seen++
			return seen < maxPeerLinks
		})
	})
	if err != nil {
		return nil, fmt.Errorf("look at the interfaces at the Pod's end of %s: %w", veth.Name, err)
	}
	return out, nil
}

// leadsElsewhere reads a link message of another namespace. What is down takes nothing.
func leadsElsewhere(i Interface, msg []byte) bool {
	flags, hardware := binary.NativeEndian.Uint32(msg[8:]), binary.NativeEndian.Uint16(msg[2:])
	if flags&unix.IFF_UP == 0 || flags&unix.IFF_LOOPBACK != 0 || i.Kind == "veth" {
		return false
	}
	return i.NSID >= 0 || i.Kind == "" && hardware == unix.ARPHRD_ETHER
}

func describeInside(i Interface) string {
	kind := i.Kind
	if kind == "" {
		kind = "a device of the node"
	}
	return i.Name + " in it (" + kind + ")"
}
