package compiler

import (
	"slices"
	"testing"
)

// What names the epoch is all that a new one rewrites, and of the kinds that go with
// every event.
func TestSetEpochRewritesWhatNamesIt(t *testing.T) {
	c, err := New(Config{Mark: MarkLayout{Mask: DefaultMask}})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, epoch := range []uint32{1, 2, 0, 3} {
		for _, op := range c.SetEpoch(epoch, false) {
			if rule, ok := op.Object.(*ChainRule); ok {
				texts = append(texts, rule.String())
			}
		}
	}
	if len(texts) != 8+8+5+8 {
		t.Errorf("%d rules: %q", len(texts), texts)
	}
	slices.Sort(texts)
	want := []string{
		"accept",
		"ct mark & 0xff003000 == 0x00001000 accept", "ct mark & 0xff003000 == 0x00002000 accept", "ct mark & 0xff003000 == 0x00003000 accept",
		"ct mark set ct mark & 0x00ffcfff accept",
		"ct mark set ct mark & 0x00ffcfff | 0x00001000 accept", "ct mark set ct mark & 0x00ffcfff | 0x00002000 accept", "ct mark set ct mark & 0x00ffcfff | 0x00003000 accept",
		"ct state != related ct mark & 0xff003000 == 0x00001000 accept", "ct state != related ct mark & 0xff003000 == 0x00002000 accept", "ct state != related ct mark & 0xff003000 == 0x00003000 accept",
		"goto judge-forward", "goto judge-input", "goto stale-errors",
	}
	if got := slices.Compact(texts); !slices.Equal(got, want) {
		t.Errorf("rules %q, want %q", got, want)
	}
}
