package enforcer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns"
)

// addressRule has n addresses in a set of its own, as a guard has for a Pod that
// gave itself so many.
func addressRule(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("fe80::1:%x", i+1)
	}
	return "ip6 saddr { " + strings.Join(list, ", ") + " } accept"
}

// What does not fit where its length is written is an error that names the object,
// whoever builds the message: an attribute with a length that was cut short says
// something else to the kernel, or nothing.
func TestBatchNeverCutsALengthShort(t *testing.T) {
	long := strings.Repeat("x", maxAttr)
	add := func(o knftables.Object) compiler.Op { return compiler.Op{Verb: compiler.Add, Object: o} }
	for what, tc := range map[string]struct {
		family byte
		op     compiler.Op
		object string
	}{
		"elements of a rule's own set":  {unix.NFPROTO_NETDEV, add(&knftables.Rule{Chain: "guard-of-veth1", Rule: addressRule(2345)}), "guard-of-veth1"},
		"a rule's chain":                {unix.NFPROTO_INET, add(&knftables.Rule{Chain: long, Rule: "goto judged"}), "rule of chain xxx"},
		"a chain that a rule goes to":   {unix.NFPROTO_INET, add(&knftables.Rule{Chain: "c", Rule: "goto " + long}), "rule of chain c"},
		"a chain's name":                {unix.NFPROTO_INET, add(&knftables.Chain{Name: long}), "chain xxx"},
		"a counter's name":              {unix.NFPROTO_INET, add(&knftables.Counter{Name: long}), "counter xxx"},
		"a set's name":                  {unix.NFPROTO_INET, add(&knftables.Set{Name: long, Type: "ipv4_addr"}), "set xxx"},
		"a verdict's chain":             {unix.NFPROTO_INET, add(&knftables.Element{Map: "dispatch", Key: []string{"10.0.0.1"}, Value: []string{"goto " + long}}), "10.0.0.1"},
		"a counter that is referred to": {unix.NFPROTO_INET, add(&knftables.Element{Map: "denied", Key: []string{"10.0.0.1"}, Value: []string{long}}), "10.0.0.1"},
		"a device": {unix.NFPROTO_NETDEV, add(&knftables.Chain{
			Name: "guard", Type: knftables.PtrTo(knftables.FilterType), Hook: knftables.PtrTo(knftables.IngressHook), Priority: knftables.PtrTo(knftables.BaseChainPriority("0")),
			Policy: knftables.PtrTo(knftables.DropPolicy), Device: &long,
		}), "chain guard"},
	} {
		l := newLane(netns.Own{}, tc.family)
		l.sets["dispatch"] = &layout{parts: []part{ipv4Part}, value: verdictValue}
		l.sets["denied"] = &layout{parts: []part{ipv4Part}, value: counterValue}
		fits := add(&knftables.Counter{Name: "fits"})
		b, err := l.encode([]compiler.Op{fits, tc.op, fits})
		if !errors.Is(err, errTooLong) || !strings.Contains(err.Error(), tc.object) {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: an error of %d bytes", what, len(err.Error()))
		}
		if b != nil {
			t.Errorf("%s: there is a batch to send", what)
		}
	}
}

// Whoever forgets to ask gets no batch either.
func TestBatchWithAnErrorIsNeverSent(t *testing.T) {
	b := newBatch(unix.NFPROTO_INET)
	b.named(unix.NFT_MSG_NEWCHAIN, 0, strings.Repeat("x", 1<<16), 0)
	b.named(unix.NFT_MSG_NEWCHAIN, 0, strings.Repeat("y", 1<<17), 1)
	data, err := b.finish()
	if data != nil || !errors.Is(err, errTooLong) || b.opAt(b.failedAt) != 0 {
		t.Errorf("%d bytes, %v, of operation %d", len(data), err, b.opAt(b.failedAt))
	}
	b = newBatch(unix.NFPROTO_INET)
	b.named(unix.NFT_MSG_NEWSET, 0, "s", 0)
	b.userdata(unix.NFTA_SET_USERDATA, notes(noteKeyOf, make([]byte, 300)))
	if _, err := b.finish(); !errors.Is(err, errTooLong) {
		t.Errorf("notes of 300 bytes: %v", err)
	}
}

// The largest that fits is the largest that is taken.
func TestBatchTakesWhatFits(t *testing.T) {
	for size, ok := range map[int]bool{maxAttr - unix.SizeofRtAttr: true, maxAttr - unix.SizeofRtAttr + 1: false} {
		b := newBatch(unix.NFPROTO_INET)
		b.named(unix.NFT_MSG_NEWCHAIN, 0, "c", 0)
		start := b.beginAttr(1)
		b.bytes = append(b.bytes, make([]byte, size)...)
		b.endAttr(start)
		if (b.err == nil) != ok {
			t.Errorf("%d bytes: %v", size, b.err)
		}
		if got := int(binary.NativeEndian.Uint16(b.bytes[start:])); ok && got != size+unix.SizeofRtAttr {
			t.Errorf("%d bytes have length %d", size, got)
		}
	}
}

// What is too long for the lane goes by nft, which divides it, and that is told.
func TestLaneLeavesToNftWhatIsTooLong(t *testing.T) {
	n := newNS(t)
	n.nft("table netdev sluice { chain c { }; }")
	var slow []string
	tables := newTables(n, func(string) {})
	tables.slow = func(cause string) { slow = append(slow, cause) }
	defer func() { _ = tables.Close() }()
	const addresses = 2345
	op := compiler.Op{Verb: compiler.Add, Object: &knftables.Rule{Chain: "c", Rule: addressRule(addresses)}}
	if err := tables.Transact(context.Background(), knftables.NetDevFamily, []compiler.Op{op}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(n.ruleset(), "fe80::1:"); got != addresses {
		t.Errorf("%d of %d addresses are in the kernel", got, addresses)
	}
	if len(slow) != 1 || slow[0] != byLength {
		t.Errorf("the slow way was told as %q", slow)
	}
}
