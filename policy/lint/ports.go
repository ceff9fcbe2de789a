package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluice-net/sluice/policy"
)

func portChecks() []check {
	return []check{
		{Check{
			ID: "port-name-unknown", Severity: Warning,
			Says:   "A rule names a port, and none of the Pods that it is about has a port of that name and protocol.",
			Why:    "A name is looked up on the destination's Pods. Where it is not found, the rule allows nothing. Names of Services' ports do not count.",
			Mend:   "Write the name as the container declares it, with its protocol, or the number.",
			Silent: "Rules about Pods of which the input has none, or of which there may be others: egress to blocks, to everybody, and to namespaces that are not in the input. Names that service meshes bring along.",
		}, (*linter).portNamesUnknown},
		{Check{
			ID: "port-protocol", Severity: Warning,
			Says:   "A rule allows a port for one protocol, and all Pods that it is about declare it for another.",
			Why:    "A port without a protocol is TCP. The rule lets nobody reach what listens there.",
			Mend:   "Write the protocol that the containers declare.",
			Silent: "Ports that no container declares, as declaring is voluntary; rules of which any, for the same Pods, allows the declared protocol as well.",
		}, (*linter).portProtocols},
		{Check{
			ID: "port-of-service", Severity: Warning,
			Says:   "A rule allows the port of a Service, and the Pods behind it listen on another.",
			Why:    "A connection to a Service is judged by the port of the Pod that it is led to, the targetPort.",
			Mend:   "Write the targetPort.",
			Silent: "Pods that declare the port themselves or get it as the targetPort of a Service; rules about Pods of which one is behind no such Service; rules that allow the targetPort, too.",
		}, (*linter).portsOfServices},
		{Check{
			ID: "port-adds-nothing", Severity: Note,
			Says:   "Another entry of the rule's ports is the same or has it inside of its range.",
			Why:    "It can be removed and nothing changes.",
			Mend:   "Remove it, or write the protocol or the port that was meant.",
			Silent: "A name and a number: a name can be any number on the next Pod.",
		}, (*linter).portsAddNothing},
	}
}

func (l *linter) portNamesUnknown() {
	for _, r := range l.allRules() {
		if !slices.ContainsFunc(r.ports, func(p *port) bool { return p.name != "" }) {
			continue
		}
		ends, spaces, known := r.destinations(l.world)
		if !known {
			continue
		}
		for _, p := range r.ports {
			if p.name == "" || slices.Contains(injectedPorts, p.name) ||
				slices.ContainsFunc(ends, func(e *end) bool { return e.has(p.name, p.Protocol) }) {
				continue
			}
			message := fmt.Sprintf("no Pod that the rule is about has a %s port named %s: %s", p.Protocol, p.name, portsThere(ends, p))
			if s := l.serviceWithPort(spaces, p.name); s != "" {
				message += "; it is the name of a port of " + s + ", which does not count"
			}
			severity, message := l.unless(spaces[0], Warning, message)
			l.find(severity, r.of.object, p.path.at("port"), message, "write the name as a container of the Pods declares it, with its protocol, or the number")
		}
	}
}

// portsThere says what ports the ends have instead.
func portsThere(ends []*end, p *port) string {
	seen := map[string]bool{}
	for _, e := range ends {
		for _, n := range e.ports {
			text := fmt.Sprintf("%d/%s", n.Number, n.Protocol)
			if n.Name != "" {
				text = n.Name + " (" + text + ")"
			}
			if n.Name == p.name {
				return fmt.Sprintf("%s declares it for %s", e.object, n.Protocol)
			}
			seen[text] = true
		}
	}
	if len(seen) == 0 {
		return "no port is declared by " + named(ends)
	}
	list := slices.Sorted(maps.Keys(seen))
	if len(list) > 6 {
		list = append(list[:6], "…")
	}
	return "they declare " + strings.Join(list, ", ")
}

// serviceWithPort names a Service of the namespaces that has a port of that name.
func (l *linter) serviceWithPort(spaces []*space, name string) string {
	for _, s := range l.services {
		if slices.ContainsFunc(spaces, func(in *space) bool { return in.name == s.Namespace }) &&
			slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == name }) {
			return Object{"Service", s.Namespace, s.Name}.String()
		}
	}
	return ""
}

func (l *linter) portProtocols() {
	for _, r := range l.allRules() {
		ends, spaces, known := r.destinations(l.world)
		if !known {
			continue
		}
		for _, p := range r.ports {
			if !p.single() {
				continue
			}
			declared, ok := otherProtocol(ends, p)
			if !ok || l.allowsAnyhow(r, declared, p.First) {
				continue
			}
			severity, message := l.unless(spaces[0], Warning,
				fmt.Sprintf("allows %d for %s, and the Pods declare it for %s: %s", p.First, p.Protocol, declared, named(ends)))
			l.find(severity, r.of.object, p.path, message, fmt.Sprintf("write protocol: %s", declared))
		}
	}
}

// otherProtocol is the one protocol, not the port's own, for which all ends declare
// its number.
func otherProtocol(ends []*end, p *port) (found policy.Protocol, ok bool) {
	for _, e := range ends {
		if e.declares(p.First, p.Protocol) {
			return 0, false
		}
		at := slices.IndexFunc(e.ports, func(n policy.NamedPort) bool { return n.Number == p.First })
		if at < 0 || found != 0 && e.ports[at].Protocol != found {
			return 0, false
		}
		found = e.ports[at].Protocol
	}
	return found, found != 0
}

// allowsAnyhow reports whether a rule for Pods that may be the same, which counts where
// this one does, allows the port for that protocol.
func (l *linter) allowsAnyhow(r *rule, proto policy.Protocol, number uint16) bool {
	return slices.ContainsFunc(r.of.beside(), func(q *policyModel) bool {
		return q.broken || q.subject.Overlaps(r.of.subject) && slices.ContainsFunc(q.rules[r.dir], func(o *rule) bool {
			return len(o.ports) == 0 || slices.ContainsFunc(o.ports, func(p *port) bool { return p.name != "" || p.has(proto, number) })
		})
	})
}

func (l *linter) portsOfServices() {
	for _, r := range l.allRules() {
		if !slices.ContainsFunc(r.ports, (*port).single) {
			continue
		}
		ends, _, known := r.destinations(l.world)
		if !known {
			continue
		}
		for _, p := range r.ports {
			if !p.single() {
				continue
			}
			if svc, target := l.servicePort(r, p, ends); svc != nil {
				l.find(Warning, r.of.object, p.path.at("port"),
					fmt.Sprintf("%d is the port of Service %s/%s, and the Pods behind it listen on %d: policies see the Pod's port", p.First, svc.Namespace, svc.Name, target),
					fmt.Sprintf("write %d", target))
			}
		}
	}
}

// servicePort finds a Service that leads each of the ends from the port to another
// one that the rule does not allow; nil if an end has the port itself or is behind
// no such Service.
func (l *linter) servicePort(r *rule, p *port, ends []*end) (svc *corev1.Service, target uint16) {
	for _, e := range ends {
		if !e.isolable() || e.declares(p.First, p.Protocol) {
			return nil, 0
		}
		behind, to := l.behind(e, p)
		if behind == nil || slices.ContainsFunc(r.ports, func(o *port) bool { return e.allowedBy(o, p.Protocol, to) }) {
			return nil, 0
		}
		if svc == nil {
			svc, target = behind, to
		}
	}
	return svc, target
}

// allowedBy reports whether a port of a rule is the end's port of that number.
func (e *end) allowedBy(o *port, proto policy.Protocol, number uint16) bool {
	return o.has(proto, number) || slices.ContainsFunc(e.pod.Ports, func(n policy.NamedPort) bool {
		return n.Name == o.name && n.Protocol == proto && n.Number == number
	})
}

// behind finds the Service that leads from a port to another one of the end; nil if
// there is none, or if one leads to that port.
func (l *linter) behind(e *end, p *port) (svc *corev1.Service, target uint16) {
	for _, s := range l.services {
		if s.Namespace != e.pod.Namespace || len(s.Spec.Selector) == 0 || s.Spec.ClusterIP == corev1.ClusterIPNone ||
			!labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(e.pod.Labels)) {
			continue
		}
		for _, sp := range s.Spec.Ports {
			if policy.ProtocolOf(sp.Protocol) != p.Protocol {
				continue
			}
			to := e.resolve(&sp)
			if to == p.First {
				return nil, 0
			}
			if int(sp.Port) == int(p.First) && to != 0 && svc == nil {
				svc, target = s, to
			}
		}
	}
	return svc, target
}

// resolve is where a Service's port leads on the end, 0 if it has no such port.
func (e *end) resolve(sp *corev1.ServicePort) uint16 {
	switch {
	case sp.TargetPort.Type == intstr.Int && sp.TargetPort.IntVal > 0:
		return uint16(sp.TargetPort.IntVal)
	case sp.TargetPort.Type == intstr.Int || sp.TargetPort.StrVal == "":
		return uint16(sp.Port)
	}
	for _, n := range e.pod.Ports {
		if n.Name == sp.TargetPort.StrVal && n.Protocol == policy.ProtocolOf(sp.Protocol) {
			return n.Number
		}
	}
	return 0
}

func (l *linter) portsAddNothing() {
	c := l.coverage()
	for _, r := range l.allRules() {
		if c.policies[r.of] != nil || c.rules[r] != nil {
			continue
		}
		for _, p := range r.ports {
			if by := c.ports[p]; by != nil {
				l.find(Note, r.of.object, p.path, fmt.Sprintf("adds nothing: ports[%d] is %s", by.path[len(by.path)-1], by), "remove it, or write the protocol or the port that was meant")
			}
		}
	}
}
