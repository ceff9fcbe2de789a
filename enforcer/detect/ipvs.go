package detect

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/enforcer/links"
	"github.com/sluice-net/sluice/enforcer/netns"
)

// IPVS knows whether the node has IPVS, which takes packets to Services past the forward
// hook: the ruleset judges them by others then (see package compiler).
type IPVS struct {
	ns netns.Namespace
	// seen: it was there once, and the ruleset is made for it.
	seen bool
}

// NewIPVS looks in a namespace.
func NewIPVS(ns netns.Namespace) IPVS { return IPVS{ns: ns} }

// Seen reports whether it was there once, and the ruleset is to be made for it.
func (v *IPVS) Seen() bool { return v.seen }

// Files that show IPVS, of the namespace that the reading thread is in.
const (
	ipvsPath          = "/proc/thread-self/net/ip_vs"
	ipvsConntrackPath = "/proc/sys/net/ipv4/vs/conntrack"
)

// ipvsInterfaces are made, before any Service, by programs that balance with IPVS:
// kube-proxy and kube-router. There is a notice of them, and none of services.
var ipvsInterfaces = map[string]bool{"kube-ipvs0": true, "kube-dummy-if": true}

// Update looks for IPVS: among the interfaces each time, and for services of other
// programs where everything is looked at. What cannot be read may be it: the ruleset is
// right either way. It returns what shows that it is there, the first time.
func (v *IPVS) Update(ifaces map[int]*links.Interface, all bool) (why string) {
	if v.seen {
		return ""
	}
	for _, i := range ifaces {
		if ipvsInterfaces[i.Name] {
			why = "interface " + i.Name
		}
	}
	if why == "" && all {
		services, err := v.services(1)
		switch {
		case err != nil:
			why = err.Error()
		case len(services) > 0:
			why = services[0].String()
		}
	}
	v.seen = why != ""
	return why
}

// services are those of IPVS, up to a number. There is no file where the module is not
// loaded.
func (v *IPVS) services(limit int) ([]ipvsService, error) {
	var out []ipvsService
	err := v.ns.Do(func() error {
		file, err := os.Open(ipvsPath)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("open the list of IPVS services: %w", err)
		}
		defer func() { _ = file.Close() }()
		out, err = readIPVS(file, limit)
		return err
	})
	return out, err
}

// ipvsService is a service of IPVS.
type ipvsService struct {
	// protocol is "TCP", "UDP" or "SCTP", or "FWM" for one that is chosen by the packet
	// mark, which number then is.
	protocol string
	address  netip.AddrPort
	number   string
	// oneByOne: each packet is balanced by itself, and none is an answer.
	oneByOne bool
	// methods are in which ways packets get to its backends.
	methods map[string]bool
}

func (s ipvsService) String() string {
	if s.protocol == "FWM" {
		return "IPVS service of packet mark 0x" + s.number
	}
	return "IPVS service " + strings.ToLower(s.protocol) + " " + s.address.String()
}

// maxIPVSLine bounds a line of the list: the kernel's have less than a hundred bytes.
const maxIPVSLine = 1 << 16

// readIPVS reads the list of services as the kernel writes it (ip_vs_info_seq_show of
// net/netfilter/ipvs/ip_vs_ctl.c), until there are more than the limit.
func readIPVS(r io.Reader, limit int) ([]ipvsService, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxIPVSLine), maxIPVSLine)
	var out []ipvsService
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 3 {
			continue
		}
		switch words[0] {
		case "->":
			if len(out) > 0 && words[1] != "RemoteAddress:Port" {
				out[len(out)-1].methods[words[2]] = true
			}
		case "TCP", "UDP", "SCTP", "FWM":
			if len(out) == limit {
				return out, nil
			}
			s := ipvsService{protocol: words[0], number: words[1], methods: map[string]bool{}}
			if s.protocol != "FWM" {
				var err error
				if s.address, err = readIPVSAddress(words[1]); err != nil {
					return nil, err
				}
			}
			// After the scheduler come the flags.
			for _, flag := range words[3:] {
				s.oneByOne = s.oneByOne || flag == "ops"
			}
			out = append(out, s)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the list of IPVS services: %w", err)
	}
	return out, nil
}

// readIPVSAddress reads 0A600001:01BB, or an address of IPv6 in brackets.
func readIPVSAddress(text string) (netip.AddrPort, error) {
	broken := fmt.Errorf("read the list of IPVS services: %q is no address", text)
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return netip.AddrPort{}, broken
	}
	port, err := strconv.ParseUint(text[at+1:], 16, 16)
	if err != nil {
		return netip.AddrPort{}, broken
	}
	host := text[:at]
	if six, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(six, "]"))
		if err != nil {
			return netip.AddrPort{}, broken
		}
		return netip.AddrPortFrom(a, uint16(port)), nil
	}
	var four [4]byte
	if n, err := hex.Decode(four[:], []byte(host[:min(len(host), 8)])); err != nil || n != 4 || len(host) != 8 {
		return netip.AddrPort{}, broken
	}
	return netip.AddrPortFrom(netip.AddrFrom4(four), uint16(port)), nil
}

// maxIPVSServices bounds how many services are looked at in one search.
const maxIPVSServices = 50000

// Findings name what of IPVS cannot be judged.
func (v *IPVS) Findings() ([]Finding, error) {
	if !v.seen {
		return nil, nil
	}
	services, err := v.services(maxIPVSServices)
	if err != nil {
		return []Finding{{
			What: "IPVS", Object: ipvsPath,
			Message: "it cannot be read, so that nobody knows in which ways IPVS sends packets to Pods: " + err.Error(),
			Mend:    "let the agent read it",
		}}, err
	}
	if len(services) == 0 {
		return nil, nil
	}
	var out []Finding
	tracked, err := v.tracked()
	if !tracked {
		out = append(out, Finding{
			What: "IPVS", Object: "net.ipv4.vs.conntrack",
			Message: "it is off, or cannot be read, so that conntrack does not know what IPVS sends on: answers of Pods are judged as if they had spoken first, and connections through Services fail where policies isolate",
			Mend:    `switch it on, as kube-proxy does: "sysctl net.ipv4.vs.conntrack=1"; connections from before stay as they are`,
		})
	}
	for _, s := range services {
		if c, grave := s.finding(); grave {
			out = append(out, c)
		}
	}
	return out, err
}

// tracked reports whether conntrack follows IPVS.
func (v *IPVS) tracked() (bool, error) {
	var data []byte
	err := v.ns.Do(func() error {
		var err error
		data, err = os.ReadFile(ipvsConntrackPath)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read whether conntrack follows IPVS: %w", err)
	}
	return strings.TrimSpace(string(data)) != "0", nil
}

// finding says why packets to the service cannot be judged. By NAT they have the
// Pod's address when they come to hook output; "Local" is a backend on the node.
func (s ipvsService) finding() (Finding, bool) {
	c := Finding{What: "IPVS", Object: s.String()}
	switch {
	case s.methods["Tunnel"]:
		c.Message = "it sends packets to its backends in a tunnel (IPIP), within which no policy of a Pod is asked"
		c.Mend = "have it use masquerading (NAT), as kube-proxy does; kube-router: no direct server return"
	case s.methods["Route"]:
		c.Message = "it sends packets to its backends by direct routing, with the Service's address for a Pod's: to Pods of this node they are dropped, and for others no policy of the sender's can name them"
		c.Mend = "have it use masquerading (NAT), as kube-proxy does; kube-router: no direct server return"
	case s.oneByOne:
		c.Message = "it balances each packet by itself (one-packet scheduling), so that answers of Pods are judged as if they had spoken first"
		c.Mend = "take one-packet scheduling (ipvsadm --ops) from it"
	default:
		return Finding{}, false
	}
	return c, true
}
