package compiler

import (
	"testing"

	"sigs.k8s.io/knftables"
)

func TestEpochRulesAreReadAsTheyAreWritten(t *testing.T) {
	for _, r := range []EpochRule{
		{Kind: AcceptJudged, Mask: 0xff003000, Value: 0x01000000},
		{Kind: AcceptJudged, Mask: 0xffffffff, Value: 0xffffffff},
		{Kind: AcceptError, Mask: 0xff003000, Value: 0x01000000},
		{Kind: GotoUnjudged, Chain: "judge-forward"},
		{Kind: MarkJudged, Mask: 0x00ffcfff, Value: 0x01000000},
		{Kind: MarkJudged, Mask: 0x00ffcfff},
	} {
		if got, ok := ParseEpochRule(r.String()); !ok || got != r {
			t.Errorf("%q: got %+v, %v", r, got, ok)
		}
	}
}

func TestOtherRulesAreNoEpochRules(t *testing.T) {
	for _, text := range []string{
		"", "goto ", "goto a comment", "accept", "ct state != related accept",
		"ct state != related ct mark & 0xff003000 == 0x01000000 accept drop",
		"ct state != related ct mark & 0xff003000 == 0x1000000 accept",
		"ct state != related ct mark & 0xff003000 == 0x01000000 drop",
		"ct mark set ct mark & 0x00ffcfff | 0x00000000 accept",
		"ct mark set ct mark & 0x00ffcfff | 0x01000000",
	} {
		if r, ok := ParseEpochRule(text); ok {
			t.Errorf("%q: read as %+v", text, r)
		}
	}
}

// What SetEpoch writes must be readable, or every change of the epoch takes
// the slow way, unnoticed.
func TestSetEpochWritesOnlyEpochRules(t *testing.T) {
	c, err := New(Config{Mark: MarkLayout{Mask: DefaultMask}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, epoch := range []uint32{1, 2, 0, 3} {
		for _, op := range c.SetEpoch(epoch, false) {
			rule, ok := op.Object.(*knftables.Rule)
			if !ok {
				continue
			}
			n++
			if _, ok := ParseEpochRule(rule.Rule); !ok {
				t.Errorf("not readable: %s", rule.Rule)
			}
		}
	}
	if n != 7+7+4+7 {
		t.Errorf("%d rules", n)
	}
}
