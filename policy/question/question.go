package question

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/policy"
)

// Question is a flow as somebody names it. [Parse] reads one.
type Question struct {
	Src, Dst End
	Protocol policy.Protocol
	// AnyProtocol: the protocol was not stated, so a Service may know better.
	AnyProtocol bool
	// Port is a number or a name, empty if there is none.
	Port string
	// GuessPort takes the first port that Dst declares if there is none.
	GuessPort bool
}

// Parse reads SRC and DST[:PORT[/PROTO]]. Protocols without ports are written
// DST:/ICMP, and an IPv6 address with a port in brackets. The namespace is that of
// ends that name none.
func Parse(src, dst, namespace string) (q Question, err error) {
	if q.Src, err = ParseEnd(src, namespace); err != nil {
		return q, fmt.Errorf("SRC: %w", err)
	}
	if q.Dst, q.Port, q.Protocol, err = parseTarget(dst, namespace); err != nil {
		return q, fmt.Errorf("DST: %w", err)
	}
	colon := strings.LastIndexByte(dst, ':')
	q.AnyProtocol = colon < 0 || !strings.Contains(dst[colon:], "/")
	return q, nil
}

// parseTarget reads DST[:PORT[/PROTO]].
func parseTarget(s, defaultNamespace string) (dst End, port string, proto policy.Protocol, err error) {
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
	case strings.Contains(s, "="):
		// Labels have no colon: one behind them is the port's.
		at := strings.LastIndexByte(s, '=')
		if colon := strings.IndexByte(s[at:], ':'); colon >= 0 {
			host, rest, hasRest = s[:at+colon], s[at+colon+1:], true
		}
	case strings.Count(s, ":") == 1:
		host, rest, hasRest = strings.Cut(s, ":")
	}
	if dst, err = ParseEnd(host, defaultNamespace); err != nil {
		return dst, "", 0, err
	}
	if !hasRest {
		return dst, "", policy.TCP, nil
	}
	port, protoName, hasProto := strings.Cut(rest, "/")
	if hasProto && protoName == "" {
		return dst, "", 0, fmt.Errorf("%q: the protocol is missing after the slash", s)
	}
	if proto, err = ParseProtocol(protoName); err != nil {
		return dst, "", 0, err
	}
	if port == "" && proto.HasPorts() {
		return dst, "", 0, fmt.Errorf("%q: the port is missing after the colon", s)
	}
	return dst, port, proto, nil
}

// ParseProtocol reads a protocol's name or number; the empty name is TCP.
func ParseProtocol(s string) (policy.Protocol, error) {
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

// servicePorts is the protocol for which a Service is asked for its ports: empty
// if any will do.
func (q *Question) servicePorts() corev1.Protocol {
	if q.AnyProtocol {
		return ""
	}
	return corev1.Protocol(q.Protocol.String())
}

// String is the question in the syntax that Parse reads, with an arrow between
// the ends.
func (q Question) String() string {
	return q.Src.String() + " → " + bracketed(q.Dst.String()) + ":" + q.Port + "/" + q.Protocol.String()
}

// bracketed sets an IPv6 address apart from a port.
func bracketed(end string) string {
	if strings.Count(end, ":") > 1 {
		return "[" + end + "]"
	}
	return end
}

// FlowName shows a flow on one line, in the syntax that Parse reads, with an arrow
// between the ends.
func FlowName(f policy.Flow) string { return flowName(f, "", "") }

// flowName names the ends as given, if they are.
func flowName(f policy.Flow, src, dst string) string {
	s := cmp.Or(src, EndName(f.Src)) + " → " + bracketed(cmp.Or(dst, EndName(f.Dst))) + ":"
	if f.Protocol.HasPorts() {
		s += strconv.Itoa(int(f.Port))
	}
	return s + "/" + f.Protocol.String()
}

// EndName shows an end to a reader.
func EndName(e policy.End) string {
	if e.Pod == nil && StandIn(e.Addr) {
		return "its node"
	}
	if e.Pod == nil {
		return e.Addr.String()
	}
	if e.Pod.Namespace == somewhere {
		return e.Pod.Name
	}
	return e.Pod.NamespacedName.String()
}
