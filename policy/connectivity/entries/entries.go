package entries

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/service"
)

// Way is a way in: an entry that leads to a port of a Service.
type Way struct {
	// Entry is an Ingress or a route, OpenShift's too, or a Gateway behind which there is none.
	Entry connectivity.Name
	// Gateways are those that a route stands behind, and Listeners their ports.
	Gateways  []types.NamespacedName
	Listeners []string
	// At are hosts and paths, More counts those that are left out.
	At   []string
	More int
	// Service and Port are what it leads to, as the entry has them; no name of a Service
	// where it leads to something else.
	Service types.NamespacedName
	Port    string
	// Field is where the entry says so.
	Field string
	// Speaker is who connects; Speakers are its Pods in the input, as ends.
	Speaker  Speaker
	Speakers []int
	// Fault says why it leads nowhere, empty if it leads to Backends.
	Fault    string
	Backends []Backend
}

// Backend is a port of workloads behind a way in.
type Backend struct {
	// End are the workloads, Workloads those of it that the Service selects.
	End       int
	Workloads []connectivity.Name
	Port      connectivity.Ports
	// Answer is whether whoever speaks for the entry may connect.
	Answer connectivity.Answer
	// If are the conditions of an answer that depends.
	If []connectivity.Condition
	// Admitted, where no Pod of the speaker is in the input and the answer depends on who
	// it is, are those whom policies let in on that port.
	Admitted []connectivity.Opening
	// Outside is whether addresses outside may connect to it without any entry.
	Outside connectivity.Answer
}

// Judge finds the ways in of a set, and judges them by a matrix of the same set. Ways are
// in the order of the names of their entries.
func Judge(set *manifest.Set, c *connectivity.Cluster, m *connectivity.Matrix) []Way {
	if len(set.Entries) == 0 {
		return nil
	}
	j := judge{set: set, cluster: c, Matrix: m}
	var out []Way
	for i := range set.Entries {
		out = append(out, j.ways(&set.Entries[i])...)
	}
	slices.SortStableFunc(out, func(a, b Way) int {
		return cmp.Or(strings.Compare(a.Entry.Namespace, b.Entry.Namespace), strings.Compare(a.Entry.Kind, b.Entry.Kind), strings.Compare(a.Entry.Name, b.Entry.Name))
	})
	return out
}

type judge struct {
	*connectivity.Matrix
	set     *manifest.Set
	cluster *connectivity.Cluster
	// exposed is made when it is first needed.
	exposed *connectivity.Exposure
}

// ways are those of one entry. A Gateway is one only where no route stands behind it.
func (j *judge) ways(e *manifest.Entry) []Way {
	base := Way{Entry: connectivity.Name{Kind: e.Kind, Namespace: e.Namespace, Name: e.Name}, Gateways: e.Gateways, Listeners: e.Listeners}
	for _, g := range e.Gateways {
		if gateway := Find(j.set, "Gateway", g); gateway != nil {
			base.Listeners = append(base.Listeners, gateway.Listeners...)
		}
	}
	base.Speaker = SpeakerOf(j.set, e)
	ends := j.Ends()
	for n := range ends {
		if k := ends[n].Kind; (k == connectivity.Pods || k == connectivity.HostNetwork) && base.Speaker.Matches(ends[n].Namespace, ends[n].Labels) {
			base.Speakers = append(base.Speakers, n)
		}
	}
	if e.Kind == "Gateway" {
		if behind := RoutesOf(j.set, e.NamespacedName); len(behind) > 0 {
			return nil
		}
		base.Fault = "no route of the input stands behind it"
		return []Way{base}
	}
	if len(e.Backends) == 0 {
		base.Fault = "it names no backend"
		return []Way{base}
	}
	var out []Way
	for i := range e.Backends {
		b := &e.Backends[i]
		w := base
		w.At, w.More, w.Port, w.Field = b.At, b.More, b.Port, b.Field
		if b.Kind != "Service" {
			w.Fault = fmt.Sprintf("it leads to %s %s, which is no Service", b.Kind, b.Name)
			out = append(out, w)
			continue
		}
		w.Service = b.NamespacedName
		out = append(out, j.through(w, b)...)
	}
	return out
}

// through are the ways through a Service: one, or of a Route one for each port that its
// target means.
func (j *judge) through(w Way, b *manifest.EntryBackend) []Way {
	svc, fault := j.service(w.Service)
	if fault != "" {
		w.Fault = fault
		return []Way{w}
	}
	if !b.ByTarget {
		port, err := service.Port(svc, w.Port, protocolOf(w.Entry.Kind))
		if err != nil {
			w.Fault = err.Error()
			return []Way{w}
		}
		w.Backends, w.Fault = j.behind(&w, svc, port, func(uint16) bool { return true })
		return []Way{w}
	}
	var out []Way
	for i := range svc.Spec.Ports {
		port, one := &svc.Spec.Ports[i], w
		one.Port = strconv.Itoa(int(port.Port))
		one.Backends, one.Fault = j.behind(&one, svc, port, func(number uint16) bool { return service.Means(port, b.Port, number) })
		if len(one.Backends) > 0 {
			out = append(out, one)
		}
		fault = cmp.Or(fault, one.Fault)
	}
	if len(out) == 0 {
		w.Fault = cmp.Or(fault, service.NoTarget(svc, b.Port))
		return []Way{w}
	}
	return out
}

// service finds a Service that has workloads behind it, or says why it has none.
func (j *judge) service(name types.NamespacedName) (svc *corev1.Service, fault string) {
	at := slices.IndexFunc(j.set.Services, func(s *corev1.Service) bool { return s.Namespace == name.Namespace && s.Name == name.Name })
	if at < 0 {
		return nil, fmt.Sprintf("Service %s is not in the input", name)
	}
	svc = j.set.Services[at]
	switch {
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return nil, fmt.Sprintf("Service %s is a name for %s, outside", name, svc.Spec.ExternalName)
	case len(svc.Spec.Selector) == 0:
		return nil, fmt.Sprintf("Service %s selects nothing; its endpoints are not looked at", name)
	}
	return svc, ""
}

// RoutesOf are the routes of a set that stand behind a Gateway.
func RoutesOf(set *manifest.Set, gateway types.NamespacedName) []*manifest.Entry {
	var out []*manifest.Entry
	for i := range set.Entries {
		if e := &set.Entries[i]; slices.Contains(e.Gateways, gateway) {
			out = append(out, e)
		}
	}
	return out
}

// protocolOf is that by which an entry connects to what is behind it.
func protocolOf(kind string) corev1.Protocol {
	if kind == "UDPRoute" {
		return corev1.ProtocolUDP
	}
	return corev1.ProtocolTCP
}

// behind are the workloads behind a port of a Service, by those numbers that are meant.
// There is no fault where there are others.
func (j *judge) behind(w *Way, svc *corev1.Service, port *corev1.ServicePort, meant func(number uint16) bool) (out []Backend, fault string) {
	ends := j.Ends()
	portless, others := false, false
	for n := range ends {
		e := &ends[n]
		if e.Kind != connectivity.Pods && e.Kind != connectivity.HostNetwork || e.Namespace != svc.Namespace || !subset(svc.Spec.Selector, e.Labels) {
			continue
		}
		number := targetOf(e, port)
		if number == 0 {
			portless = true
			continue
		}
		if !meant(number) {
			others = true
			continue
		}
		to := connectivity.Ports{Protocol: policy.ProtocolOf(port.Protocol), First: number, Last: number}
		b := Backend{End: n, Workloads: e.Workloads, Port: to}
		j.answer(w, &b)
		out = append(out, b)
	}
	switch {
	case len(out) > 0 || others:
		return out, ""
	case portless:
		return nil, fmt.Sprintf("no workload that Service %s selects has its targetPort %s", w.Service, port.TargetPort.String())
	}
	return nil, fmt.Sprintf("Service %s selects no workload of the input", w.Service)
}

// targetOf is the number that a Service's port leads to on Pods, 0 if they have no port
// of its name.
func targetOf(e *connectivity.End, port *corev1.ServicePort) uint16 {
	name := port.TargetPort.StrVal
	switch {
	case port.TargetPort.IntVal > 0 && name == "":
		return uint16(port.TargetPort.IntVal)
	case name == "":
		return uint16(port.Port)
	}
	if n, err := strconv.ParseUint(name, 10, 16); err == nil {
		return uint16(n)
	}
	for _, p := range e.Ports {
		if p.Name == name && p.Protocol == policy.ProtocolOf(port.Protocol) {
			return p.Number
		}
	}
	return 0
}

// answer judges a backend.
func (j *judge) answer(w *Way, b *Backend) {
	var outside []int
	for n := range j.Ends() {
		if j.Ends()[n].Kind == connectivity.Outside {
			outside = append(outside, n)
		}
	}
	b.Outside, _ = j.together(outside, b)
	switch {
	case len(w.Speakers) > 0:
		b.Answer, b.If = j.together(w.Speakers, b)
	case w.Speaker.Cloud:
		b.Answer, b.If = b.Outside, nil
	default:
		b.Answer, b.Admitted = j.whoever(b)
	}
}

// together is the answer for several sources: what differs between them depends on which
// one it is.
func (j *judge) together(sources []int, b *Backend) (out connectivity.Answer, conditions []connectivity.Condition) {
	out = connectivity.Absent
	for _, s := range sources {
		one, _, _ := j.Allows(s, b.End, b.Port.Protocol, b.Port.First)
		switch {
		case out == connectivity.Absent:
			out = one
		case out != one:
			out = connectivity.Depends
		}
		if one != connectivity.Depends {
			continue
		}
		for _, at := range j.Connection(s, b.End) {
			if at.Protocol == b.Port.Protocol && at.First <= b.Port.First && b.Port.First <= at.Last {
				conditions = append(conditions, at.Egress.Conditions()...)
				conditions = append(conditions, at.Ingress.Conditions()...)
			}
		}
	}
	if out == connectivity.Absent {
		out = connectivity.Denied
	}
	return out, conditions
}

// whoever is the answer where nothing says who connects: allowed if everybody may, denied
// if nobody may, but for the Pods' own node.
func (j *judge) whoever(b *Backend) (connectivity.Answer, []connectivity.Opening) {
	end := &j.Ends()[b.End]
	if end.Kind != connectivity.Pods || len(end.Ingress) == 0 {
		return connectivity.Allowed, nil
	}
	if j.exposed == nil {
		x := connectivity.NewExposure(j.cluster)
		j.exposed = &x
	}
	return Admitted(j.exposed, end, b.Port)
}

// Admitted are those whom the policies of an isolated end let in on a port, and whether
// that is everybody (a rule names no peers), nobody, or depends on who it is.
func Admitted(x *connectivity.Exposure, end *connectivity.End, port connectivity.Ports) (connectivity.Answer, []connectivity.Opening) {
	var out []connectivity.Opening
	everybody := false
	for i := range x.Groups {
		g := &x.Groups[i]
		if !slices.ContainsFunc(g.Ends, func(n int) bool { return alike(&x.Ends[n], end) }) {
			continue
		}
		for _, o := range g.Ingress.Openings {
			s := at(o.Stretches, port)
			if s == nil {
				continue
			}
			out = append(out, o)
			everybody = everybody || slices.ContainsFunc(s.Ingress.Grants, func(g connectivity.Grant) bool {
				return g.Policy.Name != "" && g.Peer < 0 && g.If == nil
			})
		}
		break // Pods that are alike are open to the same
	}
	switch {
	case len(out) == 0:
		return connectivity.Denied, nil
	case everybody:
		return connectivity.Allowed, nil
	}
	return connectivity.Depends, out
}

// alike reports whether two ends are Pods of which policies say the same: an exposure has
// other ends than a matrix.
func alike(a, b *connectivity.End) bool {
	return a.Kind == connectivity.Pods && b.Kind == connectivity.Pods && a.Namespace == b.Namespace && maps.Equal(a.Labels, b.Labels) && slices.Equal(a.Ports, b.Ports)
}

func at(list []connectivity.Stretch, port connectivity.Ports) *connectivity.Stretch {
	for i := range list {
		if s := &list[i]; s.Protocol == port.Protocol && s.First <= port.First && port.First <= s.Last {
			return s
		}
	}
	return nil
}

// Answer is that of all backends together: that of some is that it depends.
func (w *Way) Answer() connectivity.Answer {
	out := connectivity.Absent
	for i := range w.Backends {
		switch {
		case out == connectivity.Absent:
			out = w.Backends[i].Answer
		case out != w.Backends[i].Answer:
			return connectivity.Depends
		}
	}
	if out == connectivity.Absent {
		return connectivity.Denied
	}
	return out
}
