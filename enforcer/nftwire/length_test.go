package nftwire

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
)

// addressRule has n addresses in a set of its own, as a guard has for a Pod that
// gave itself so many.
func addressRule(n int) compiler.Rule {
	list := make([]netip.Addr, n)
	for i := range list {
		list[i] = netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)})
	}
	return ruleOf(compiler.OneOf{Field: compiler.IP6Source, Values: compiler.AddrValues(list)}, compiler.Accept{})
}

func ruleOf(terms ...compiler.Term) compiler.Rule { return compiler.Rule{Terms: terms} }

// What does not fit where its length is written is an error that names the object,
// whoever builds the message: an attribute with a length that was cut short says
// something else to the kernel, or nothing.
func TestBatchNeverCutsALengthShort(t *testing.T) {
	long := strings.Repeat("x", maxAttr)
	add := func(o compiler.Object) compiler.Op { return compiler.Op{Verb: compiler.Add, Object: o} }
	element := func(kind compiler.ValueType, v compiler.MapValue) compiler.Op {
		return add(&compiler.SetElement{
			Set:     &compiler.Set{Name: "dispatch", Key: compiler.KeyType{compiler.IPv4Addr}, Value: kind},
			Element: compiler.Element{Key: "\x0a\x00\x00\x01", Value: v},
		})
	}
	in := func(chain string, r compiler.Rule) compiler.Op {
		return add(&compiler.ChainRule{Chain: chain, Rule: r})
	}
	for what, tc := range map[string]struct {
		family byte
		op     compiler.Op
		object string
	}{
		"elements of a rule's own set":  {unix.NFPROTO_NETDEV, in("guard-of-veth1", addressRule(2345)), "guard-of-veth1"},
		"a rule's chain":                {unix.NFPROTO_INET, in(long, ruleOf(compiler.Goto{Chain: "judged"})), "rule of chain xxx"},
		"a chain that a rule goes to":   {unix.NFPROTO_INET, in("c", ruleOf(compiler.Goto{Chain: long})), "rule of chain c"},
		"a set that a rule asks":        {unix.NFPROTO_INET, in("c", ruleOf(compiler.In{Key: compiler.Concat{compiler.IPSource}, Set: long})), "rule of chain c"},
		"what is logged":                {unix.NFPROTO_INET, in("c", ruleOf(compiler.Log{Prefix: long})), "rule of chain c"},
		"a rule's comment":              {unix.NFPROTO_INET, in("c", compiler.Rule{Terms: []compiler.Term{compiler.Drop{}}, Comment: long[:255]}), "rule of chain c"},
		"a chain's name":                {unix.NFPROTO_INET, add(&compiler.Chain{Name: long}), "chain xxx"},
		"a counter's name":              {unix.NFPROTO_INET, add(&compiler.Counter{Name: long}), "counter xxx"},
		"a set's name":                  {unix.NFPROTO_INET, add(&compiler.Set{Name: long, Key: compiler.KeyType{compiler.IPv4Addr}}), "set xxx"},
		"a verdict's chain":             {unix.NFPROTO_INET, element(compiler.VerdictValue, compiler.MapValue{Do: compiler.DoGoto, Name: long}), "10.0.0.1"},
		"a counter that is referred to": {unix.NFPROTO_INET, element(compiler.CounterValue, compiler.MapValue{Do: compiler.DoCount, Name: long}), "10.0.0.1"},
		"a device":                      {unix.NFPROTO_NETDEV, add(&compiler.Chain{Name: "guard", Hook: &compiler.Hook{Name: "ingress", Priority: "0", Policy: "drop", Device: long}}), "chain guard"},
	} {
		fits := add(&compiler.Counter{Name: "fits"})
		b, err := NewTable(tc.family, nil).Encode([]compiler.Op{fits, tc.op, fits})
		if !errors.Is(err, ErrTooLong) || !strings.Contains(err.Error(), tc.object) {
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
	if data != nil || !errors.Is(err, ErrTooLong) || b.opAt(b.failedAt) != 0 {
		t.Errorf("%d bytes, %v, of operation %d", len(data), err, b.opAt(b.failedAt))
	}
	b = newBatch(unix.NFPROTO_INET)
	b.named(unix.NFT_MSG_NEWSET, 0, "s", 0)
	notes := b.beginUserdata(unix.NFTA_SET_USERDATA)
	for range 50 {
		b.note(noteKeyOrder, 0)
	}
	b.endUserdata(notes)
	if _, err := b.finish(); !errors.Is(err, ErrTooLong) {
		t.Errorf("notes of 300 bytes: %v", err)
	}
	b = newBatch(unix.NFPROTO_INET)
	b.named(unix.NFT_MSG_NEWCHAIN, 0, "c", 0)
	for range maxBatch / maxAttr {
		b.text(1, strings.Repeat("x", maxAttr-unix.SizeofRtAttr-1))
	}
	if data, err := b.finish(); data != nil || !errors.Is(err, ErrTooLarge) {
		t.Errorf("a batch that no buffer holds: %d bytes, %v", len(data), err)
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
