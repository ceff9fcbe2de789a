package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/nodestatus"
	"github.com/sluice-net/sluice/policy"
)

// statusReport is what nodes enforce beside what the API says. It is also the JSON form.
type statusReport struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	Nodes      []*nodestatus.Node `json:"nodes"`
	// Unanswered are nodes of which nothing is known.
	Unanswered []unanswered   `json:"unanswered,omitempty"`
	Policies   []objectStatus `json:"policies,omitempty"`
	Pods       []objectStatus `json:"pods,omitempty"`
}

type unanswered struct {
	Node    string `json:"node"`
	Message string `json:"message"`
}

// The states of an object.
const (
	stateEnforced = "Enforced"
	// stateBehind: a node has another version than the API, or not in the kernel yet.
	stateBehind = "Behind"
	// stateNoPods is a policy that isolates no Pod of a node that answered.
	stateNoPods = "NoPods"
	// stateNoAddress is a Pod that has no address yet.
	stateNoAddress = "NoAddress"
	// stateBlocked is a Pod of which the node says that something keeps its policies from
	// having their effect.
	stateBlocked = "Blocked"
	// stateUnknown is a Pod of which no node that answered speaks.
	stateUnknown = "Unknown"
)

// objectStatus is a policy or a Pod as the API and the nodes have it.
type objectStatus struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// ResourceVersion is the API's, empty where the API has no such object or was not
	// asked.
	ResourceVersion string `json:"resourceVersion,omitempty"`
	State           string `json:"state"`
	// Nodes are those that speak of it.
	Nodes []objectOnNode `json:"nodes,omitempty"`
	// Pods is how many Pods a policy isolates.
	Pods int `json:"pods,omitempty"`
	// Ingress, Egress and Addresses are a Pod's.
	Ingress   []string `json:"ingress,omitempty"`
	Egress    []string `json:"egress,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Invalid   string   `json:"invalid,omitempty"`
}

type objectOnNode struct {
	Node string `json:"node"`
	nodestatus.Object
	// Current: what the node has is what the API has, and is in the kernel.
	Current bool `json:"current"`
}

// objectVersion is an object's in the API.
type objectVersion struct {
	uid, rv string
	// placed: a Pod that should have an address on a node.
	placed bool
}

// said is what the API says now.
type said struct {
	policies, pods map[types.NamespacedName]objectVersion
	// unasked: there is no API to ask, and what a node has counts as current.
	unasked bool
	// ofOneNode: the policies that matter are those that the node speaks of.
	ofOneNode bool
}

// has reports whether the API has an object in that version.
func (s *said) has(of map[types.NamespacedName]objectVersion, name types.NamespacedName, o nodestatus.Object) bool {
	v, found := of[name]
	return s.unasked || found && v.uid == o.UID && v.rv == o.ResourceVersion
}

// ofAPI asks the API for what the agents were asked for.
func (o *StatusOptions) ofAPI(ctx context.Context, c *connection) (*said, error) {
	if c.client == nil {
		return &said{unasked: true}, nil
	}
	out := &said{
		policies: map[types.NamespacedName]objectVersion{}, pods: map[types.NamespacedName]objectVersion{},
		ofOneNode: o.target.kind == "node" || o.target.kind == "pod",
	}
	namespace := o.namespace
	if o.allNamespaces || o.target.kind == "node" {
		namespace = metav1.NamespaceAll
	}
	var podOptions metav1.ListOptions
	if o.target.kind == "node" {
		podOptions.FieldSelector = "spec.nodeName=" + o.target.name
	}
	if o.target.kind == "pod" {
		podOptions.FieldSelector = metav1.ObjectNameField + "=" + o.target.name
	}
	err := list(ctx, "list NetworkPolicies", c.client.NetworkingV1().NetworkPolicies(namespace).List, func(l *networkingv1.NetworkPolicyList) {
		for i := range l.Items {
			p := &l.Items[i]
			out.policies[nameOf(p)] = objectVersion{uid: string(p.UID), rv: p.ResourceVersion}
		}
	})
	if err == nil {
		err = list(ctx, "list Pods", func(ctx context.Context, lo metav1.ListOptions) (*corev1.PodList, error) {
			lo.FieldSelector = podOptions.FieldSelector
			return c.client.CoreV1().Pods(namespace).List(ctx, lo)
		}, func(l *corev1.PodList) {
			for i := range l.Items {
				p := &l.Items[i]
				ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
				out.pods[nameOf(p)] = objectVersion{string(p.UID), p.ResourceVersion, p.Spec.NodeName != "" && !p.Spec.HostNetwork && !ended}
			}
		})
	}
	if apierrors.IsForbidden(err) {
		err = fmt.Errorf("compare with the API: %w (status needs the verb list for pods and networkpolicies of the namespace)", err)
	}
	if err != nil {
		return nil, unusable(err)
	}
	return out, o.exists(out)
}

// exists refuses a name that is nobody's.
func (o *StatusOptions) exists(s *said) error {
	name := types.NamespacedName{Namespace: o.namespace, Name: o.target.name}
	of := map[string]map[types.NamespacedName]objectVersion{"netpol": s.policies, "pod": s.pods}[o.target.kind]
	if of == nil {
		return nil
	}
	if _, found := of[name]; !found {
		return unusablef("there is no %s/%s in namespace %s", o.target.kind, o.target.name, o.namespace)
	}
	for other := range of {
		if other != name {
			delete(of, other)
		}
	}
	return nil
}

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// compare makes the states of policies and Pods. all: every node was asked for the policy,
// whether it has Pods or not.
func (r *statusReport) compare(s *said, all bool) {
	policies, pods := map[types.NamespacedName]*objectStatus{}, map[types.NamespacedName]*objectStatus{}
	get := func(of map[types.NamespacedName]*objectStatus, name types.NamespacedName) *objectStatus {
		if of[name] == nil {
			of[name] = &objectStatus{Namespace: name.Namespace, Name: name.Name}
		}
		return of[name]
	}
	blocked := map[string]bool{}
	for _, n := range r.Nodes {
		for _, c := range n.Conditions {
			if pod, ofPod := strings.CutPrefix(c.Object, "Pod "); ofPod && c.NotReady {
				blocked[pod] = true
			}
		}
		for _, p := range n.Policies {
			o := get(policies, types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
			o.Nodes, o.Pods, o.Invalid = append(o.Nodes, onNode(n, p.Object)), o.Pods+p.Pods, cmp.Or(o.Invalid, p.Invalid)
		}
		for _, p := range n.Pods {
			o := get(pods, types.NamespacedName{Namespace: p.Namespace, Name: p.Name})
			o.Nodes = append(o.Nodes, onNode(n, p.Object))
			o.Ingress, o.Egress, o.Addresses = p.Ingress, p.Egress, p.Addresses
		}
	}
	for name := range s.policies {
		if !s.ofOneNode {
			get(policies, name)
		}
	}
	for name, v := range s.pods {
		if v.placed && !all {
			get(pods, name)
		}
	}
	r.Policies = judge(policies, s, s.policies, func(o *objectStatus) string {
		if o.Pods == 0 && !all {
			return stateNoPods
		}
		return stateEnforced
	})
	r.Pods = judge(pods, s, s.pods, func(o *objectStatus) string {
		switch {
		case len(o.Nodes) == 0:
			return stateUnknown
		case blocked[o.Namespace+"/"+o.Name]:
			return stateBlocked
		case len(o.Addresses) == 0:
			return stateNoAddress
		}
		return stateEnforced
	})
}

func onNode(n *nodestatus.Node, o nodestatus.Object) objectOnNode {
	return objectOnNode{Node: n.Node, Object: o}
}

// judge gives objects their states, sorted by name.
func judge(objects map[types.NamespacedName]*objectStatus, s *said, of map[types.NamespacedName]objectVersion, otherwise func(*objectStatus) string) []objectStatus {
	var out []objectStatus
	for _, name := range slices.SortedFunc(maps.Keys(objects), policy.CompareNames) {
		o := objects[name]
		o.ResourceVersion, o.State = of[name].rv, otherwise(o)
		for i := range o.Nodes {
			n := &o.Nodes[i]
			if n.Current = n.Enforced && s.has(of, name, n.Object); !n.Current {
				o.State = stateBehind
			}
		}
		out = append(out, *o)
	}
	return out
}

// behind reports whether anything may be right in a moment.
func (r *statusReport) behind() bool {
	wrong := func(o objectStatus) bool { return o.State == stateBehind || o.State == stateUnknown }
	return slices.ContainsFunc(r.Policies, wrong) || slices.ContainsFunc(r.Pods, wrong)
}

// fine reports whether nothing is told of as a problem: every node that answered is ready
// and enforces what the API says. Of a policy that cannot be understood as a whole none
// enforces what it says.
func (r *statusReport) fine() bool {
	return !r.behind() &&
		!slices.ContainsFunc(r.Nodes, func(n *nodestatus.Node) bool { return !n.Ready }) &&
		!slices.ContainsFunc(r.Policies, func(o objectStatus) bool { return o.Invalid != "" })
}
