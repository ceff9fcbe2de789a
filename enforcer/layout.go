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

	"github.com/sluice-net/sluice/enforcer/nlsocket"
)

// errNotForLane is for operations that only nft can do.
var errNotForLane = errors.New("not for the fast lane")

// layout is how the elements of a set look in the kernel.
type layout struct {
	parts []part
	value valueKind
	// interval: elements may be ranges.
	interval bool
	// open: the lane made the set and knows what it holds, so it can add ranges.
	open bool
	// begun: the set has its first range.
	begun bool
}

// part is a type of nft that a key, or a part of one, can have.
type part uint8

const (
	ipv4Part part = iota
	ipv6Part
	protocolPart
	portPart
	interfacePart
	indexPart
	etherPart
	// targetPart is an address of IPv6 where nft has no name for the field.
	targetPart
)

// partTypes are the types, and the numbers that nft gives them, which the
// kernel keeps for it.
var partTypes = map[string]part{
	"ipv4_addr": ipv4Part, "ipv6_addr": ipv6Part, "inet_proto": protocolPart,
	"inet_service": portPart, "ifname": interfacePart, "iface_index": indexPart, "ether_addr": etherPart,
	"integer": targetPart,
}

var partNumbers = map[uint32]part{7: ipv4Part, 8: ipv6Part, 12: protocolPart, 13: portPart, 41: interfacePart, 20: indexPart, 9: etherPart, 4: targetPart}

// number is the inverse of partNumbers.
func (p part) number() uint32 {
	return [...]uint32{ipv4Part: 7, ipv6Part: 8, protocolPart: 12, portPart: 13, interfacePart: 41, indexPart: 20, etherPart: 9, targetPart: 4}[p]
}

// partBits is how many bits of a concatenation's number each part has.
const partBits = 6

type valueKind uint8

const (
	noValue valueKind = iota
	verdictValue
	counterValue
)

var valueTypes = map[string]valueKind{"": noValue, "verdict": verdictValue, "counter": counterValue}

// layoutOf reads the type of a set or map, as nft writes it. Without one that it
// knows there is none.
func layoutOf(kind string, flags []knftables.SetFlag) *layout {
	if len(flags) > 0 {
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

// describedLayout reads the kernel's description of a set. There is none for
// types that the lane does not know.
func describedLayout(description []byte) *layout {
	a := nlsocket.AttrMap(description)
	flags := nlsocket.Number(a[unix.NFTA_SET_FLAGS])
	if flags&^(unix.NFT_SET_INTERVAL|unix.NFT_SET_MAP|unix.NFT_SET_OBJECT|setConcat) != 0 {
		return nil
	}
	out := &layout{interval: flags&unix.NFT_SET_INTERVAL != 0}
	for kind := nlsocket.Number(a[unix.NFTA_SET_KEY_TYPE]); kind != 0; kind >>= partBits {
		p, known := partNumbers[kind&(1<<partBits-1)]
		if !known {
			return nil
		}
		out.parts = append(out.parts, p)
	}
	slices.Reverse(out.parts)
	if out.keySize() != nlsocket.Number(a[unix.NFTA_SET_KEY_LEN]) {
		return nil
	}
	switch {
	case len(out.parts) == 0:
		return nil
	case flags&unix.NFT_SET_OBJECT != 0 && nlsocket.Number(a[unix.NFTA_SET_OBJ_TYPE]) == unix.NFT_OBJECT_COUNTER:
		out.value = counterValue
	case flags&unix.NFT_SET_MAP != 0 && nlsocket.Number(a[unix.NFTA_SET_DATA_TYPE]) == unix.NFT_DATA_VERDICT:
		out.value = verdictValue
	case flags&(unix.NFT_SET_MAP|unix.NFT_SET_OBJECT) != 0:
		return nil
	}
	return out
}

// keySize is how long a key is. Each part of several fills whole registers.
func (l *layout) keySize() uint32 {
	if len(l.parts) == 1 {
		return uint32(l.parts[0].size())
	}
	var out uint32
	for _, p := range l.parts {
		out += (uint32(p.size()) + 3) &^ 3
	}
	return out
}

// setConcat is missing in package unix.
const setConcat = 0x80

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
	case indexPart:
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return out, errNotForLane
		}
		return binary.NativeEndian.AppendUint32(out, uint32(n)), nil
	case etherPart:
		mac, ok := readMAC(text)
		if !ok {
			return out, errNotForLane
		}
		return append(out, mac...), nil
	case targetPart:
		target, ok := readHex(16)(text)
		if !ok {
			return out, errNotForLane
		}
		return append(out, target...), nil
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

// verdictOf reads a verdict that a map can lead to.
func verdictOf(text string) (code int32, chain string, ok bool) {
	if text == "return" {
		return unix.NFT_RETURN, "", true
	}
	kind, chain, _ := strings.Cut(text, " ")
	switch kind {
	case "jump":
		code = unix.NFT_JUMP
	case "goto":
		code = unix.NFT_GOTO
	default:
		return 0, "", false
	}
	return code, chain, chain != "" && !strings.ContainsAny(chain, " \x00")
}
