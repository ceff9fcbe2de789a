package app

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// parseProtocol reads a protocol's name or number; the empty name is TCP.
func parseProtocol(s string) (policy.Protocol, error) {
	switch strings.ToLower(s) {
	case "", "tcp":
		return policy.TCP, nil
	case "udp":
		return policy.UDP, nil
	case "sctp":
		return policy.SCTP, nil
	case "icmp":
		return policy.ICMP, nil
	case "icmpv6":
		return policy.ICMPv6, nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0, fmt.Errorf("unknown protocol %q: want TCP, UDP, SCTP, ICMP, ICMPv6 or a number from 0 to 255", s)
	}
	return policy.Protocol(n), nil
}

// flowRef is a flow as a user names it.
type flowRef struct {
	src, dst endRef
	proto    policy.Protocol
	// anyProto: the protocol was not stated, so a Service may know better.
	anyProto bool
	// port is a number or a name, empty if there is none.
	port string
	// guess takes the first port that dst declares if there is none.
	guess bool
}

// resolve finds the addresses and the port number that a flow means. The
// notices say what a reader might not expect.
func (c *cluster) resolve(f flowRef) (flow policy.Flow, notices []string, err error) {
	srcs, srcNotice, err := c.addrs(f.src)
	if err != nil {
		return flow, nil, fmt.Errorf("src: %w", err)
	}
	dsts, dstNotice, err := c.addrs(f.dst)
	if err != nil {
		return flow, nil, fmt.Errorf("dst: %w", err)
	}
	src, dst, ok := sameFamily(srcs, dsts, f.src.isPod() && f.dst.isPod() && f.src.pod != f.dst.pod)
	if !ok {
		return flow, nil, fmt.Errorf("src and dst have no address of the same family: %v and %v", srcs, dsts)
	}
	flow = c.flowBetween(f.src.pod, src, f.dst.pod, dst)
	flow.Protocol = f.proto
	if err := twoOfOne(f, &flow); err != nil {
		return flow, nil, err
	}
	if flow.Port, err = c.port(f, flow.Dst); err != nil {
		return flow, nil, fmt.Errorf("port: %w", err)
	}
	said := append([]string{srcNotice, dstNotice, ownerNotice(f.src, flow.Src), ownerNotice(f.dst, flow.Dst), c.hostNotice(f.src.pod), c.hostNotice(f.dst.pod)}, c.sharedNotices(&flow)...)
	for _, n := range said {
		if n != "" && !slices.Contains(notices, n) {
			notices = append(notices, n)
		}
	}
	return flow, notices, nil
}

// addrs lists the addresses that an end may stand for.
func (c *cluster) addrs(e endRef) (addrs []netip.Addr, notice string, err error) {
	if e.kind == nodeKind {
		return c.nodeAddrs(e.object.Name)
	}
	if !e.isPod() {
		return []netip.Addr{e.addr}, "", nil
	}
	pod, ok := c.index.Pod(e.pod)
	if !ok {
		return nil, "", fmt.Errorf("no Pod %s in %s", e.pod, c.where)
	}
	addrs = pod.Addrs
	if len(addrs) == 0 && pod.HostNetwork {
		addrs = pod.NodeAddrs
	}
	if len(addrs) == 0 {
		return nil, "", fmt.Errorf("the Pod %s has no address: status.podIP is empty", e.pod)
	}
	if pod.Finished {
		notice = fmt.Sprintf("Pod %s is finished: judged by its bare address", e.pod)
	}
	return addrs, notice, nil
}

// ownerNotice says when a Pod's address is another Pod's by now.
func ownerNotice(named endRef, end policy.End) string {
	if !named.isPod() || end.Pod == nil || end.Pod.NamespacedName == named.pod {
		return ""
	}
	return fmt.Sprintf("%s, the address of Pod %s, belongs to the newer Pod %s: judged as that", end.Addr, named.pod, end.Pod.NamespacedName)
}

// hostNotice says of a Pod of the host network what policies see of it.
func (c *cluster) hostNotice(name types.NamespacedName) string {
	if pod, ok := c.index.Pod(name); !ok || !pod.HostNetwork {
		return ""
	}
	return fmt.Sprintf("Pod %s uses the host network: to policies it is its node, which no podSelector matches", name)
}

// sameFamily picks the first of dsts for which there is a source of the same
// family. Of two Pods that share an address it prefers others, if there are any.
func sameFamily(srcs, dsts []netip.Addr, two bool) (src, dst netip.Addr, ok bool) {
	for _, apart := range []bool{two, false} {
		for _, d := range dsts {
			for _, s := range srcs {
				if s.Is4() == d.Is4() && (!apart || s != d) {
					return s, d, true
				}
			}
		}
	}
	return src, dst, false
}

// port gives the number of a flow's port, resolving a name on the destination.
func (c *cluster) port(f flowRef, dst policy.End) (uint16, error) {
	if !f.proto.HasPorts() {
		if f.port != "" && f.port != "0" {
			return 0, fmt.Errorf("%s has no ports, %q was given", f.proto, f.port)
		}
		return 0, nil
	}
	if f.port == "" {
		return 0, fmt.Errorf("%s needs one", f.proto)
	}
	if strings.Trim(f.port, "-0123456789") == "" {
		n, err := strconv.ParseUint(f.port, 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%s is not from 1 to 65535", f.port)
		}
		return uint16(n), nil
	}
	pod := dst.Pod
	if f.dst.isPod() {
		pod, _ = c.index.Pod(f.dst.pod)
	}
	if pod == nil {
		return 0, fmt.Errorf("the name %q means nothing at %s, which is no Pod", f.port, dst.Addr)
	}
	for _, p := range pod.Ports {
		if p.Name == f.port && p.Protocol == f.proto {
			return p.Number, nil
		}
	}
	return 0, fmt.Errorf("Pod %s has no container port named %q with protocol %s", pod.NamespacedName, f.port, f.proto)
}

// endName shows an end to a reader.
func endName(e policy.End) string {
	if e.Pod == nil {
		return e.Addr.String()
	}
	return e.Pod.NamespacedName.String()
}

// flowName shows a flow on one line, in the syntax that explain reads.
func flowName(f policy.Flow) string {
	return endName(f.Src) + " → " + targetName(endName(f.Dst), f.Protocol, f.Port)
}

func targetName(dst string, proto policy.Protocol, port uint16) string {
	if strings.Contains(dst, ":") {
		dst = "[" + dst + "]"
	}
	if !proto.HasPorts() {
		return dst + ":/" + proto.String()
	}
	return dst + ":" + strconv.Itoa(int(port)) + "/" + proto.String()
}

// parseTarget reads DST[:PORT[/PROTO]]. IPv6 addresses stand in brackets when
// a port follows; protocols without ports are written DST:/ICMP.
func parseTarget(s, defaultNamespace string) (dst endRef, port string, proto policy.Protocol, err error) {
	host, rest := s, ""
	hasRest := false
	switch {
	case strings.HasPrefix(s, "["):
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return dst, "", 0, fmt.Errorf("%q: the bracket is not closed", s)
		}
		host, rest = s[1:end], s[end+1:]
		if rest != "" {
			if rest, hasRest = strings.CutPrefix(rest, ":"); !hasRest {
				return dst, "", 0, fmt.Errorf("%q: want [ADDRESS]:PORT", s)
			}
		}
	case strings.Count(s, ":") == 1:
		host, rest, hasRest = strings.Cut(s, ":")
	}
	if dst, err = parseEnd(host, defaultNamespace); err != nil {
		return dst, "", 0, err
	}
	if !hasRest {
		return dst, "", policy.TCP, nil
	}
	port, protoName, hasProto := strings.Cut(rest, "/")
	if hasProto && protoName == "" {
		return dst, "", 0, fmt.Errorf("%q: the protocol is missing after the slash", s)
	}
	if proto, err = parseProtocol(protoName); err != nil {
		return dst, "", 0, err
	}
	if port == "" && proto.HasPorts() {
		return dst, "", 0, fmt.Errorf("%q: the port is missing after the colon", s)
	}
	return dst, port, proto, nil
}

// firstPort is the first container port that a Pod declares, for a question
// that names none.
func (c *cluster) firstPort(e endRef) (port string, proto policy.Protocol, ok bool) {
	pod := c.pods[e.pod]
	if pod == nil {
		return "", 0, false
	}
	for _, container := range pod.Spec.Containers {
		for _, p := range container.Ports {
			return strconv.Itoa(int(p.ContainerPort)), protocolOf(p.Protocol), true
		}
	}
	return "", 0, false
}

func protocolOf(p corev1.Protocol) policy.Protocol {
	switch p {
	case corev1.ProtocolUDP:
		return policy.UDP
	case corev1.ProtocolSCTP:
		return policy.SCTP
	}
	return policy.TCP
}
