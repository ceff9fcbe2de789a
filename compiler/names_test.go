package compiler

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// nftWord is what nft 1.0.6 reads as one word.
var nftWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9/\\_.-]*$`)

func TestContentName(t *testing.T) {
	for text, want := range map[string]string{
		"":                "",
		"shop.web":        "-shop.web",
		"{a in (b, c)}/*": "-a_in_b_c",
		"größe":           "-gr_e",
	} {
		got := contentName(chainLetter, "a", text)
		if want = got[:1+hashLength] + want; got != want || got[0] != chainLetter {
			t.Errorf("contentName of text %q is %s, want %s", text, got, want)
		}
	}
}

func TestContentNameTellsContentsApart(t *testing.T) {
	seen := map[string]string{}
	for _, letter := range []byte{chainLetter, peersLetter} {
		for _, content := range []string{"", "a", "ab", "a\nb", "p", strings.Repeat("a", 10000)} {
			name := contentName(letter, content, "same")
			if other, taken := seen[name]; taken {
				t.Errorf("%s is the name of %q and of %q", name, content, other)
			}
			seen[name] = string(letter) + content
		}
	}
}

// TestContentNameFitsNft: the proof beside the function, by trial.
func TestContentNameFitsNft(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10000 {
		text := make([]byte, r.IntN(300))
		for i := range text {
			text[i] = byte(r.IntN(256))
		}
		name := contentName(guardLetter, string(text), string(text))
		if len(name) > nameLength || !nftWord.MatchString(name) {
			t.Fatalf("contentName of text %q is %q", text, name)
		}
	}
}

// TestFixedNamesAreNoContentNames: nothing that policies make can take the
// name of something fixed.
func TestFixedNamesAreNoContentNames(t *testing.T) {
	content := regexp.MustCompile(`^[a-z][a-z2-7]{20}(-|$)`)
	cfg := testConfig()
	cfg.NodeDNS = addrs("169.254.20.10")
	names := fixedCounters
	for _, s := range append(cfg.fixedSets(), senderSets()...) {
		names = append(names, s.Name)
	}
	for _, c := range cfg.fixedChains(1, false, node{detours: true, second: true, ipvs: true}) {
		names = append(names, c.Name)
	}
	for _, n := range names {
		if content.MatchString(n) || !nftWord.MatchString(n) {
			t.Errorf("%s may be the name of some content", n)
		}
	}
	if name := contentName(chainLetter, "", ""); !content.MatchString(name) {
		t.Errorf("the test does not know content names: %s", name)
	}
}

func TestValidInterface(t *testing.T) {
	for name, want := range map[string]bool{
		"eth0": true, "cali12ab-3": true, "veth.1": true, "br_0+x@y": true, "ip": true,
		"": false, "sixteen-letters-": false, `a"b`: false, "veth*": false, "a b": false, "a\x00": false, "é": false,
	} {
		if got := validInterface(name); got != want {
			t.Errorf("validInterface(%q) = %t, want %t", name, got, want)
		}
	}
}
