package page

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// askedKinds are the short names that explain takes for a workload.
var askedKinds = map[string]string{
	"Pod": "pod", "Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds", "ReplicaSet": "rs",
	"Job": "job", "CronJob": "cronjob", "ReplicationController": "rc",
}

func (b *builder) end(e *connectivity.End) end {
	out := end{
		Kind: e.Kind.String(), Namespace: e.Namespace, Name: shortName(e), Labels: e.Labels, Ask: asked(e),
		Ingress: b.policyList(e.Ingress), Egress: b.policyList(e.Egress),
	}
	for _, w := range e.Workloads {
		out.Workloads = append(out.Workloads, w.String())
	}
	for _, p := range e.Ports {
		out.Ports = append(out.Ports, fmt.Sprintf("%s %d/%s", p.Name, p.Number, p.Protocol))
	}
	for _, a := range e.Addrs {
		out.Addresses = append(out.Addresses, a.String())
	}
	for _, r := range e.Ranges {
		out.Addresses = append(out.Addresses, r.String())
	}
	return out
}

// shortName is what stands at a row: the namespace is above it.
func shortName(e *connectivity.End) string {
	first, more := e.String(), 0
	switch {
	case len(e.Workloads) > 0:
		first, more = e.Workloads[0].Name, len(e.Workloads)-1
	case len(e.Ranges) > 0:
		first, more = e.Ranges[0].String(), len(e.Ranges)-1
	}
	if more > 0 {
		return first + " +" + strconv.Itoa(more)
	}
	return first
}

// asked is how explain names the end: its first workload or its first address.
func asked(e *connectivity.End) string {
	switch {
	case len(e.Workloads) > 0:
		w := e.Workloads[0]
		short, known := askedKinds[w.Kind]
		if !known {
			return ""
		}
		return short + "/" + w.Namespace + "/" + w.Name
	case len(e.Ranges) > 0:
		return e.Ranges[0].First.String()
	}
	return ""
}

func isPod(e *connectivity.End) bool { return e.Kind == connectivity.Pods }

// portsText is the ports of stretches as a person writes them.
func portsText(list []connectivity.Stretch) string {
	if len(list) == 0 {
		return "nothing"
	}
	ports := make([]connectivity.Ports, len(list))
	for i := range list {
		ports[i] = list[i].Ports
	}
	return connectivity.Describe(ports)
}

// stateOf is the state of what passes: "all" is everything without conditions.
func stateOf(list []connectivity.Stretch) string {
	allowed := 0
	for i := range list {
		if list[i].Answer == connectivity.Allowed {
			allowed++
		}
	}
	switch {
	case allowed == 0:
		return "depends"
	case allowed == len(list) && portsText(list) == "all":
		return "all"
	}
	return "some"
}

func (b *builder) stretches(list []connectivity.Stretch) []stretch {
	var out []stretch
	for i := range list {
		s := &list[i]
		one := stretch{Ports: s.Ports.String(), Answer: s.Answer.String(), Egress: b.side(&s.Egress), Ingress: b.side(&s.Ingress)}
		if s.IPv4 != s.IPv6 {
			one.IPv4, one.IPv6 = s.IPv4.String(), s.IPv6.String()
		}
		out = append(out, one)
	}
	return out
}

// side is nil where no reasons were asked for.
func (b *builder) side(s *connectivity.Side) *side {
	if s.Reason == "" && s.Answer == connectivity.Denied && len(s.Grants) == 0 {
		return nil
	}
	out := &side{Reason: string(s.Reason), Answer: s.Answer.String()}
	for _, g := range s.Grants {
		out.Rules = append(out.Rules, b.rule(g, false))
	}
	return out
}

func text(list []int) string {
	var b strings.Builder
	for _, n := range list {
		b.WriteString(strconv.Itoa(n))
		b.WriteByte(' ')
	}
	return b.String()
}
