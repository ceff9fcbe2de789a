package rulesim_test

import (
	"testing"

	"github.com/sluice-net/sluice/compiler/rulesim"
)

// FuzzLoad: whatever the text, it is refused or understood, and what was
// understood judges a packet without an accident.
func FuzzLoad(f *testing.F) {
	f.Add(setup)
	f.Add(inChain("jump both"))
	for _, tt := range transactions {
		f.Add(setup + tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, err := rulesim.Load(text)
		if err != nil {
			if d := k.Dump(); d != "" {
				t.Errorf("a refused transaction left:\n%s", d)
			}
			return
		}
		k.Judge(packet(nil))
	})
}
