package tables

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// What is too long for the lane goes by nft, which divides it, and that is told.
func TestLaneLeavesToNftWhatIsTooLong(t *testing.T) {
	n := netnstest.New(t)
	n.NFT("table netdev sluice { chain c { }; }")
	var slow []string
	tables := New(n)
	tables.Slow = func(cause string) { slow = append(slow, cause) }
	defer func() { _ = tables.Close() }()
	// As a guard has them for a Pod that gave itself so many.
	addresses := make([]netip.Addr, 2345)
	for i := range addresses {
		addresses[i] = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 13: 1, 14: byte(i >> 8), 15: byte(i)})
	}
	op := compiler.Op{Verb: compiler.Add, Object: &compiler.ChainRule{Chain: "c", Rule: compiler.Rule{Terms: []compiler.Term{
		compiler.OneOf{Field: compiler.IP6Source, Values: compiler.AddrValues(addresses)}, compiler.Accept{},
	}}}}
	if err := tables.Transact(context.Background(), knftables.NetDevFamily, []compiler.Op{op}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(n.Cmd("nft", "list", "ruleset"), "fe80::1:"); got != len(addresses) {
		t.Errorf("%d of %d addresses are in the kernel", got, len(addresses))
	}
	if len(slow) != 1 || slow[0] != byLength {
		t.Errorf("the slow way was told as %q", slow)
	}
}
