package suggest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// ErrSkip is returned for a record that is no connection that passed: a denied flow, a
// reply, an event of another kind.
var ErrSkip = errors.New("no flow that passed")

// record is a line of ours, or of Hubble's, whichever fields are there.
type record struct {
	Kind string `json:"kind"`
	ours
	// Flow is that of an exported event of Hubble's
	// (https://docs.cilium.io/en/stable/_api/v1/flow/README/).
	Flow *hubble `json:"flow"`
}

type ours struct {
	Src      ourEnd `json:"src"`
	Dst      ourEnd `json:"dst"`
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port"`
}

type ourEnd struct {
	Kind      string `json:"kind"`
	Address   string `json:"address"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Node      string `json:"node"`
}

type hubble struct {
	Verdict string `json:"verdict"`
	IsReply *bool  `json:"is_reply"`
	Reply   bool   `json:"reply"`
	IP      struct {
		Source      string `json:"source"`
		Destination string `json:"destination"`
	} `json:"IP"`
	L4          map[string]json.RawMessage `json:"l4"`
	Source      hubbleEnd                  `json:"source"`
	Destination hubbleEnd                  `json:"destination"`
}

type hubbleEnd struct {
	Namespace string   `json:"namespace"`
	PodName   string   `json:"pod_name"`
	Labels    []string `json:"labels"`
}

// ParseRecord reads a line of JSON: a flow of ours (kind Flow, or Denial, which is
// skipped), or an event of Hubble's. It returns [ErrSkip] for what is none of interest.
func ParseRecord(line []byte) (Flow, error) {
	var r record
	if err := json.Unmarshal(bytes.TrimSpace(line), &r); err != nil {
		return Flow{}, fmt.Errorf("JSON: %w", err)
	}
	switch {
	case r.Kind == "Flow":
		return r.ours.flow()
	case r.Kind != "":
		return Flow{}, ErrSkip
	case r.Flow != nil:
		return r.Flow.flow()
	}
	return Flow{}, errors.New("neither kind nor flow is given: write flows as `sluice observe --allowed -o json` or `hubble observe -o jsonpb` do")
}

func (o *ours) flow() (Flow, error) {
	proto, err := parseProtocol(o.Protocol)
	if err != nil {
		return Flow{}, err
	}
	f := Flow{Protocol: proto, Port: o.Port}
	if f.Src, err = o.Src.end("src"); err != nil {
		return Flow{}, err
	}
	f.Dst, err = o.Dst.end("dst")
	return f, err
}

func (e *ourEnd) end(field string) (End, error) {
	a, err := parseAddr(field+".address", e.Address)
	out := End{Addr: a, Namespace: e.Namespace, Pod: e.Pod}
	if e.Kind == "Node" {
		out.Node = e.Node
	}
	return out, err
}

func (h *hubble) flow() (Flow, error) {
	if h.Verdict != "FORWARDED" || h.Reply || h.IsReply != nil && *h.IsReply {
		return Flow{}, ErrSkip
	}
	var f Flow
	for _, name := range []string{"TCP", "UDP", "SCTP", "ICMPv4", "ICMPv6"} {
		raw, given := h.L4[name]
		if !given {
			continue
		}
		var l4 struct {
			DestinationPort uint16 `json:"destination_port"`
		}
		if err := json.Unmarshal(raw, &l4); err != nil {
			return Flow{}, fmt.Errorf("flow.l4.%s: %w", name, err)
		}
		proto, err := parseProtocol(strings.TrimSuffix(name, "v4"))
		if err != nil {
			return Flow{}, err
		}
		f.Protocol, f.Port = proto, l4.DestinationPort
	}
	if f.Protocol == 0 {
		return Flow{}, ErrSkip
	}
	var err error
	if f.Src, err = h.Source.end("flow.IP.source", h.IP.Source); err != nil {
		return Flow{}, err
	}
	f.Dst, err = h.Destination.end("flow.IP.destination", h.IP.Destination)
	return f, err
}

// end reads an end. Labels are written as source:key=value, those of Kubernetes with the
// source k8s; Cilium adds some that no Pod has.
func (e *hubbleEnd) end(field, addr string) (End, error) {
	a, err := parseAddr(field, addr)
	if err != nil {
		return End{}, err
	}
	out := End{Addr: a, Namespace: e.Namespace, Pod: e.PodName}
	for _, l := range e.Labels {
		key, ok := strings.CutPrefix(l, "k8s:")
		if !ok || strings.HasPrefix(key, "io.kubernetes.pod.") || strings.HasPrefix(key, "io.cilium.k8s.") {
			continue
		}
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		key, value, _ := strings.Cut(key, "=")
		out.Labels[key] = value
	}
	return out, nil
}

func parseAddr(field, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %q is no address", field, s)
	}
	return a.Unmap().WithZone(""), nil
}

func parseProtocol(s string) (policy.Protocol, error) {
	for _, p := range []policy.Protocol{policy.TCP, policy.UDP, policy.SCTP, policy.ICMP, policy.ICMPv6} {
		if s == p.String() {
			return p, nil
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("protocol: %q is none of TCP, UDP, SCTP, ICMP, ICMPv6 or a number", s)
	}
	return policy.Protocol(n), nil
}

func portText(p policy.Protocol, port uint16) string {
	if !p.HasPorts() {
		return p.String()
	}
	return strconv.Itoa(int(port)) + "/" + p.String()
}
