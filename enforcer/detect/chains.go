package detect

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// foreignChain is the head of a chain of another program. What its rules say is
// not read: they may hold anything.
type foreignChain struct {
	family byte
	table  string
	name   string
	// kind is empty for a chain that is no base chain, and then so is the rest.
	kind     string
	hook     uint32
	priority int32
	drops    bool
}

// maxForeign bounds what is kept of others' chains: anybody with a network
// namespace's rights can make any number.
const maxForeign = 20000

// listForeign reads the heads of all chains that are not ours.
func listForeign(ns netns.Namespace) ([]foreignChain, error) {
	socket, err := nlsocket.Open(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	var out []foreignChain
	err = nlsocket.DumpWhole(func() error {
		out = out[:0]
		req := socket.Request(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_UNSPEC, Version: nl.NFNETLINK_V0})
		return socket.Each(req, func(msg []byte) {
			if c, ok := foreignChainOf(msg); ok && len(out) < maxForeign {
				out = append(out, c)
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list chains: %w", err)
	}
	return out, nil
}

// foreignChainOf reads a chain message; false for our own chains and for what
// is none.
func foreignChainOf(msg []byte) (foreignChain, bool) {
	if len(msg) < nl.SizeofNfgenmsg {
		return foreignChain{}, false
	}
	c := foreignChain{family: msg[0]}
	for a := range nlsocket.Attrs(msg[nl.SizeofNfgenmsg:]) {
		switch a.Kind {
		case unix.NFTA_CHAIN_TABLE:
			c.table = unix.ByteSliceToString(a.Value)
		case unix.NFTA_CHAIN_NAME:
			c.name = unix.ByteSliceToString(a.Value)
		case unix.NFTA_CHAIN_TYPE:
			c.kind = unix.ByteSliceToString(a.Value)
		case unix.NFTA_CHAIN_POLICY:
			c.drops = attrBig32(a.Value) == nfDrop
		case unix.NFTA_CHAIN_HOOK:
			for h := range nlsocket.Attrs(a.Value) {
				switch h.Kind {
				case unix.NFTA_HOOK_HOOKNUM:
					c.hook = attrBig32(h.Value)
				case unix.NFTA_HOOK_PRIORITY:
					c.priority = int32(attrBig32(h.Value))
				}
			}
		}
	}
	// Ours have our name, in each family.
	return c, c.name != "" && c.table != "" && c.table != compiler.TableName
}

// nfDrop is NF_DROP of linux/netfilter.h.
const nfDrop = 0

// attrBig32 reads a number in network byte order; what has another size is no
// verdict, hook or priority.
func attrBig32(b []byte) uint32 {
	if len(b) != 4 {
		return ^uint32(0)
	}
	return binary.BigEndian.Uint32(b)
}

// familyNames are those whose chains Pods' packets may pass.
var familyNames = map[byte]string{
	unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6", unix.NFPROTO_INET: "inet",
	unix.NFPROTO_BRIDGE: "bridge", unix.NFPROTO_NETDEV: "netdev",
}

// hookNames are those of the families with IP hooks, by number.
var hookNames = []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}

// hookName is the hook's name as nft writes it.
func (c foreignChain) hookName() string {
	switch {
	case c.family == unix.NFPROTO_NETDEV && c.hook == 0:
		return "ingress"
	case c.family == unix.NFPROTO_NETDEV && c.hook == 1:
		return "egress"
	case int(c.hook) < len(hookNames):
		return hookNames[c.hook]
	}
	return fmt.Sprintf("hook %d", c.hook)
}

func (c foreignChain) String() string {
	return familyNames[c.family] + " " + c.table + " " + c.name
}

// meetsPods reports whether packets of Pods go through the chain and may end
// there: those of nat chains are accepted or changed, not dropped, and what
// leaves by the output hook is the node's own.
func (c foreignChain) meetsPods() bool {
	if c.kind != "filter" && c.kind != "route" || familyNames[c.family] == "" {
		return false
	}
	return c.family == unix.NFPROTO_NETDEV || c.hookName() != "output"
}

// meetsNode reports whether what the node itself sends to Pods goes through the chain.
func (c foreignChain) meetsNode() bool {
	ip := c.family == unix.NFPROTO_IPV4 || c.family == unix.NFPROTO_IPV6 || c.family == unix.NFPROTO_INET
	return ip && (c.kind == "filter" || c.kind == "route") && c.hookName() == "output"
}

// chainFindings say which chains of others Pods' packets have to pass.
func chainFindings(chains []foreignChain) []Finding {
	var out []Finding
	others := map[string][]string{}
	for _, c := range chains {
		if c.meetsNode() && c.drops {
			out = append(out, Finding{
				What: "DropPolicy", Object: "chain " + c.String(),
				Message: fmt.Sprintf("it has policy drop at hook output, priority %d: what the node sends its Pods, such as the kubelet's probes, is lost unless its own rules accept it", c.priority),
				Mend:    "let it accept what the node sends to Pods",
			})
		}
		if !c.meetsPods() {
			continue
		}
		if c.drops {
			out = append(out, Finding{
				What: "DropPolicy", Object: "chain " + c.String(),
				Message: fmt.Sprintf("it has policy drop at hook %s, priority %d: what its own rules do not accept is lost, whatever NetworkPolicies allow", c.hookName(), c.priority),
				Mend:    "let it accept what Pods send and get, for Sluice judges that; only forwarded packets matter, and what Pods send to the node",
			})
			continue
		}
		// kube-proxy drops what no policy could allow: Services without
		// endpoints, and invalid packets.
		if c.table == "kube-proxy" {
			continue
		}
		table := familyNames[c.family] + " " + c.table
		others[table] = append(others[table], fmt.Sprintf("%s (%s, priority %d)", c.name, c.hookName(), c.priority))
	}
	for table, names := range others {
		slices.Sort(names)
		out = append(out, Finding{
			What: "OtherChains", Object: "table " + table,
			Message: "what Pods send or get passes its chains as well, which may drop it whatever NetworkPolicies allow: " + strings.Join(FirstOf(names, 10), ", "),
			Mend:    `if an allowed connection fails, look there: "nft list table ` + table + `"`,
		})
	}
	return out
}

// FirstOf keeps n, and says how many more there are.
func FirstOf(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	return append(names[:n:n], fmt.Sprintf("and %d more", len(names)-n))
}

// maxOfAKind bounds how many conditions of a kind the search has to say.
const maxOfAKind = 50

// boundKinds sorts, and leaves out what goes beyond the bound; the last that
// stays says how many went.
func boundKinds(list []Finding) []Finding {
	slices.SortFunc(list, compareFindings)
	var out []Finding
	for len(list) > 0 {
		n := 1
		for n < len(list) && cmp.Compare(list[n].What, list[0].What) == 0 {
			n++
		}
		keep := min(n, maxOfAKind)
		out = append(out, list[:keep]...)
		if n > keep {
			out = append(out, Finding{What: list[0].What, Object: "and more", Message: fmt.Sprintf("there are %d more of the kind", n-keep)})
		}
		list = list[n:]
	}
	return out
}
