package compiler

import (
	"strings"
	"testing"
)

func TestMarkLayout(t *testing.T) {
	for _, c := range []struct {
		mask, denied, epochs uint32
		encoded              map[uint32]uint32
	}{
		{DefaultMask, 0x80000000, 512, map[uint32]uint32{0: 0, 1: 0x1000, 2: 0x2000, 3: 0x3000, 4: 0x01000000, 511: 0x7f003000, 512: 0}},
		{0x7, 0x4, 4, map[uint32]uint32{1: 1, 3: 3, 4: 0}},
		{0x80000011, 0x80000000, 4, map[uint32]uint32{1: 1, 2: 0x10, 3: 0x11}},
		{0, 0, 0, map[uint32]uint32{1: 0}},
	} {
		m := MarkLayout{Mask: c.mask}
		if m.Denied() != c.denied || m.Epochs() != c.epochs {
			t.Errorf("%#x: denied %#x, %d epochs, want %#x, %d", c.mask, m.Denied(), m.Epochs(), c.denied, c.epochs)
		}
		for epoch, want := range c.encoded {
			if got := m.Encode(epoch); got != want {
				t.Errorf("%#x: Encode(%d) = %#x, want %#x", c.mask, epoch, got, want)
			}
		}
		for epoch := range m.Epochs() {
			mark := m.Encode(epoch)
			if mark&^m.Mask != 0 || mark&m.Denied() != 0 {
				t.Fatalf("%#x: epoch %d is %#x, not within the field", c.mask, epoch, mark)
			}
			if got := m.Decode(mark | ^m.Mask | m.Denied()); got != epoch {
				t.Fatalf("%#x: epoch %d reads as %d", c.mask, epoch, got)
			}
		}
	}
}

func TestMarkLayoutNeedsRoomForEpochs(t *testing.T) {
	for mask, want := range map[uint32]bool{0: false, 0x3: false, 0x7: false, 0x7f: false, 0xff: true, 0x80808080: false, 0xff003000: true, 0xffff0000: true, 0x1ffff: false, 0xffffffff: false} {
		if _, err := New(Config{Mark: MarkLayout{Mask: mask}}); (err == nil) != want {
			t.Errorf("%#x: %v, want it taken: %v", mask, err, want)
		}
	}
}

func TestParseMask(t *testing.T) {
	for text, want := range map[string]uint32{
		"0xff003000": 0xff003000, "0XFF003000": 0xff003000, "0x000000ff": 0xff, "0xffff": 0xffff,
		"": 0, "0x": 0, "0x0": 0, "ff003000": 0, "4278202368": 0, "0b11111111": 0, "0o7777": 0, "0xff00,0x3000": 0, "0xff000000zz": 0,
		"0xff00 3000": 0, " 0xff00": 0, "0xff00 ": 0, "0xff00\n": 0, "+0xff00": 0, "-0xff00": 0, "0x+ff00": 0, "0x-ff00": 0, "0xff_00": 0, "0x0xff00": 0,
		"0x1ff003000": 0, "0xff003000/0xff003000": 0, "0x7f": 0, "0xffffffff": 0, "none": 0,
	} {
		m, err := ParseMask(text)
		switch {
		case want != 0 && (err != nil || m.Mask != want):
			t.Errorf("%q: %#x, %v", text, m.Mask, err)
		case want == 0 && err == nil:
			t.Errorf("%q is taken for %#x", text, m.Mask)
		case want == 0 && !strings.Contains(err.Error(), "such as 0xff003000"):
			t.Errorf("%q: %v does not say what is right", text, err)
		}
	}
}

// TestNoEpochJudgesEverything: with a value that would be zero in the mark,
// connections of others would pass unjudged.
func TestNoEpochJudgesEverything(t *testing.T) {
	for _, epoch := range []uint32{0, 512, 1024} {
		c, err := New(testConfig())
		if err != nil {
			t.Fatal(err)
		}
		c.SetEpoch(epoch, false)
		if text := c.Ruleset().String(); strings.Contains(text, "judged under this epoch") || !strings.Contains(text, "ct mark set ct mark & 0x00ffcfff accept") {
			t.Errorf("epoch %d has a fast path:\n%s", epoch, text)
		}
	}
}

func TestSetEpochRewritesOnlyWhatNamesIt(t *testing.T) {
	c, err := New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	c.SetEpoch(1, true)
	if ops := c.SetEpoch(1, true); len(ops) != 0 {
		t.Errorf("nothing changed, but %d ops", len(ops))
	}
	// Four chains, flushed, with 2 + 2 + 2 + 2 rules.
	if ops := c.SetEpoch(2, true); len(ops) != 12 {
		t.Errorf("an epoch costs %d ops", len(ops))
	}
	// The end of the grace is midstream alone.
	if ops := c.SetEpoch(2, false); len(ops) != 8 {
		t.Errorf("the end of the grace costs %d ops", len(ops))
	}
}
