package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// endRef is an end of a flow as a user names it: an address, a Pod, or an
// object that stands for some of these.
type endRef struct {
	addr netip.Addr
	pod  types.NamespacedName
	// kind and object name what stands for Pods or addresses; the kind is empty
	// for a Pod and for an address.
	kind   string
	object types.NamespacedName
	// orPod is the other way to read TYPE/NAME, as NAMESPACE/POD.
	orPod types.NamespacedName
}

const (
	podKind     = "Pod"
	serviceKind = "Service"
	nodeKind    = "Node"
)

// endKinds are the words for kinds that kubectl takes too.
var endKinds = map[string]string{
	"po": podKind, "pod": podKind, "pods": podKind,
	"svc": serviceKind, "service": serviceKind, "services": serviceKind,
	"no": nodeKind, "node": nodeKind, "nodes": nodeKind,
	"deploy": "Deployment", "deployment": "Deployment", "deployments": "Deployment",
	"sts": "StatefulSet", "statefulset": "StatefulSet", "statefulsets": "StatefulSet",
	"ds": "DaemonSet", "daemonset": "DaemonSet", "daemonsets": "DaemonSet",
	"rs": "ReplicaSet", "replicaset": "ReplicaSet", "replicasets": "ReplicaSet",
	"rc": "ReplicationController", "replicationcontroller": "ReplicationController", "replicationcontrollers": "ReplicationController",
	"job": "Job", "jobs": "Job",
	"cj": "CronJob", "cronjob": "CronJob", "cronjobs": "CronJob",
}

// shortKinds is how an end is shown.
var shortKinds = map[string]string{
	serviceKind: "svc", nodeKind: "node", "Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds",
	"ReplicaSet": "rs", "ReplicationController": "rc", "Job": "job", "CronJob": "cronjob",
}

func (e endRef) isPod() bool { return e.pod.Name != "" }

// isOne reports whether an end is a single Pod or address, and needs no lookup
// of anything else.
func (e endRef) isOne() bool { return e.kind == "" }

// String is in the syntax that parseEnd reads.
func (e endRef) String() string {
	switch {
	case e.isPod() && endKinds[e.pod.Namespace] != "":
		return "pod/" + e.pod.String()
	case e.isPod():
		return e.pod.String()
	case e.kind == nodeKind:
		return "node/" + e.object.Name
	case e.kind != "":
		return shortKinds[e.kind] + "/" + e.object.String()
	}
	return e.addr.String()
}

const wantEnd = `want "namespace/pod", "svc/name" or another "type/name", or an address`

// parseEnd reads an address, "pod", "namespace/pod", and "type/name" and
// "type/namespace/name" for the types of endKinds.
func parseEnd(s, defaultNamespace string) (endRef, error) {
	if s == "" {
		return endRef{}, errors.New("empty: " + wantEnd)
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return endRef{}, fmt.Errorf("%s: an address with a zone means something on one link only", s)
		}
		return endRef{addr: addr.Unmap()}, nil
	}
	parts := strings.Split(s, "/")
	if looksLikeAddress(s) || slices.Contains(parts, "") {
		return endRef{}, fmt.Errorf("%q is neither an address nor namespace/pod", s)
	}
	// kubectl also takes types with their group, such as deployments.apps.
	word, _, _ := strings.Cut(strings.ToLower(parts[0]), ".")
	kind := endKinds[word]
	switch {
	case len(parts) == 1:
		return endRef{pod: types.NamespacedName{Namespace: defaultNamespace, Name: s}}, nil
	case len(parts) == 2 && kind == "":
		return endRef{pod: types.NamespacedName{Namespace: parts[0], Name: parts[1]}}, nil
	case kind == "" || len(parts) > 3:
		return endRef{}, fmt.Errorf("%q is neither an address nor namespace/pod, nor type/namespace/name for a type such as pod, svc, deploy, sts, ds, job or node", s)
	case kind == nodeKind && len(parts) == 3:
		return endRef{}, fmt.Errorf("%q: a Node is in no namespace: write node/%s", s, parts[2])
	}
	name := types.NamespacedName{Namespace: defaultNamespace, Name: parts[len(parts)-1]}
	e := endRef{kind: kind}
	if len(parts) == 3 {
		name.Namespace = parts[1]
	} else {
		e.orPod = types.NamespacedName{Namespace: parts[0], Name: parts[1]}
	}
	switch kind {
	case podKind:
		return endRef{pod: name}, nil
	case nodeKind:
		name.Namespace = ""
	}
	e.object = name
	return e, nil
}

// looksLikeAddress tells a mistyped address from a Pod's name: no Pod is named
// with a colon, and none that is worth a thought with digits and dots alone.
func looksLikeAddress(s string) bool {
	return strings.Contains(s, ":") || strings.Trim(s, "0123456789.") == "" || strings.Trim(s, "0123456789./") == ""
}

// statesProtocol reports whether DST[:PORT[/PROTO]] has a protocol.
func statesProtocol(target string) bool {
	return strings.Contains(target[strings.LastIndexByte(target, ':')+1:], "/") && strings.Contains(target, ":")
}

// settle decides between TYPE/NAME and NAMESPACE/POD, where both can be meant:
// the type wins if there is such an object.
func (c *cluster) settle(ctx context.Context, e endRef) (endRef, string, error) {
	if e.kind == "" || e.orPod.Name == "" {
		return e, "", nil
	}
	_, isPod := c.index.Pod(e.orPod)
	if !isPod {
		return e, "", nil
	}
	exists, err := c.exists(ctx, e)
	switch {
	case err != nil:
		return e, "", err
	case exists:
		return e, fmt.Sprintf("%s is taken for the %s; the Pod of namespace %s is pod/%s", e, e.kind, e.orPod.Namespace, e.orPod), nil
	}
	return endRef{pod: e.orPod}, "", nil
}

func (c *cluster) exists(ctx context.Context, e endRef) (bool, error) {
	switch e.kind {
	case serviceKind:
		svc, err := c.service(ctx, e.object)
		return svc != nil, err
	case nodeKind:
		nodes, _, err := c.nodeTable(ctx)
		return err == nil && len(nodes.addrs[e.object.Name]) > 0, err
	}
	w, _, err := c.workload(ctx, e)
	return w != nil, err
}

// expand lists the Pods and addresses that an end stands for, sorted.
func (c *cluster) expand(ctx context.Context, e endRef) (ends []endRef, notices []string, err error) {
	switch {
	case e.isOne():
		return []endRef{e}, nil, nil
	case e.kind == nodeKind:
		nodes, notices, err := c.nodeTable(ctx)
		if err == nil && len(nodes.addrs[e.object.Name]) == 0 {
			err = fmt.Errorf("no Node %s in %s", e.object.Name, c.where)
		}
		return []endRef{e}, notices, err
	case e.kind == serviceKind:
		return c.podsBehind(ctx, e)
	}
	pods, err := c.podsOf(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range pods {
		end := endRef{pod: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}}
		if pod, ok := c.index.Pod(end.pod); !ok || pod.Finished || len(pod.Addrs) == 0 && !pod.HostNetwork {
			notices = append(notices, fmt.Sprintf("Pod %s is finished or has no address yet: left out", end.pod))
			continue
		}
		ends = append(ends, end)
	}
	if len(ends) == 0 {
		return nil, nil, fmt.Errorf("%s %s has no running Pod in %s", e.kind, e.object, c.where)
	}
	return ends, notices, nil
}
