package question

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/entries"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/service"
)

// entry finds the entry that an end names, nil if there is none, and those that it is
// among.
func (w *World) entry(e End) (*manifest.Set, *manifest.Entry, error) {
	set, err := w.find(Need{Kind: KindEntry})
	if apierrors.IsForbidden(err) {
		set, err = w.find(Need{Kind: KindEntry, Namespace: e.Object.Namespace})
	}
	return set, entries.Find(set, string(e.Kind), e.Object), err
}

// mustEntry finds it, or says which one may be meant.
func (p *pass) mustEntry(e End) (*manifest.Set, *manifest.Entry, error) {
	set, found, err := p.entry(e)
	if err != nil || found != nil {
		return set, found, err
	}
	var names []string
	for i := range set.Entries {
		if set.Entries[i].Kind == string(e.Kind) {
			names = append(names, set.Entries[i].String())
		}
	}
	return nil, nil, fmt.Errorf("no %s %s in %s%s", e.Kind, e.Object, p.where, meant(e, names))
}

// unknownSpeaker stands for whoever speaks for an entry, of whom no Pod is known.
type unknownSpeaker struct {
	name string
	// exposed are those to whom destinations are open, made when needed.
	exposed map[types.NamespacedName]*exposedEnd
}

type exposedEnd struct {
	connectivity.Exposure
	end *connectivity.End
}

// speakers are the Pods that connect to what is behind an entry.
func (p *pass) speakers(e End) ([]member, error) {
	set, found, err := p.mustEntry(e)
	if err != nil {
		return nil, err
	}
	who := entries.SpeakerOf(set, found)
	var out []member
	for _, o := range p.objects.Pods {
		if over(o) || !who.Matches(o.Namespace, o.Labels) {
			continue
		}
		m, err := p.member(PodEnd(o.Namespace, o.Name))
		if err != nil {
			p.leaveOut(fmt.Errorf("src: %w", err))
			continue
		}
		out = append(out, m)
	}
	switch {
	case len(out) > 0:
		slices.SortFunc(out, func(a, b member) int { return strings.Compare(a.String(), b.String()) })
		p.note(fmt.Sprintf("policies see %s, and not its clients: its Pods are those with %s", who.Name, recognised(&who, p.objects)))
		return out, nil
	case who.Cloud:
		p.note(fmt.Sprintf("policies see the load balancer of %s, whose addresses are outside of the cluster, and not its clients", who.Name))
		return p.internet()
	}
	p.note(fmt.Sprintf("policies see %s, and not its clients; no Pod of %s is recognised as its own: name it as SRC, if it is there; a Pod's own node reaches it in any case", who.Name, p.where))
	return []member{p.imagineSpeaker(who.Name)}, nil
}

// recognised are the labels by which Pods of the input were.
func recognised(who *entries.Speaker, objects manifest.Set) string {
	var out []string
	for i := range who.Selectors {
		s := &who.Selectors[i]
		for _, o := range objects.Pods {
			if s.Matches(o.Namespace, o.Labels) {
				out = once(out, s.String())
			}
		}
	}
	return strings.Join(out, " or ")
}

// somewhere is the namespace of a Pod of which nothing is known: none that can be.
const somewhere = "(somewhere)"

// imagineSpeaker makes up a Pod of which nothing is known. It is in no namespace that is
// known, so that what is said of it is what is said of anybody.
func (p *pass) imagineSpeaker(name string) member {
	pod := &policy.Pod{NamespacedName: types.NamespacedName{Namespace: somewhere, Name: name}}
	v4, v6 := p.made.addrs()
	pod.Addrs = []netip.Addr{v4, v6}
	p.Index.SetPod(pod)
	p.unknown = &unknownSpeaker{name: name, exposed: map[types.NamespacedName]*exposedEnd{}}
	return member{End: PodEnd(pod.Namespace, pod.Name), addrs: pod.Addrs}
}

// hangs says on what a verdict hangs because nothing is known of the source: nothing, if
// policies let everybody in, or nobody.
func (u *unknownSpeaker) hangs(w *World, path *Path, v *policy.Verdict) []string {
	dst := path.Ingress.Dst.Pod
	if dst == nil || v.Ingress.Reason == policy.ReasonNotIsolated {
		return nil
	}
	x := u.exposed[dst.NamespacedName]
	if x == nil {
		x = w.exposedTo(dst)
		u.exposed[dst.NamespacedName] = x
	}
	if x.end == nil {
		return nil
	}
	port := connectivity.Ports{Protocol: path.Ingress.Protocol, First: path.Ingress.Port, Last: path.Ingress.Port}
	if !port.Protocol.HasPorts() {
		port = connectivity.Ports{Protocol: connectivity.OtherProtocols}
	}
	answer, admitted := entries.Admitted(&x.Exposure, x.end, port)
	switch answer {
	case connectivity.Allowed, connectivity.Denied:
		return nil
	}
	var who []string
	for i := range admitted {
		who = once(who, admitted[i].String())
	}
	return []string{u.name + " is one of those whom policies let in on that port: " + strings.Join(who, ", ")}
}

// exposedTo asks connectivity to whom a Pod is open.
func (w *World) exposedTo(pod *policy.Pod) *exposedEnd {
	c := &connectivity.Cluster{Namespaces: w.objects.Namespaces}
	for _, np := range w.objects.Policies {
		if np.Namespace == pod.Namespace {
			c.Policies = append(c.Policies, np)
		}
	}
	c.Workloads = []connectivity.Workload{{Kind: "Pod", NamespacedName: pod.NamespacedName, Labels: pod.Labels, Ports: pod.Ports}}
	out := &exposedEnd{Exposure: connectivity.NewExposure(c)}
	for i := range out.Ends {
		if out.Ends[i].Kind == connectivity.Pods && len(out.Ends[i].Workloads) > 0 {
			out.end = &out.Ends[i]
		}
	}
	return out
}

// toEntry finds the paths to all that is behind an entry, by the Services that it names.
func (p *pass) toEntry(srcs []member) error {
	if p.q.Port != "" {
		return fmt.Errorf("dst: %s leads to ports of its own: write it without one", p.q.Dst)
	}
	asked := p.q
	set, found, err := p.mustEntry(p.q.Dst)
	if err != nil {
		return fmt.Errorf("dst: %w", err)
	}
	of := []*manifest.Entry{found}
	if p.q.Dst.Kind == KindGateway {
		if of = entries.RoutesOf(set, found.NamespacedName); len(of) == 0 {
			return fmt.Errorf("dst: no route of %s stands behind Gateway %s", p.where, found.NamespacedName)
		}
	}
	var through []string
	for _, e := range of {
		for i := range e.Backends {
			p.leaveOut(p.toBackend(srcs, e, &e.Backends[i]))
			through = once(through, p.answer.Through)
		}
	}
	if len(p.missing) > 0 {
		return errMissing
	}
	p.q = asked
	p.answer.Plural, p.answer.Question = true, asked.Src.String()+" → "+asked.Dst.String()
	p.answer.Through = asked.Dst.String() + ", which leads to " + strings.Join(through, "; and ")
	switch {
	case len(p.ways) > 0:
	case len(p.leftOut) > 0:
		return fmt.Errorf("dst: %w", p.leftOut[0])
	default:
		return fmt.Errorf("dst: %s names no backend", p.q.Dst)
	}
	for _, err := range p.leftOut {
		p.note("left out: " + err.Error())
	}
	if !p.q.Src.Entry() {
		p.note(fmt.Sprintf("this is for %s connecting to what is behind the entry, past it; for what comes through, give %s as SRC, too", p.q.Src, p.q.Dst))
	}
	return nil
}

// toBackend adds the paths to one port of a Service.
func (p *pass) toBackend(srcs []member, e *manifest.Entry, b *manifest.EntryBackend) error {
	if b.Kind != string(KindService) {
		return fmt.Errorf("%s leads to %s %s, which is no Service", b.Field, b.Kind, b.Name)
	}
	if b.ByTarget {
		return p.toTarget(srcs, b)
	}
	p.q.Dst, p.q.Port, p.q.AnyProtocol = End{Kind: KindService, Object: b.NamespacedName}, b.Port, false
	if p.q.Protocol = policy.TCP; e.Kind == string(KindUDPRoute) {
		p.q.Protocol = policy.UDP
	}
	d, _, err := p.destination()
	if err != nil {
		return err
	}
	return p.behindDoor(srcs, d)
}

// toTarget adds the paths to each port of a Service that a Route's target means.
func (p *pass) toTarget(srcs []member, b *manifest.EntryBackend) error {
	svc, err := p.service(b.NamespacedName)
	if err != nil {
		return err
	}
	if svc == nil {
		return fmt.Errorf("%s leads to Service %s, which is not in %s", b.Field, b.NamespacedName, p.where)
	}
	var errs []error
	found := false
	for i := range svc.Spec.Ports {
		p.q.Dst, p.q.Port = End{Kind: KindService, Object: b.NamespacedName}, strconv.Itoa(int(svc.Spec.Ports[i].Port))
		p.q.Protocol, p.q.AnyProtocol = policy.TCP, false
		if policy.ProtocolOf(svc.Spec.Ports[i].Protocol) != policy.TCP {
			continue
		}
		d, _, err := p.destination()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.behind.List = slices.DeleteFunc(d.behind.List, func(at service.Backend) bool { return !service.Means(d.port, b.Port, at.Port()) })
		if len(d.behind.List) > 0 {
			found = true
			errs = append(errs, p.behindDoor(srcs, d))
		}
	}
	if !found && len(errs) == 0 {
		return errors.New(service.NoTarget(svc, b.Port))
	}
	return errors.Join(errs...)
}

// behindDoor adds the paths to all that is behind a port of a Service.
func (p *pass) behindDoor(srcs []member, d *door) error {
	if err := tooMany(len(srcs)*max(1, len(p.ways)), len(d.behind.List)); err != nil {
		return err
	}
	p.enter(d)
	var errs []error
	for i := range srcs {
		errs = append(errs, p.through(d, &srcs[i]))
	}
	p.note(d.behind.Notice())
	return errors.Join(errs...)
}
