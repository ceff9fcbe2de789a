package detect

import (
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// Kubernetes' own programs have iptables put jumps into base chains of every node. What
// the kubelet and kube-proxy drop behind them no policy could allow: Services without
// endpoints, invalid packets, addresses of 127.0.0.0/8 from elsewhere. flannel accepts.
// Chains of policy engines that are named alike are no such chains.
var kubernetesChains = []string{"KUBE-*", "FLANNEL-FWD"}

// ofKubernetes reports whether a chain is one of those, and none of an engine's.
func ofKubernetes(chain string) bool {
	return fits(chain, kubernetesChains...) && !slices.ContainsFunc(engines, func(e engine) bool { return fits(chain, e.chains...) })
}

// withoutKubernetes leaves out base chains that end nothing themselves, and lead to
// Kubernetes' own chains at most. It reads the rules of base chains, and of no other.
func withoutKubernetes(ns netns.Namespace, chains []foreignChain) ([]foreignChain, error) {
	socket, err := nlsocket.Open(ns, unix.NETLINK_NETFILTER)
	if err != nil {
		return chains, err
	}
	defer socket.Close()
	var out []foreignChain
	for _, c := range chains {
		if !c.meetsPods() || c.drops {
			out = append(out, c)
			continue
		}
		harmless, err := onlyLeads(socket, c)
		if err != nil {
			return chains, fmt.Errorf("list the rules of chain %s: %w", c, err)
		}
		if !harmless {
			out = append(out, c)
		}
	}
	return out, nil
}

// onlyLeads reports whether each rule of a chain accepts, or leads to a chain of
// Kubernetes'. A chain without rules is such a chain.
func onlyLeads(socket *nlsocket.Socket, c foreignChain) (bool, error) {
	harmless := true
	err := nlsocket.DumpWhole(func() error {
		harmless = true
		req := socket.Request(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP)
		req.AddData(&nl.Nfgenmsg{NfgenFamily: c.family, Version: nl.NFNETLINK_V0})
		req.AddData(nl.NewRtAttr(unix.NFTA_RULE_TABLE, nl.ZeroTerminated(c.table)))
		req.AddData(nl.NewRtAttr(unix.NFTA_RULE_CHAIN, nl.ZeroTerminated(c.name)))
		return socket.Each(req, func(msg []byte) {
			if len(msg) < nl.SizeofNfgenmsg {
				harmless = false
				return
			}
			attrs := nlsocket.AttrMap(msg[nl.SizeofNfgenmsg:])
			// A kernel that does not know the filter gives the rules of all chains.
			if unix.ByteSliceToString(attrs[unix.NFTA_RULE_TABLE]) == c.table && unix.ByteSliceToString(attrs[unix.NFTA_RULE_CHAIN]) == c.name {
				harmless = harmless && ruleLeads(attrs[unix.NFTA_RULE_EXPRESSIONS])
			}
		})
	})
	return harmless, err
}

// comparing are the expressions that end nothing: they compare, count, or load what others
// compare.
var comparing = []string{"match", "counter", "meta", "payload", "cmp", "bitwise", "range", "ct", "fib", "rt", "exthdr", "socket"}

// ruleLeads reports whether a rule at most accepts, or leads to a chain of Kubernetes'.
func ruleLeads(expressions []byte) bool {
	for e := range nlsocket.Attrs(expressions) {
		attrs := nlsocket.AttrMap(e.Value)
		name, data := unix.ByteSliceToString(attrs[unix.NFTA_EXPR_NAME]), nlsocket.AttrMap(attrs[unix.NFTA_EXPR_DATA])
		switch {
		case slices.Contains(comparing, name):
		case name == "lookup" && data[unix.NFTA_LOOKUP_DREG] == nil:
		case name == "immediate" && verdictLeads(data[unix.NFTA_IMMEDIATE_DATA]):
		default:
			return false
		}
	}
	return true
}

// Verdicts of linux/netfilter.h and linux/netfilter/nf_tables.h, as the kernel writes them.
const (
	nfAccept  = 1
	nftJump   = uint32(0xfffffffd)
	nftGoto   = uint32(0xfffffffc)
	nftReturn = uint32(0xfffffffb)
)

func verdictLeads(data []byte) bool {
	verdict := nlsocket.AttrMap(nlsocket.AttrMap(data)[unix.NFTA_DATA_VERDICT])
	switch attrBig32(verdict[unix.NFTA_VERDICT_CODE]) {
	case nfAccept, nftReturn:
		return true
	case nftJump, nftGoto:
		return ofKubernetes(unix.ByteSliceToString(verdict[unix.NFTA_VERDICT_CHAIN]))
	}
	return false
}
