package compiler

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// Objects whose content never changes are named by it: a letter for their
// kind, a hash of the content, and something readable for whoever lists the
// ruleset. The hash comes first, so that cutting the name loses nothing.
//
// Maps and sets of leaves have nothing to read but their content. A Pod with a thousand
// policies has a thousand of these, and the kernel finds a set by reading the names of all
// that came before it, each to its end, for every rule and transaction that names one.
const (
	chainLetter   = 'c' // what a Pod's policies allow in one direction
	classLetter   = 'k' // the peers of some ports, entered from a port map
	peersLetter   = 'p' // addresses of selected Pods
	namedLetter   = 'n' // address, protocol and port of Pods with a named port
	blocksLetter  = 'b' // address ranges
	portsLetter   = 't' // protocols and ports
	reachLetter   = 'r' // address ranges with ports of theirs
	portMapLetter = 'm' // protocols and ports to classes
	counterLetter = 'd' // packets denied to a Pod in one direction
	guardLetter   = 'g' // a veth's guard
)

const (
	// hashLength is in characters of five bits. At 100 bits nobody finds two
	// policies whose objects share a name.
	hashLength = 20
	// nameLength is the most a name can have. nft takes 255; shorter is
	// readable.
	nameLength = 100
	// readableLength is what the letter, the hash and a dash leave.
	readableLength = nameLength - 1 - hashLength - 1
)

var nameEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// contentName names an object by its content.
//
// Length: 1 + hashLength + 1 + at most readableLength = nameLength. Characters:
// the hash has a-z and 2-7, the rest is what [readable] lets through; nft reads
// a letter followed by letters, digits and "/\_.-" as one word, and the kind's
// letter begins it. No name is a keyword of nft, all of which are shorter than
// letter and hash, or one of the table's fixed names, in all of which a dash
// or the end comes earlier.
func contentName[T string | []byte](letter byte, content T, text string) string {
	sum := sha256.Sum256(append([]byte{letter, 0}, content...))
	var b strings.Builder
	b.Grow(nameLength)
	b.WriteByte(letter)
	b.WriteString(nameEncoding.EncodeToString(sum[:])[:hashLength])
	if text = readable(text); text != "" {
		b.WriteByte('-')
		b.WriteString(text)
	}
	return b.String()
}

// readable replaces what nft does not take in a name, and cuts.
func readable(text string) string {
	out := make([]byte, 0, min(len(text), readableLength))
	for i := 0; i < len(text) && len(out) < readableLength; i++ {
		ch := text[i]
		switch {
		case 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z', '0' <= ch && ch <= '9', ch == '.', ch == '_', ch == '-':
		default:
			// One underscore for a run of them: selectors have many.
			if ch = '_'; len(out) > 0 && out[len(out)-1] == '_' {
				continue
			}
		}
		out = append(out, ch)
	}
	return strings.Trim(string(out), "_")
}

// validInterface reports whether nft can be given the interface's name in
// quotes. Linux allows more in a name than nft has a way to write (a quote), or
// than it takes literally (an asterisk at the end matches anything).
func validInterface(name string) bool {
	if name == "" || len(name) > 15 {
		return false
	}
	for i := range len(name) {
		if ch := name[i]; ch <= ' ' || ch >= 0x7f || strings.IndexByte("\"*\\/:", ch) >= 0 {
			return false
		}
	}
	return true
}

func quote(name string) string { return `"` + name + `"` }
