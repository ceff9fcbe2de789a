package question

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Kind says what an end of a flow is named by: an address, or a kind of object.
type Kind string

// The kinds that are not workloads'. Those are named as Kubernetes does:
// Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job and
// CronJob.
const (
	KindAddress Kind = "Address"
	KindPod     Kind = "Pod"
	KindService Kind = "Service"
	KindNode    Kind = "Node"
)

// The kinds of entries from outside: what package entries calls who speaks for one is the
// source, and what is behind one the destination.
const (
	KindIngress   Kind = "Ingress"
	KindGateway   Kind = "Gateway"
	KindHTTPRoute Kind = "HTTPRoute"
	KindGRPCRoute Kind = "GRPCRoute"
	KindTLSRoute  Kind = "TLSRoute"
	KindTCPRoute  Kind = "TCPRoute"
	KindUDPRoute  Kind = "UDPRoute"
	// KindRoute is OpenShift's.
	KindRoute Kind = "Route"
)

// The kinds of ends that stand for many.
const (
	// KindRange is all addresses of a CIDR.
	KindRange Kind = "Range"
	// KindInternet is all addresses that are no Pod's and, as far as is known, no
	// node's and from no range of these: what a list calls so.
	KindInternet Kind = "Internet"
	// KindAny is every Pod and the internet.
	KindAny Kind = "Any"
	// KindNamespace is every Pod of a namespace.
	KindNamespace Kind = "Namespace"
	// KindSelector is every Pod with certain labels, of one namespace or of all.
	KindSelector Kind = "Selector"
)

// End is an end of a flow as somebody names it. [PodEnd], [AddrEnd] and
// [ParseEnd] make one. Ends compare with ==.
type End struct {
	Kind Kind
	// Addr is that of KindAddress; all others name an Object. A Node's has no
	// namespace.
	Addr   netip.Addr
	Object types.NamespacedName
	// Prefix is that of KindRange, and Selector the labels that KindSelector demands,
	// as kubectl's -l takes them; it is of all namespaces if Object names none.
	Prefix   netip.Prefix
	Selector string
	// word is the type as it was written, where no namespace was: TYPE/NAME can
	// also be read as NAMESPACE/POD.
	word string
}

// PodEnd names a Pod.
func PodEnd(namespace, name string) End {
	return End{Kind: KindPod, Object: types.NamespacedName{Namespace: namespace, Name: name}}
}

// AddrEnd names an address, of a Pod or of anybody else.
func AddrEnd(a netip.Addr) End { return End{Kind: KindAddress, Addr: a.Unmap()} }

// kindWords are the words for kinds that kubectl takes too, the one by which an
// end is shown first.
var kindWords = map[Kind][]string{
	KindPod:                 {"pod", "po", "pods"},
	KindService:             {"svc", "service", "services"},
	KindNode:                {"node", "no", "nodes"},
	"Deployment":            {"deploy", "deployment", "deployments"},
	"StatefulSet":           {"sts", "statefulset", "statefulsets"},
	"DaemonSet":             {"ds", "daemonset", "daemonsets"},
	"ReplicaSet":            {"rs", "replicaset", "replicasets"},
	"ReplicationController": {"rc", "replicationcontroller", "replicationcontrollers"},
	"Job":                   {"job", "jobs"},
	"CronJob":               {"cronjob", "cj", "cronjobs"},
	KindIngress:             {"ingress", "ing", "ingresses"},
	KindGateway:             {"gateway", "gtw", "gateways"},
	KindHTTPRoute:           {"httproute", "httproutes"},
	KindGRPCRoute:           {"grpcroute", "grpcroutes"},
	KindTLSRoute:            {"tlsroute", "tlsroutes"},
	KindTCPRoute:            {"tcproute", "tcproutes"},
	KindUDPRoute:            {"udproute", "udproutes"},
	KindRoute:               {"route", "routes"},
}

// kindOf reads a word for a kind; it is empty if there is none. kubectl also takes
// types with their group, such as deployments.apps.
func kindOf(word string) Kind {
	word, _, _ = strings.Cut(strings.ToLower(word), ".")
	return kinds[word]
}

// kinds are kindWords by word.
var kinds = func() map[string]Kind {
	m := map[string]Kind{}
	for kind, words := range kindWords {
		for _, word := range words {
			m[word] = kind
		}
	}
	return m
}()

// one reports whether an end is a single Pod or address, and needs no lookup of
// anything else.
func (e End) one() bool { return e.Kind == KindPod || e.Kind == KindAddress }

// plural reports whether an end may stand for several Pods.
func (e End) plural() bool { return !e.one() && e.Kind != KindNode }

// Entry reports whether an end is an entry from outside.
func (e End) Entry() bool {
	switch e.Kind {
	case KindIngress, KindGateway, KindHTTPRoute, KindGRPCRoute, KindTLSRoute, KindTCPRoute, KindUDPRoute, KindRoute:
		return true
	}
	return false
}

// spread reports whether an end is of those that stand for many by themselves.
func (e End) spread() bool {
	switch e.Kind {
	case KindRange, KindInternet, KindAny, KindNamespace, KindSelector:
		return true
	}
	return false
}

// pod is the name of a Pod, empty for all other ends.
func (e End) pod() types.NamespacedName {
	if e.Kind == KindPod {
		return e.Object
	}
	return types.NamespacedName{}
}

// String is in the syntax that ParseEnd reads.
func (e End) String() string {
	switch {
	case e.Kind == KindAddress:
		return e.Addr.String()
	case e.Kind == KindPod && kindOf(e.Object.Namespace) == "" && !namespaceWords[e.Object.Namespace]:
		return e.Object.String()
	case e.Kind == KindNode:
		return "node/" + e.Object.Name
	case e.Kind == KindRange:
		return e.Prefix.String()
	case e.Kind == KindInternet || e.Kind == KindAny:
		return strings.ToLower(string(e.Kind))
	case e.Kind == KindNamespace:
		return "ns/" + e.Object.Namespace
	case e.Kind == KindSelector && e.Object.Namespace != "":
		return "ns/" + e.Object.Namespace + ":" + e.Selector
	case e.Kind == KindSelector:
		return e.Selector
	case e.Kind == "":
		return "nothing"
	}
	return kindWords[e.Kind][0] + "/" + e.Object.String()
}

// WantEnd says in an error what an end is.
const WantEnd = `want "namespace/pod", "svc/name" or another "type/name", "ns/name", labels such as "app=web", an address, a CIDR, "internet" or "any"`

// ParseEnd reads an address, "pod", "namespace/pod", and "type/name" and
// "type/namespace/name" for the types that kubectl knows of Pods, Services, Nodes
// and workloads; and what stands for many: a CIDR, "internet", "any", "ns/name" and
// labels as "app=web", which "ns/name:app=web" restricts to a namespace.
func ParseEnd(s, defaultNamespace string) (End, error) {
	if s == "" {
		return End{}, errors.New("empty: " + WantEnd)
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return End{}, fmt.Errorf("%s: an address with a zone means something on one link only", s)
		}
		return AddrEnd(addr), nil
	}
	if e, ok, err := parseSpread(s); ok {
		return e, err
	}
	parts := strings.Split(s, "/")
	if looksLikeAddress(s) || slices.Contains(parts, "") {
		return End{}, fmt.Errorf("%q is neither an address nor namespace/pod", s)
	}
	kind := kindOf(parts[0])
	switch {
	case len(parts) == 1:
		return PodEnd(defaultNamespace, s), nil
	case len(parts) == 2 && kind == "":
		return PodEnd(parts[0], parts[1]), nil
	case kind == "" || len(parts) > 3:
		return End{}, fmt.Errorf("%q is neither an address nor namespace/pod, nor type/namespace/name for a type such as pod, svc, deploy, sts, ds, job or node", s)
	case kind == KindNode && len(parts) == 3:
		return End{}, fmt.Errorf("%q: a Node is in no namespace: write node/%s", s, parts[2])
	}
	e := End{Kind: kind, Object: types.NamespacedName{Namespace: defaultNamespace, Name: parts[len(parts)-1]}}
	switch {
	case len(parts) == 3:
		e.Object.Namespace = parts[1]
	case kind != KindPod:
		e.word = parts[0]
	}
	if kind == KindNode {
		e.Object.Namespace = ""
	}
	return e, nil
}

// parseSpread reads an end that stands for many; ok is false if s is another one.
func parseSpread(s string) (e End, ok bool, err error) {
	switch s {
	case "internet":
		return End{Kind: KindInternet}, true, nil
	case "any", "*":
		return End{Kind: KindAny}, true, nil
	}
	if p, err := netip.ParsePrefix(s); err == nil {
		if p != p.Masked() {
			return e, true, fmt.Errorf("%s is not the first address of its range: write %s, or the address alone", s, p.Masked())
		}
		return End{Kind: KindRange, Prefix: p}, true, nil
	}
	selector := s
	if word, rest, found := strings.Cut(s, "/"); found && namespaceWords[strings.ToLower(word)] {
		name, labels, selected := strings.Cut(rest, ":")
		if why := validation.IsDNS1123Label(name); len(why) > 0 {
			return e, true, fmt.Errorf("%q is no name of a namespace: %s", name, why[0])
		}
		e.Object.Namespace = name
		if !selected {
			e.Kind = KindNamespace
			return e, true, nil
		}
		selector = labels
	} else if !strings.ContainsAny(s, "=!(") {
		return e, false, nil
	}
	// The parser takes a NUL for the end, and would leave out what follows.
	if strings.ContainsRune(selector, 0) {
		return e, true, fmt.Errorf("%q are no labels: there is a NUL in them", selector)
	}
	parsed, err := labels.Parse(selector)
	if err != nil {
		return e, true, fmt.Errorf("%q are no labels: %w", selector, err)
	}
	if e.Selector = parsed.String(); e.Selector == "" {
		return e, true, fmt.Errorf("%q are no labels: write such as app=web, or any", selector)
	}
	e.Kind = KindSelector
	return e, true, nil
}

var namespaceWords = map[string]bool{"ns": true, "namespace": true, "namespaces": true}

// looksLikeAddress tells a mistyped address from a Pod's name: no Pod is named
// with a colon, and none that is worth a thought with digits and dots alone.
func looksLikeAddress(s string) bool {
	return strings.Contains(s, ":") || strings.Trim(s, "0123456789./") == ""
}
