package enforcer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"
)

// errNotForLane is for operations that only nft can do.
var errNotForLane = errors.New("not for the fast lane")

// layout is how the elements of a set look in the kernel.
type layout struct {
	parts []part
	value valueKind
}

// part is a type of nft that a key, or a part of one, can have.
type part uint8

const (
	ipv4Part part = iota
	ipv6Part
	protocolPart
	portPart
	interfacePart
)

var partTypes = map[string]part{
	"ipv4_addr": ipv4Part, "ipv6_addr": ipv6Part, "inet_proto": protocolPart,
	"inet_service": portPart, "ifname": interfacePart,
}

type valueKind uint8

const (
	noValue valueKind = iota
	verdictValue
	counterValue
)

var valueTypes = map[string]valueKind{"": noValue, "verdict": verdictValue, "counter": counterValue}

// layoutOf reads the declaration of a set or map. Without a type that it knows
// there is none. Sets with intervals have none on purpose: these never change,
// and deleting from them what was never added deletes something else.
func layoutOf(kind string, flags []knftables.SetFlag) *layout {
	if slices.ContainsFunc(flags, func(f knftables.SetFlag) bool { return f != knftables.ConstantFlag }) {
		return nil
	}
	key, value, _ := strings.Cut(kind, " : ")
	out := &layout{}
	for name := range strings.SplitSeq(key, " . ") {
		p, known := partTypes[name]
		if !known {
			return nil
		}
		out.parts = append(out.parts, p)
	}
	var known bool
	if out.value, known = valueTypes[value]; !known {
		return nil
	}
	return out
}

// appendKey appends the key of an element. Each part of several fills whole
// registers of 4 bytes.
func (l *layout) appendKey(out []byte, key []string) ([]byte, error) {
	if len(key) != len(l.parts) {
		return out, fmt.Errorf("key %q: %w", key, errNotForLane)
	}
	for i, p := range l.parts {
		var err error
		if out, err = p.append(out, key[i]); err != nil {
			return out, fmt.Errorf("key %q: %w", key, err)
		}
		for len(l.parts) > 1 && len(out)%4 != 0 {
			out = append(out, 0)
		}
	}
	return out, nil
}

func (p part) append(out []byte, text string) ([]byte, error) {
	switch p {
	case ipv4Part, ipv6Part:
		a, err := netip.ParseAddr(text)
		if err != nil || a.Is4() != (p == ipv4Part) || a.Zone() != "" {
			return out, errNotForLane
		}
		return append(out, a.AsSlice()...), nil
	case protocolPart:
		n, known := protocolNumbers[text]
		if !known {
			return out, errNotForLane
		}
		return append(out, n), nil
	case portPart:
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return out, errNotForLane
		}
		return binary.BigEndian.AppendUint16(out, uint16(n)), nil
	case interfacePart:
		name, ok := unquote(text)
		if !ok {
			return out, errNotForLane
		}
		var whole [unix.IFNAMSIZ]byte
		copy(whole[:], name)
		return append(out, whole[:]...), nil
	}
	return out, errNotForLane
}

// protocolNumbers are those whose ports a key can name.
var protocolNumbers = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}

// unquote reads the name of an interface. An asterisk means something to nft.
func unquote(text string) (string, bool) {
	if len(text) < 3 || text[0] != '"' || text[len(text)-1] != '"' {
		return "", false
	}
	name := text[1 : len(text)-1]
	return name, len(name) < unix.IFNAMSIZ && !strings.ContainsAny(name, "\"*\\\x00")
}

// jumpTarget reads the verdict "jump CHAIN".
func jumpTarget(verdict string) (string, bool) {
	chain, ok := strings.CutPrefix(verdict, "jump ")
	return chain, ok && chain != "" && !strings.ContainsAny(chain, " \x00")
}
