package compiler

// Accept ends our base chain.
type Accept struct{ acting }

// Visit calls the method for such terms.
func (t Accept) Visit(v Visitor) { v.Accept(t) }

func (t Accept) appendText(out []byte) []byte { return append(out, "accept"...) }

// Drop ends the packet.
type Drop struct{ acting }

// Visit calls the method for such terms.
func (t Drop) Visit(v Visitor) { v.Drop(t) }

func (t Drop) appendText(out []byte) []byte { return append(out, "drop"...) }

// Return goes back to the chain that jumped here.
type Return struct{ acting }

// Visit calls the method for such terms.
func (t Return) Visit(v Visitor) { v.Return(t) }

func (t Return) appendText(out []byte) []byte { return append(out, "return"...) }

// Jump goes to a chain that may return.
type Jump struct{ Chain string }

// Visit calls the method for such terms.
func (t Jump) Visit(v Visitor) { v.Jump(t) }

func (t Jump) appendText(out []byte) []byte { return append(append(out, "jump "...), t.Chain...) }

func (t Jump) names(yield func(string) bool) bool { return yield(t.Chain) }

func (Jump) isMatch() bool { return false }

// Goto goes to a chain that returns, if at all, to where this one would.
type Goto struct{ Chain string }

// Visit calls the method for such terms.
func (t Goto) Visit(v Visitor) { v.Goto(t) }

func (t Goto) appendText(out []byte) []byte { return append(append(out, "goto "...), t.Chain...) }

func (t Goto) names(yield func(string) bool) bool { return yield(t.Chain) }

func (Goto) isMatch() bool { return false }

// VerdictMap does what a map has for the fields, if anything.
type VerdictMap struct {
	Key Concat
	Map string
	// Ranges is as in [In].
	Ranges bool
}

// Visit calls the method for such terms.
func (t VerdictMap) Visit(v Visitor) { v.VerdictMap(t) }

func (t VerdictMap) appendText(out []byte) []byte {
	return appendName(append(t.Key.appendText(out), " vmap "...), t.Map)
}

func (t VerdictMap) names(yield func(string) bool) bool { return yield(t.Map) }

func (VerdictMap) isMatch() bool { return false }

// Reject drops the packet and tells its sender.
type Reject struct {
	acting
	// Reset tells it by a reset: the packet must be of TCP. Others are told that it is
	// administratively prohibited.
	Reset bool
}

// Visit calls the method for such terms.
func (t Reject) Visit(v Visitor) { v.Reject(t) }

func (t Reject) appendText(out []byte) []byte {
	if t.Reset {
		return append(out, "reject with tcp reset"...)
	}
	return append(out, "reject with icmpx type admin-prohibited"...)
}

// dropping counts and drops what matches.
func dropping(counter string, matches ...Term) Rule {
	return Rule{Terms: append(matches[:len(matches):len(matches)], CountNamed{counter}, Drop{})}
}

// leading counts what matches, and goes to the chain that drops it and tells of it.
func leading(counter, chain string, matches ...Term) Rule {
	return Rule{Terms: append(matches[:len(matches):len(matches)], CountNamed{counter}, Goto{chain})}
}

func vmap(set string, key ...Field) Term { return VerdictMap{Key: concat(key...), Map: set} }
