package policy_test

import (
	"strings"
	"testing"

	"github.com/sluice-net/sluice/policy"
)

// An invalid policy never disappears: it is reported, what is bad allows
// nothing, what is good still counts, and the Pods stay isolated.
func TestInvalidPolicyStaysAndIsReported(t *testing.T) {
	for name, tc := range map[string]struct {
		spec, field         string
		good, bad, opposite string // web on 80, bank's web on 80, and out of the Pod
	}{
		"unknown operator in podSelector": {
			`{podSelector: {matchExpressions: [{key: app, operator: Near, values: [db]}]}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
			"spec.podSelector", allowed, ingressDenied, allowed,
		},
		"In without values in a peer": {
			`{podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In}]}}, {podSelector: {matchLabels: {app: web}}}]}]}`,
			"spec.ingress[0].from[0].podSelector", allowed, ingressDenied, allowed,
		},
		"invalid peer alone": {
			`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {"no key": x}}}]}]}`,
			"spec.ingress[0].from[0].namespaceSelector", ingressDenied, ingressDenied, allowed,
		},
		"empty peer": {
			`{podSelector: {}, ingress: [{from: [{}]}]}`, "spec.ingress[0].from[0]", ingressDenied, ingressDenied, allowed,
		},
		"CIDR": {
			`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}, {from: [{podSelector: {}}]}]}`,
			"spec.ingress[0].from[0].ipBlock.cidr", allowed, ingressDenied, allowed,
		},
		"except outside of the CIDR": {
			`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}`,
			"spec.ingress[0].from[0].ipBlock.except[0]", ingressDenied, ingressDenied, allowed,
		},
		"except of the other family": {
			`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: ["fd00::/64"]}}]}]}`,
			"spec.ingress[0].from[0].ipBlock.except[0]", ingressDenied, ingressDenied, allowed,
		},
		"block with selectors": {
			`{podSelector: {}, ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}`,
			"spec.ingress[0].from[0]", ingressDenied, ingressDenied, allowed,
		},
		"endPort below port": {
			`{podSelector: {}, ingress: [{ports: [{port: 90, endPort: 80}]}]}`,
			"spec.ingress[0].ports[0].endPort", ingressDenied, ingressDenied, allowed,
		},
		"unknown protocol": {
			`{podSelector: {}, ingress: [{ports: [{protocol: ICMP}]}]}`,
			"spec.ingress[0].ports[0].protocol", ingressDenied, ingressDenied, allowed,
		},
		"unknown policyTypes": {
			`{podSelector: {}, policyTypes: [Ingres], ingress: [{from: [{podSelector: {}}]}]}`,
			"spec.policyTypes[0]", allowed, ingressDenied, egressDenied,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := twoTeams(t)
			w.invalid = true
			np := netpol(t, "shop/bad", tc.spec)
			w.set(np).check(verdicts{
				"shop/web > shop/db TCP 80":    egressOf(tc.opposite, tc.good),
				"bank/web > shop/db TCP 80":    tc.bad,
				"shop/db > 203.0.113.7 TCP 80": tc.opposite,
			})
			err := policy.NewIndex(policy.Options{}).SetPolicy(np)
			if err == nil || !strings.Contains(err.Error(), tc.field) {
				t.Errorf("SetPolicy: %v, want an error that names %s", err, tc.field)
			}
			w.delete(np).check(verdicts{"bank/web > shop/db TCP 80": allowed})
		})
	}
}

// egressOf adds to an ingress verdict that the source may not send.
func egressOf(egress, ingress string) string {
	switch {
	case egress != egressDenied:
		return ingress
	case ingress == ingressDenied:
		return bothDenied
	}
	return egressDenied
}
