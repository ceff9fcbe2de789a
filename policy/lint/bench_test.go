package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/policy/lint"
	"github.com/sluice-net/sluice/policy/manifest"
)

// estate is a cluster of that many workloads and policies, as a repository has it.
func estate(workloads, policies, namespaces int) string {
	var b strings.Builder
	for i := range workloads {
		ns := fmt.Sprintf("team-%d", i%namespaces)
		b.WriteString(deploy(ns, fmt.Sprintf("app-%d", i), fmt.Sprintf("app: app-%d, tier: t%d", i, i%7), "{name: http, containerPort: 8080}"))
	}
	for i := range policies {
		ns := fmt.Sprintf("team-%d", i%namespaces)
		b.WriteString(np(ns, fmt.Sprintf("policy-%d", i), fmt.Sprintf(
			"podSelector: {matchLabels: {app: app-%d}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {matchLabels: {app: app-%d}}}, {podSelector: {matchLabels: {tier: t1}}}], ports: [{port: http}]}], egress: [{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}, {to: [{podSelector: {matchLabels: {tier: t%d}}}], ports: [{port: 8080}]}]",
			i, i+namespaces, i%7)))
	}
	return b.String()
}

// BenchmarkRun lints workloads and policies that were read, in 50 namespaces and in
// one.
func BenchmarkRun(b *testing.B) {
	for _, namespaces := range []int{50, 1} {
		b.Run(fmt.Sprintf("workloads=2000/policies=500/namespaces=%d", namespaces), func(b *testing.B) {
			text := []byte(estate(2000, 500, namespaces))
			var loader manifest.Loader
			in := lint.Input{Outline: &manifest.Outline{}}
			loader.Add("m.yaml", text)
			in.Outline.Add("m.yaml", text)
			in.Set, in.Problems = loader.Finish()
			found := 0
			for b.Loop() {
				found = len(lint.Run(in).Findings)
			}
			b.ReportMetric(float64(found), "findings")
		})
	}
}

// BenchmarkOutline reads the same.
func BenchmarkOutline(b *testing.B) {
	text := []byte(estate(2000, 500, 50))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var o manifest.Outline
		o.Add("m.yaml", text)
		if len(o.Objects()) != 2500 {
			b.Fatal(len(o.Objects()))
		}
	}
}
