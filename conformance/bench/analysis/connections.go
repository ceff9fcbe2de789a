package analysis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-net/sluice/conformance/bench/figures"
)

// Names of what commands cost that answer about all workloads at once, and the variants.
const (
	CPU      = "CPU of a command"
	Resident = "resident memory of a command"

	List     = "list --why"
	Exposure = "exposure"
	Lint     = "lint"
	Diff     = "diff"
)

// Commands are the variants, in the order of the report.
var Commands = []string{List, Exposure, Lint, Diff}

// Estate is a size of manifests: Deployments, and policies about them.
type Estate struct{ Workloads, Policies int }

// perNamespace is how many workloads are in one.
const perNamespace = 50

// manifests are those of an estate as a repository has them. Of a namespace's policies
// one denies by default, one lets out to DNS and the team, and the others let one workload
// or tier to another, by ports and names of ports, and ranges outside to some. The revision
// changes one of them, and leaves one out.
func (e Estate) manifests(revision int) string {
	var b strings.Builder
	namespaces := (e.Workloads + perNamespace - 1) / perNamespace
	for n := range namespaces {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: ns-%d, labels: {team: team-%d}}\n", n, n%5)
	}
	for i := range e.Workloads {
		fmt.Fprintf(&b, "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {namespace: ns-%[1]d, name: app-%[2]d}\nspec:\n  selector: {matchLabels: {app: app-%[2]d}}\n  template: {metadata: {labels: {app: app-%[2]d, tier: tier-%[3]d}}, spec: {containers: [{name: c, ports: [{name: http, containerPort: %[4]d}]}]}}\n",
			i/perNamespace, i, i%3, 8080+i%4)
	}
	for i := range e.Policies - revision {
		n, kind := i%namespaces, i/namespaces
		fmt.Fprintf(&b, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: ns-%d, name: policy-%d}\nspec: %s\n", n, i, policySpec(n, kind, i == 3*namespaces+1 && revision > 0))
	}
	return b.String()
}

func policySpec(namespace, kind int, changed bool) string {
	first := namespace * perNamespace
	switch kind {
	case 0:
		return "{podSelector: {}, policyTypes: [Ingress, Egress]}"
	case 1:
		return fmt.Sprintf("{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ns-0}}}], ports: [{port: 53, protocol: UDP}]}, {to: [{namespaceSelector: {matchLabels: {team: team-%d}}}], ports: [{port: http}]}, {to: [{podSelector: {}}]}]}", namespace%5)
	case 2:
		return fmt.Sprintf("{podSelector: {matchLabels: {tier: tier-0}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: team-%d}}, podSelector: {matchLabels: {tier: tier-1}}}], ports: [{port: http}]}]}", namespace%5)
	case 3:
		port := 443
		if changed {
			port = 444
		}
		return fmt.Sprintf("{podSelector: {matchLabels: {tier: tier-1}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}], ports: [{port: %d}]}]}", port)
	case 4:
		return fmt.Sprintf("{podSelector: {matchLabels: {tier: tier-2}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.%d.0.0/16}}], ports: [{port: 443}]}]}", namespace%200)
	}
	return fmt.Sprintf("{podSelector: {matchLabels: {app: app-%d}}, ingress: [{from: [{podSelector: {matchLabels: {app: app-%d}}}], ports: [{port: %d}]}]}", first+kind, first+kind+1, 8000+kind)
}

// connections measures commands about all workloads of an estate, each in a process of its
// own: from files to the answer in JSON.
func (m *measurement) connections(ctx context.Context, e Estate) error {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	before, after := filepath.Join(dir, "before.yaml"), filepath.Join(dir, "after.yaml")
	if err := errors.Join(os.WriteFile(before, []byte(e.manifests(0)), 0o600), os.WriteFile(after, []byte(e.manifests(1)), 0o600)); err != nil {
		return err
	}
	args := map[string][]string{
		List: {"list", "--why", "-f", before}, Exposure: {"exposure", "-f", before},
		Lint: {"lint", "--fail-on", "error", "-f", before}, Diff: {"diff", "--fail-on", "never", before, after},
	}
	seconds, memory := map[string][]float64{}, map[string][]float64{}
	for range m.Rounds {
		for _, name := range Commands {
			s, mib, err := m.command(ctx, append(args[name], "-o", "json"))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			seconds[name], memory[name] = append(seconds[name], s), append(memory[name], mib)
		}
	}
	at := figures.Setting{"deployments": float64(e.Workloads), "policies": float64(e.Policies)}
	for _, name := range Commands {
		m.run.Add(figures.Figure{Part: Part, Case: Connections, Name: CPU, Variant: name, At: at, Unit: "s", Samples: seconds[name]})
		m.run.Add(figures.Figure{Part: Part, Case: Connections, Name: Resident, Variant: name, At: at, Unit: "MiB", Samples: memory[name]})
	}
	return nil
}
