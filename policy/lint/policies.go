package lint

import (
	"fmt"

	"github.com/sluice-net/sluice/policy"
)

func policyChecks() []check {
	return []check{
		{Check{
			ID: "policy-selects-nothing", Severity: Warning,
			Says:   "The podSelector selects no Pod and no workload of its namespace.",
			Why:    "Nothing is isolated and nothing allowed: whoever relies on the policy is not protected, or is denied by another.",
			Mend:   "Write the labels that the workloads have; the message names the nearest.",
			Silent: "Namespaces of which the input has no workload: what is not there cannot be missed. Labels that controllers set (job-name, pod-template-hash and the like). Where the cluster itself has Pods (kube-system), or a custom resource, an unread document or an unbuilt kustomization may make Pods, it is a note.",
		}, (*linter).policiesSelectNothing},
		{Check{
			ID: "policy-other-namespace", Severity: Note,
			Says:   "The policy is in a namespace of which the input has no workload, and its podSelector would select some of exactly one other namespace.",
			Why:    "A policy selects Pods of its own namespace only. One that names no namespace lands in that of whoever applies it.",
			Mend:   "Write metadata.namespace.",
			Silent: "Policies that select every Pod, as they would match anywhere; selectors that match in several namespaces.",
		}, (*linter).policiesElsewhere},
		{Check{
			ID: "policy-host-network", Severity: Warning,
			Says:   "All that the policy selects runs on the host's network.",
			Why:    "Such Pods have their node's address. NetworkPolicy does not isolate them.",
			Mend:   "Protect them by the node's firewall or without hostNetwork, and remove the policy.",
			Silent: "Policies that also select a Pod with an address of its own, and those that select every Pod of the namespace: the next Pod may have one.",
		}, (*linter).policiesOnHosts},
		{Check{
			ID: "selector-contradiction", Severity: Error,
			Says:   "A selector demands what excludes itself, so no labels can match it.",
			Why:    "A label has one value: app In [a] and app NotIn [a], or two matchLabels and matchExpressions that cannot both be, match nothing ever.",
			Mend:   "Remove one of the requirements.",
			Silent: "Whatever some labels could match, however unlikely.",
		}, (*linter).contradictions},
		{Check{
			ID: "policy-adds-nothing", Severity: Note,
			Says:   "Other policies select all Pods that this one selects, isolate them in the same directions, and allow all that it allows.",
			Why:    "It can be removed and nothing changes. Whoever edits it expects otherwise.",
			Mend:   "Remove it, or narrow the other.",
			Silent: "What only audited policies do as well, of one that is enforced. Policies that isolate and allow nothing, which are written on purpose beside those that allow. What is covered only by several rules together, or only as things are: the comparison holds for any Pods.",
		}, (*linter).policiesAddNothing},
	}
}

func (l *linter) policiesSelectNothing() {
	for _, p := range l.policies {
		ends := p.space.ends
		if p.broken || p.subject.Empty() || len(ends) == 0 || len(p.selected()) > 0 {
			continue
		}
		at := path{"spec", "podSelector"}
		message := fmt.Sprintf("selects %s, and no workload of namespace %s is that", p.subject, p.space.name)
		mend := "write the labels of the workloads that are meant, or remove the policy"
		if near := nearest(&p.api.Spec.PodSelector, at, ends); near != nil {
			at = near.path
			message = fmt.Sprintf("selects %s, and no workload of namespace %s is that: %s", p.subject, p.space.name, near)
			mend = near.mend()
		} else {
			message += fmt.Sprintf(": of %s, %s", many(len(ends), "workload"), whatIsThere(&p.api.Spec.PodSelector, ends))
		}
		severity, message := l.unless(p.space, Warning, message)
		l.find(severity, p.object, at, message, mend)
	}
}

func (l *linter) policiesElsewhere() {
	for _, p := range l.policies {
		if p.broken || len(p.space.ends) > 0 || p.subject.All() || p.subject.Empty() {
			continue
		}
		var found []*space
		var first *end
		for _, s := range l.spaces {
			for _, e := range s.ends {
				if e.pod.Labels != nil && p.subject.Contains(e.pod.Labels) && demands(p) {
					found, first = append(found, s), e
					break
				}
			}
		}
		if len(found) != 1 {
			continue
		}
		l.find(Note, p.object, path{"metadata", "namespace"},
			fmt.Sprintf("is in namespace %s, of which there is no workload here; its podSelector %s would select %s", p.space.name, p.subject, first.object),
			fmt.Sprintf("write metadata.namespace: %s, if that is meant", found[0].name))
	}
}

// demands reports whether a policy's selector asks for a label, and not only for
// the absence of some.
func demands(p *policyModel) bool { return !p.subject.Contains(nil) }

func (l *linter) policiesOnHosts() {
	for _, p := range l.policies {
		selected := p.selected()
		if p.broken || p.subject.All() || len(selected) == 0 {
			continue
		}
		on := 0
		for _, e := range selected {
			if e.pod.HostNetwork {
				on++
			}
		}
		if on < len(selected) {
			continue
		}
		severity, message := l.unless(p.space, Warning,
			fmt.Sprintf("selects only Pods on the host's network, which policies do not isolate: %s", named(selected)))
		l.find(severity, p.object, path{"spec", "podSelector"}, message, "protect them by the node's firewall or give them a network of their own, and remove the policy")
	}
}

func (l *linter) contradictions() {
	const mend = "remove one of the requirements"
	for _, p := range l.policies {
		if p.broken {
			continue
		}
		if p.subject.Empty() {
			l.find(Error, p.object, path{"spec", "podSelector"}, fmt.Sprintf("no labels can match %s", p.subject), mend)
		}
		for _, r := range p.allRules() {
			for _, peer := range r.peers {
				if peer.block != nil {
					continue
				}
				if peer.pods.Empty() {
					l.find(Error, p.object, peer.path.at("podSelector"), fmt.Sprintf("no labels can match %s", peer.pods), mend)
				}
				if !peer.own && peer.namespaces.Empty() {
					l.find(Error, p.object, peer.path.at("namespaceSelector"), fmt.Sprintf("no labels can match %s", peer.namespaces), mend)
				}
			}
		}
	}
}

// allRules are those of both directions, also of one that policyTypes leaves out.
func (m *policyModel) allRules() []*rule {
	return append(append([]*rule(nil), m.rules[policy.Ingress]...), m.rules[policy.Egress]...)
}

// allRules are those that are in force, in the order of the policies.
func (w *world) allRules() []*rule {
	var out []*rule
	for _, p := range w.policies {
		for _, d := range directions {
			if p.isolates[d] && !p.broken {
				out = append(out, p.rules[d]...)
			}
		}
	}
	return out
}

func (l *linter) policiesAddNothing() {
	for _, p := range l.policies {
		if by := l.coverage().policies[p]; by != nil {
			l.find(Note, p.object, nil,
				fmt.Sprintf("adds nothing: all that it isolates and allows, %s does for the same Pods", by.object),
				"remove it, or narrow the other")
		}
	}
}
