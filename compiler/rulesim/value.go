package rulesim

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// datatype is one of nftables' types: values are byte strings of one width, in
// network order, so that they compare as numbers do.
type datatype struct {
	name  string
	width int
	parse func(string) (string, error)
	show  func(string) string
	// bits: values are flags, and a list of them means any of them.
	bits bool
}

func (d *datatype) String() string { return d.name }

// datatypes are those that may stand in a set's declaration.
var datatypes = map[string]*datatype{}

func newType(name string, width int, names map[string]uint64, bits bool) *datatype {
	return &datatype{name: name, width: width, bits: bits,
		parse: func(s string) (string, error) { return parseNumber(name, width, names, s) },
		show:  showNumber,
	}
}

func init() {
	for _, d := range []*datatype{typeIPv4, typeIPv6, typeProto, typeService, typeIfname, typeMark, typeICMP6} {
		datatypes[d.name] = d
	}
}

var (
	typeIPv4    = &datatype{name: "ipv4_addr", width: 4, parse: parseAddr(4), show: showAddr}
	typeIPv6    = &datatype{name: "ipv6_addr", width: 16, parse: parseAddr(16), show: showAddr}
	typeIfname  = &datatype{name: "ifname", width: 16, parse: parseIfname, show: func(s string) string { return strconv.Quote(strings.TrimRight(s, "\x00")) }}
	typeService = newType("inet_service", 2, nil, false)
	typeMark    = newType("mark", 4, nil, false)
	typeByte    = newType("integer", 1, nil, false)
	typeLength  = newType("integer", 2, nil, false)
	typeProto   = newType("inet_proto", 1, map[string]uint64{"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "ipv6-icmp": 58, "sctp": 132}, false)
	typeFamily  = newType("nf_proto", 1, map[string]uint64{"ipv4": 2, "ipv6": 10}, false)
	typeIndex   = newType("iface_index", 4, nil, false)
	typeRoute   = newType("fib_addrtype", 4, map[string]uint64{"unicast": 1, "local": 2}, false)
	typeDir     = newType("ct_dir", 1, map[string]uint64{"original": 0, "reply": 1}, false)
	typeWay     = newType("fib_presence", 1, map[string]uint64{"missing": 0, "exists": 1}, false)
	typeState   = newType("ct_state", 4, map[string]uint64{"invalid": uint64(Invalid), "established": uint64(Established), "related": uint64(Related), "new": uint64(New), "untracked": uint64(Untracked)}, true)
	typeStatus  = newType("ct_status", 4, nil, true)
	typeTCP     = newType("tcp_flag", 1, map[string]uint64{"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32}, true)
	typeICMP    = newType("icmp_type", 1, map[string]uint64{"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8, "time-exceeded": 11, "parameter-problem": 12}, false)
	typeICMP6   = newType("icmpv6_type", 1, map[string]uint64{
		"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128, "echo-reply": 129,
		"mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132, "mld-listener-reduction": 132, "mld2-listener-report": 143,
		"nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137}, false)
)

func parseNumber(name string, width int, names map[string]uint64, s string) (string, error) {
	n, known := names[s]
	if !known {
		var err error
		if n, err = strconv.ParseUint(s, 0, width*8); err != nil {
			return "", fmt.Errorf("%q is no %s", s, name)
		}
		if len(s) > 1 && s[0] == '0' && s[1] != 'x' {
			return "", fmt.Errorf("%q is octal for some and decimal for others", s)
		}
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return string(b[8-width:]), nil
}

func showNumber(s string) string {
	var b [8]byte
	copy(b[8-len(s):], s)
	return strconv.FormatUint(binary.BigEndian.Uint64(b[:]), 10)
}

func parseAddr(width int) func(string) (string, error) {
	return func(s string) (string, error) {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.BitLen() != width*8 {
			return "", fmt.Errorf("%q is no address of %d bytes", s, width)
		}
		return string(a.AsSlice()), nil
	}
}

func showAddr(s string) string {
	a, _ := netip.AddrFromSlice([]byte(s))
	return a.String()
}

func parseIfname(s string) (string, error) {
	if s == "" || len(s) > 15 || strings.ContainsAny(s, "*/ ") {
		return "", fmt.Errorf("%q is no interface name", s)
	}
	return s + strings.Repeat("\x00", 16-len(s)), nil
}

// span is an inclusive interval of values of one type.
type span struct{ lo, hi string }

// parseSpan reads a value, a range "a-b" or a prefix "a/n".
func (d *datatype) parseSpan(t token) (span, error) {
	if d == typeIfname || t.quoted {
		v, err := d.parse(t.text)
		return span{v, v}, err
	}
	if v, err := d.parse(t.text); err == nil {
		return span{v, v}, nil
	}
	if d == typeIPv4 || d == typeIPv6 {
		if p, err := netip.ParsePrefix(t.text); err == nil && p.Addr().BitLen() == d.width*8 {
			if p.Masked() != p {
				return span{}, fmt.Errorf("prefix %q has host bits", t.text)
			}
			return prefixSpan(p), nil
		}
	}
	from, to, ok := strings.Cut(t.text, "-")
	if !ok {
		return span{}, fmt.Errorf("%q is no %s", t.text, d)
	}
	lo, err := d.parse(from)
	if err != nil {
		return span{}, err
	}
	hi, err := d.parse(to)
	if err != nil {
		return span{}, err
	}
	if lo >= hi {
		return span{}, fmt.Errorf("range %q is not a range upwards", t.text)
	}
	return span{lo, hi}, nil
}

func prefixSpan(p netip.Prefix) span {
	lo := p.Addr().AsSlice()
	hi := slices.Clone(lo)
	for bit := p.Bits(); bit < len(hi)*8; bit++ {
		hi[bit/8] |= 0x80 >> (bit % 8)
	}
	return span{string(lo), string(hi)}
}

func (d *datatype) showSpan(s span) string {
	if s.lo == s.hi {
		return d.show(s.lo)
	}
	return d.show(s.lo) + "-" + d.show(s.hi)
}

var identifier = regexp.MustCompile(`^[A-Za-z_.][A-Za-z0-9_./-]*$`)

// keywords are the words of nft's grammar that come nearest to names that one
// would choose.
var keywords = []string{"accept", "add", "at", "chain", "comment", "continue", "counter", "ct", "delete", "drop", "element", "flush",
	"goto", "ip", "ip6", "jump", "last", "limit", "log", "map", "mark", "meta", "name", "policy", "quota", "reject", "return", "rule",
	"set", "size", "table", "th", "timeout", "type", "update", "vmap"}

// checkName holds a name to nft's grammar and to the kernel's limit
// (NFT_NAME_MAXLEN with its final zero).
func checkName(s string) error {
	switch {
	case len(s) > 255:
		return fmt.Errorf("name %q is longer than 255", s)
	case !identifier.MatchString(s):
		return fmt.Errorf("%q is no identifier", s)
	case slices.Contains(keywords, s):
		return fmt.Errorf("%q is a keyword", s)
	}
	return nil
}
