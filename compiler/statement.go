package compiler

import "strconv"

// Count counts in the rule itself.
type Count struct{ acting }

// Visit calls the method for such terms.
func (s Count) Visit(v Visitor) { v.Count(s) }

func (s Count) appendText(out []byte) []byte { return append(out, "counter"...) }

// CountNamed counts in a counter of the table.
type CountNamed struct{ Counter string }

// Visit calls the method for such terms.
func (s CountNamed) Visit(v Visitor) { v.CountNamed(s) }

func (s CountNamed) appendText(out []byte) []byte {
	return append(append(out, "counter name "...), s.Counter...)
}

func (s CountNamed) names(yield func(string) bool) bool { return yield(s.Counter) }

func (CountNamed) isMatch() bool { return false }

// CountMapped counts in the counter that a map has for the fields. Without one the rule
// ends.
type CountMapped struct {
	Key Concat
	Map string
}

// Visit calls the method for such terms.
func (s CountMapped) Visit(v Visitor) { v.CountMapped(s) }

func (s CountMapped) appendText(out []byte) []byte {
	out = s.Key.appendText(append(out, "counter name "...))
	return appendName(append(out, " map "...), s.Map)
}

func (s CountMapped) names(yield func(string) bool) bool { return yield(s.Map) }

func (CountMapped) isMatch() bool { return false }

// MarkConnection keeps some bits of the connection's mark and sets others. Where there is
// no connection it ends the rule.
type MarkConnection struct {
	acting
	Keep, Set uint32
}

// Visit calls the method for such terms.
func (s MarkConnection) Visit(v Visitor) { v.MarkConnection(s) }

func (s MarkConnection) appendText(out []byte) []byte {
	out = ConnMark.appendValue(append(out, "ct mark set ct mark & "...), ConnMark.Number(s.Keep))
	if s.Set == 0 {
		return out
	}
	return ConnMark.appendValue(append(out, " | "...), ConnMark.Number(s.Set))
}

// Remember adds the fields to a set that packets fill. A full set ends the rule.
type Remember struct {
	Key Concat
	Set string
	// Again: an element that is there stays as long as a new one.
	Again bool
	// PerSecond and Burst limit how many packets go on with the rule for each element; 0
	// is no limit.
	PerSecond, Burst uint32
	// Count: each element counts the packets that find it, this one included.
	Count bool
}

// Visit calls the method for such terms.
func (s Remember) Visit(v Visitor) { v.Remember(s) }

func (s Remember) appendText(out []byte) []byte {
	verb := "add "
	if s.Again {
		verb = "update "
	}
	out = appendName(append(out, verb...), s.Set)
	out = s.Key.appendText(append(out, " { "...))
	if s.PerSecond != 0 {
		out = Limit{PerSecond: s.PerSecond, Burst: s.Burst}.appendText(append(out, ' '))
	}
	if s.Count {
		out = append(out, " counter"...)
	}
	return append(out, " }"...)
}

func (s Remember) names(yield func(string) bool) bool { return yield(s.Set) }

func (Remember) isMatch() bool { return false }

// Limit bounds how many packets go on with the rule, whatever they are.
type Limit struct {
	acting
	PerSecond, Burst uint32
}

// Visit calls the method for such terms.
func (s Limit) Visit(v Visitor) { v.Limit(s) }

func (s Limit) appendText(out []byte) []byte {
	out = strconv.AppendUint(append(out, "limit rate "...), uint64(s.PerSecond), 10)
	out = strconv.AppendUint(append(out, "/second burst "...), uint64(s.Burst), 10)
	return append(out, " packets"...)
}

// Log sends the beginning of the packet to an NFLOG group.
type Log struct {
	acting
	Prefix string
	Group  uint16
	// Snap is how much of the packet.
	Snap uint32
}

// Visit calls the method for such terms.
func (s Log) Visit(v Visitor) { v.Log(s) }

func (s Log) appendText(out []byte) []byte {
	out = strconv.AppendQuote(append(out, "log prefix "...), s.Prefix)
	out = strconv.AppendUint(append(out, " group "...), uint64(s.Group), 10)
	return strconv.AppendUint(append(out, " snaplen "...), uint64(s.Snap), 10)
}
