package denials

import (
	"fmt"
	"net/netip"
	"strings"
)

// workloadKinds are the kinds of workloads, by how kubectl lets people write them.
var workloadKinds = map[string]string{
	"deploy": "Deployment", "deployment": "Deployment", "deployments": "Deployment", "deployment.apps": "Deployment", "deployments.apps": "Deployment",
	"sts": "StatefulSet", "statefulset": "StatefulSet", "statefulsets": "StatefulSet", "statefulset.apps": "StatefulSet", "statefulsets.apps": "StatefulSet",
	"ds": "DaemonSet", "daemonset": "DaemonSet", "daemonsets": "DaemonSet", "daemonset.apps": "DaemonSet", "daemonsets.apps": "DaemonSet",
	"job": "Job", "jobs": "Job", "job.batch": "Job", "jobs.batch": "Job",
	"cj": "CronJob", "cronjob": "CronJob", "cronjobs": "CronJob", "cronjob.batch": "CronJob", "cronjobs.batch": "CronJob",
}

var (
	podWords       = map[string]bool{"pod": true, "pods": true, "po": true}
	namespaceWords = map[string]bool{"ns": true, "namespace": true, "namespaces": true}
	nodeWords      = map[string]bool{"node": true, "nodes": true, "no": true}
)

// untold are types that other commands take for ends, and what to write here, where an
// end is known by its Pod, what made that, and its address. None of them may pass for a
// namespace of that name: nothing would be found, and that reads as if nothing were denied.
var untold = func() map[string]string {
	out := map[string]string{}
	for mend, words := range map[string]string{
		"write the workload behind it, such as deploy/NAME":           "svc service services ing ingress ingresses gtw gateway gateways httproute httproutes grpcroute grpcroutes tlsroute tlsroutes tcproute tcproutes udproute udproutes route routes",
		"write the Deployment that made it, or its Pods as NAME-*":    "rs replicaset replicasets",
		"write its Pods as NAME-*":                                    "rc replicationcontroller replicationcontrollers",
		"write the Pods that it selects, such as deploy/NAME or ns/X": "netpol networkpolicy networkpolicies",
	} {
		for _, word := range strings.Fields(words) {
			out[word] = mend
		}
	}
	return out
}()

// mostPattern bounds what is read as an end: a namespace and a Pod of 63 and 253 letters.
const mostPattern = 400

// wantEnd says in an error what an end is.
const wantEnd = "write a Pod (web, web-*, shop/web), a workload (deploy/web, and so sts, ds, job, cronjob), ns/NAME, an address, a CIDR block, node, node/NAME, outside, internet or any"

// ParseEnd reads which ends are meant, as people write them:
//
//	web            the Pod web of the namespace, of any if that is empty
//	web-*          the Pods whose names begin so
//	shop/web       the Pod web of namespace shop, and so pod/shop/web
//	deploy/web     the Pods of the Deployment web, deploy/shop/web of namespace shop;
//	               other workloads likewise
//	ns/shop        the Pods of namespace shop
//	10.0.0.7       whatever has the address
//	10.0.0.0/8     whatever has an address in the block
//	node, node/a   a node, the node a
//	outside        what is neither Pod nor node, and so internet
//	any            whatever it is
//
// What it cannot tell by a denial it refuses, such as a Service or labels.
func ParseEnd(s, namespace string) (*EndPattern, error) {
	if s == "" || len(s) > mostPattern {
		return nil, noEnd(s, wantEnd)
	}
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return &EndPattern{block: netip.PrefixFrom(a, a.BitLen())}, nil
	}
	if b, err := netip.ParsePrefix(s); err == nil {
		return &EndPattern{block: b.Masked()}, nil
	}
	switch strings.ToLower(s) {
	case "outside", "internet":
		return &EndPattern{kind: OutsideEnd}, nil
	case "node", "nodes":
		return &EndPattern{kind: NodeEnd}, nil
	case "any":
		return &EndPattern{}, nil
	}
	switch {
	case strings.ContainsAny(s, "=!(), "):
		return nil, noEnd(s, "a denial does not tell its Pods' labels: "+wantEnd)
	case strings.Trim(s, "0123456789./:") == "":
		return nil, noEnd(s, "it is no address and no CIDR block: "+wantEnd)
	}
	before, name, slash := strings.Cut(s, "/")
	if !slash {
		return podPattern(namespace, s)
	}
	return typedPattern(strings.ToLower(before), before, name, namespace)
}

func noEnd(s, mend string) error { return fmt.Errorf("%q is no end of a flow: %s", shorten(s), mend) }

// typedPattern reads TYPE/NAME, TYPE/NAMESPACE/NAME and NAMESPACE/POD; before is what
// stands before the slash, and word that in small letters.
func typedPattern(word, before, name, namespace string) (*EndPattern, error) {
	written := before + "/" + name
	base, _, _ := strings.Cut(word, ".")
	if mend := untold[base]; mend != "" {
		return nil, noEnd(written, fmt.Sprintf("%s; a Pod of a namespace called %s is pod/%s/NAME", mend, base, base))
	}
	made := workloadKinds[word]
	if of, inner, deeper := strings.Cut(name, "/"); deeper && (made != "" || podWords[word]) {
		if namespace, name = of, inner; !isName(namespace) {
			return nil, noEnd(written, wantEnd)
		}
	}
	switch {
	case podWords[word]:
		return podPattern(namespace, name)
	case made != "" && isName(name):
		return &EndPattern{kind: PodEnd, namespace: namespace, workload: made + "/" + name}, nil
	case namespaceWords[word] && isName(name):
		return &EndPattern{kind: PodEnd, namespace: name}, nil
	case nodeWords[word] && isName(name):
		return &EndPattern{kind: NodeEnd, node: name}, nil
	case made != "" || namespaceWords[word] || nodeWords[word] || !isName(before) || strings.Contains(before, "."):
		return nil, noEnd(written, wantEnd)
	}
	return podPattern(before, name)
}

// podPattern reads a Pod's name, or how it begins.
func podPattern(namespace, name string) (*EndPattern, error) {
	start, prefix := strings.CutSuffix(name, "*")
	switch {
	case strings.Contains(start, "*"):
		return nil, fmt.Errorf("%q is no Pod: a * can only stand at the end of its name", shorten(name))
	case !isName(start) && (start != "" || !prefix):
		return nil, noEnd(name, wantEnd)
	}
	return &EndPattern{kind: PodEnd, namespace: namespace, pod: start, prefix: prefix}, nil
}

// isName reports whether an object's name, or the beginning of one, can be so. The API
// server takes no other letters.
func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}
