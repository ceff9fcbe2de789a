package question

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
)

// World is what questions are about: objects, and the index over them. It answers
// one question at a time.
type World struct {
	// Index is that of the Pods, Namespaces and NetworkPolicies.
	Index *policy.Index

	objects manifest.Set
	// where says in messages where the objects were read.
	where string
	// pods are those of the objects, for what the index does not keep.
	pods map[types.NamespacedName]*corev1.Pod
	// live: what is not in objects may be in given, or must be asked for.
	live  bool
	given map[Need]supply
	// missing is what the question at hand needs and nobody gave yet.
	missing []Need

	made standIns

	// nodes, outside, addressed and caches are made when they are first needed.
	nodes     *nodeTable
	outside   []addrRanges
	addressed *serviceAddrs
	caches    *[]nodeDNS
}

// New is the world of manifests: what is not in them does not exist.
func New(set manifest.Set) *World {
	w := &World{
		Index: set.Index(policy.Options{}), objects: set, where: "the manifests",
		pods: make(map[types.NamespacedName]*corev1.Pod, len(set.Pods)),
	}
	for _, p := range set.Pods {
		w.pods[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = p
	}
	w.made = standIns{
		twins: map[types.NamespacedName][2]policy.End{}, hosts: map[netip.Addr]types.NamespacedName{},
		answers: map[[2]policyEnd]*opinion{}, blocks: map[blockKey]bool{},
	}
	w.imagineAll()
	return w
}

// NewLive is the world of a cluster, of which set has the Pods, Namespaces and
// NetworkPolicies. Most questions need nothing else. One that does is answered
// with [Missing], to be asked again when that was supplied.
func NewLive(set manifest.Set) *World {
	w := New(set)
	w.live, w.where, w.given = true, "the cluster", map[Need]supply{}
	return w
}

// Need names objects that a question is not answered without.
type Need struct {
	Kind Kind
	// Namespace is empty for all namespaces.
	Namespace string
	// Service is the one whose EndpointSlices are meant, empty for other kinds.
	Service string
}

// KindEndpointSlice is what is needed of a Service; no end is named by it.
const KindEndpointSlice Kind = "EndpointSlice"

// KindEntry is what is needed of entries: those of all kinds, with their classes.
const KindEntry Kind = "Entry"

// Missing is the error of a question that needs more objects of a cluster.
type Missing struct{ Needs []Need }

func (m *Missing) Error() string {
	return fmt.Sprintf("answer the question: it needs objects that were not given: %v", m.Needs)
}

type supply struct {
	set manifest.Set
	err error
}

// Supply gives what was missing, or why it cannot be had. Then the world has an
// answer to this need, and does not ask for it again.
func (w *World) Supply(n Need, found manifest.Set, err error) { w.given[n] = supply{found, err} }

// errMissing stands for objects that are on the list of missing ones.
var errMissing = errors.New("not given yet")

// find is where objects are that a question needs.
func (w *World) find(n Need) (*manifest.Set, error) {
	if !w.live {
		return &w.objects, nil
	}
	if found, ok := w.given[n]; ok {
		return &found.set, found.err
	}
	if !slices.Contains(w.missing, n) {
		w.missing = append(w.missing, n)
	}
	return &manifest.Set{}, errMissing
}

// services are those of all namespaces, as most questions need no others, or of
// one where no more may be read.
func (w *World) services(namespace string) ([]*corev1.Service, error) {
	found, err := w.find(Need{Kind: KindService})
	if apierrors.IsForbidden(err) && namespace != "" {
		found, err = w.find(Need{Kind: KindService, Namespace: namespace})
	}
	return found.Services, err
}

// service finds a Service, nil if there is none.
func (w *World) service(name types.NamespacedName) (*corev1.Service, error) {
	list, err := w.services(name.Namespace)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(list, func(s *corev1.Service) bool { return s.Namespace == name.Namespace && s.Name == name.Name })
	if at < 0 {
		return nil, nil
	}
	return list[at], nil
}

// endpointSlices are those of a Service.
func (w *World) endpointSlices(svc *corev1.Service) ([]*discoveryv1.EndpointSlice, error) {
	found, err := w.find(Need{Kind: KindEndpointSlice, Namespace: svc.Namespace, Service: svc.Name})
	var list []*discoveryv1.EndpointSlice
	for _, s := range found.EndpointSlices {
		if s.Namespace == svc.Namespace && s.Labels[discoveryv1.LabelServiceName] == svc.Name {
			list = append(list, s)
		}
	}
	return list, err
}

// workloads are those of a kind and namespace.
func (w *World) workloads(kind Kind, namespace string) ([]manifest.Workload, error) {
	found, err := w.find(Need{Kind: kind, Namespace: namespace})
	var list []manifest.Workload
	for _, o := range found.Workloads {
		if o.Kind == string(kind) && o.Namespace == namespace {
			list = append(list, o)
		}
	}
	return list, err
}

// pod is a Pod of the index, nil if there is none.
func (w *World) pod(name types.NamespacedName) *policy.Pod {
	pod, _ := w.Index.Pod(name)
	return pod
}

// flowBetween is the flow between two addresses. Where several Pods claim one,
// the Pods that are named say which is meant; an address alone is that of the
// named Pod at the other end, if that has it too.
func (w *World) flowBetween(srcPod types.NamespacedName, src netip.Addr, dstPod types.NamespacedName, dst netip.Addr) policy.Flow {
	if src == dst {
		if srcPod.Name == "" {
			srcPod = dstPod
		} else if dstPod.Name == "" {
			dstPod = srcPod
		}
	}
	end := func(name types.NamespacedName, a netip.Addr) policy.End {
		if pod := w.pod(name); pod != nil {
			return w.Index.EndOfPod(pod, a)
		}
		return w.Index.EndOfAddr(a)
	}
	return policy.Flow{Src: end(srcPod, src), Dst: end(dstPod, dst)}
}
