package denials

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Filter says which denials are meant. The zero value, and nil, pass all. It is not to be
// changed once it is in use.
type Filter struct {
	// Namespace is of a Pod at either end.
	Namespace string
	// Pod is either end, From the end that opened the flow, To the other.
	Pod, From, To *EndPattern
	// Reasons, if there are any.
	Reasons []Reason
	// Since is how old a denial may be.
	Since time.Time
}

// Passes reports whether a denial is meant.
func (f *Filter) Passes(d *Denial) bool {
	switch {
	case f == nil:
		return true
	case f.Namespace != "" && d.Src.Namespace != f.Namespace && d.Dst.Namespace != f.Namespace:
		return false
	case f.Pod != nil && !f.Pod.matches(&d.Src, d.src) && !f.Pod.matches(&d.Dst, d.dst):
		return false
	case f.From != nil && !f.From.matches(&d.Src, d.src):
		return false
	case f.To != nil && !f.To.matches(&d.Dst, d.dst):
		return false
	case len(f.Reasons) > 0 && !slices.Contains(f.Reasons, d.Reason):
		return false
	}
	return f.Since.IsZero() || !d.Time.Before(f.Since)
}

// EndPattern says which ends of flows are meant.
type EndPattern struct {
	// kind is the end's, empty for any.
	kind EndKind
	// block is where its address is, if valid.
	block netip.Prefix
	// namespace, pod, workload and node are its own, empty for any.
	namespace, pod, workload, node string
	// prefix: pod is how its name begins.
	prefix bool
}

// workloadKinds are the kinds of workloads, by how kubectl lets people write them.
var workloadKinds = map[string]string{
	"deploy": "Deployment", "deployment": "Deployment", "deployments": "Deployment", "deployment.apps": "Deployment", "deployments.apps": "Deployment",
	"sts": "StatefulSet", "statefulset": "StatefulSet", "statefulsets": "StatefulSet", "statefulset.apps": "StatefulSet", "statefulsets.apps": "StatefulSet",
	"ds": "DaemonSet", "daemonset": "DaemonSet", "daemonsets": "DaemonSet", "daemonset.apps": "DaemonSet", "daemonsets.apps": "DaemonSet",
	"job": "Job", "jobs": "Job", "job.batch": "Job", "jobs.batch": "Job",
	"cj": "CronJob", "cronjob": "CronJob", "cronjobs": "CronJob", "cronjob.batch": "CronJob", "cronjobs.batch": "CronJob",
}

// mostPattern bounds what is read as an end: a namespace and a Pod of 63 and 253 letters.
const mostPattern = 400

// ParseEnd reads which ends are meant, as people write them:
//
//	web            the Pod web of the namespace, of any if that is empty
//	web-*          the Pods whose names begin so
//	shop/web       the Pod web of namespace shop
//	deploy/web     the Pods of the Deployment web; other workloads likewise
//	ns/shop        the Pods of namespace shop
//	10.0.0.7       whatever has the address
//	10.0.0.0/8     whatever has an address in the block
//	node, node/a   a node, the node a
//	outside        what is neither Pod nor node
func ParseEnd(s, namespace string) (*EndPattern, error) {
	if s == "" || len(s) > mostPattern {
		return nil, fmt.Errorf("%q is no end of a flow: write a Pod, NAMESPACE/POD, deploy/NAME, ns/NAME, an address, a CIDR block, node or outside", shorten(s))
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return &EndPattern{block: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	if b, err := netip.ParsePrefix(s); err == nil {
		return &EndPattern{block: b.Masked()}, nil
	}
	switch strings.ToLower(s) {
	case "outside":
		return &EndPattern{kind: OutsideEnd}, nil
	case "node", "nodes":
		return &EndPattern{kind: NodeEnd}, nil
	}
	before, name, slash := strings.Cut(s, "/")
	if !slash {
		return podPattern(namespace, s)
	}
	kind := strings.ToLower(before)
	switch {
	case name == "" || before == "" || strings.Contains(name, "/"):
		return nil, fmt.Errorf("%q is no end of a flow: write NAMESPACE/POD or KIND/NAME", shorten(s))
	case workloadKinds[kind] != "":
		return &EndPattern{kind: PodEnd, namespace: namespace, workload: workloadKinds[kind] + "/" + name}, nil
	case kind == "ns" || kind == "namespace" || kind == "namespaces":
		return &EndPattern{kind: PodEnd, namespace: name}, nil
	case kind == "pod" || kind == "pods" || kind == "po":
		return podPattern(namespace, name)
	case kind == "node" || kind == "nodes" || kind == "no":
		return &EndPattern{kind: NodeEnd, node: name}, nil
	}
	return podPattern(before, name)
}

func podPattern(namespace, name string) (*EndPattern, error) {
	p := &EndPattern{kind: PodEnd, namespace: namespace, pod: name}
	if start, ok := strings.CutSuffix(name, "*"); ok {
		p.pod, p.prefix = start, true
	}
	if strings.Contains(p.pod, "*") {
		return nil, fmt.Errorf("%q is no Pod: a * can only stand at the end of its name", shorten(name))
	}
	return p, nil
}

func (p *EndPattern) matches(e *End, a netip.Addr) bool {
	if p.kind != "" && p.kind != e.Kind || p.namespace != "" && p.namespace != e.Namespace {
		return false
	}
	if p.workload != "" && p.workload != e.Workload || p.node != "" && p.node != e.Node {
		return false
	}
	if p.block.IsValid() && !p.block.Contains(address(e, a)) {
		return false
	}
	if p.prefix {
		return strings.HasPrefix(e.Pod, p.pod)
	}
	return p.pod == "" || p.pod == e.Pod
}

// address is that of an end, also of a denial that was read from JSON.
func address(e *End, a netip.Addr) netip.Addr {
	if !a.IsValid() {
		a, _ = netip.ParseAddr(e.Address)
	}
	return a
}

func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
