package enforcer

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func FuzzLaneReadsKeys(f *testing.F) {
	f.Add([]byte{byte(interfacePart), byte(ipv4Part)}, `"eth0" . 10.0.0.1`)
	f.Add([]byte{byte(ipv6Part), byte(protocolPart), byte(portPart)}, "fd00::1 . tcp . 80")
	f.Add([]byte{byte(ipv4Part)}, "10.0.0.0/8")
	f.Add([]byte{byte(portPart)}, "-1")
	sizes := map[part]int{ipv4Part: 4, ipv6Part: 16, protocolPart: 1, portPart: 2, interfacePart: 16}
	f.Fuzz(func(t *testing.T, kinds []byte, key string) {
		l, size := &layout{}, 0
		for _, k := range kinds {
			p := part(k) % part(len(sizes))
			l.parts = append(l.parts, p)
			size += sizes[p]
			if len(kinds) > 1 {
				size = (size + 3) &^ 3
			}
		}
		out, err := l.appendKey(nil, strings.Split(key, " . "))
		if err == nil && len(out) != size {
			t.Errorf("%v %q: %d bytes, want %d", kinds, key, len(out), size)
		}
	})
}

// The bytes are what nft 1.0.6 sent for the same keys.
func TestLaneWritesKeysAsNftDoes(t *testing.T) {
	veth := "76657468313200000000000000000000"
	for _, tt := range []struct{ kind, key, want string }{
		{"ipv4_addr", "10.0.0.1", "0a000001"},
		{"ifname", `"veth12"`, veth},
		{"ifname . ipv6_addr", `"veth12" . fd00::1`, veth + "fd000000000000000000000000000001"},
		{"ipv4_addr . inet_proto . inet_service", "10.0.0.1 . tcp . 80", "0a0000010600000000500000"},
		{"ipv4_addr", "fd00::1", ""},
		{"ipv6_addr", "10.0.0.1", ""},
		{"ipv6_addr", "fe80::1%eth0", ""},
		{"ipv4_addr", "10.0.0.1 . 10.0.0.2", ""},
		{"ipv4_addr . ipv4_addr", "10.0.0.1", ""},
		{"inet_service", "65536", ""},
		{"inet_service", "1-2", ""},
		{"inet_proto", "icmp", ""},
		{"ifname", "veth12", ""},
		{"ifname", `"eth*"`, ""},
		{"ifname", `"abcdefghijklmnop"`, ""},
	} {
		got, err := layoutOf(tt.kind, nil).appendKey(nil, strings.Split(tt.key, " . "))
		switch {
		case tt.want == "" && !errors.Is(err, errNotForLane):
			t.Errorf("%s %s: %x, %v; want it left to nft", tt.kind, tt.key, got, err)
		case tt.want != "" && (err != nil || hex.EncodeToString(got) != tt.want):
			t.Errorf("%s %s: %x, %v; want %s", tt.kind, tt.key, got, err, tt.want)
		}
	}
}
