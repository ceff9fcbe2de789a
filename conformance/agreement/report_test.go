package agreement

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/policy"
)

// mostOutput bounds what one mismatch prints of a ruleset or manifests.
const mostOutput = 30_000

// report ends the test with all that it takes to understand a mismatch. Had
// one flow gone astray, the next ones would only bury it.
func (w *world) report(round int, f lab.Flow, want opinion, got lab.Result) {
	w.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nround %d: %s: packets %s (%v); naive evaluator %t, index %t, explained %t\n",
		w, round, f, got.Outcome, got.Err, want.twin, want.index, want.explained)
	if again, err := w.lab.ProbeResults(w.t.Context(), []lab.Flow{f}, lab.ProbeOptions{}); err == nil {
		fmt.Fprintf(&b, "the same flow once more: %s\n", again[0].Outcome)
	}
	explain(&b, w.index.Explain(w.indexFlow(f)))
	for _, n := range w.lab.Spec().Nodes {
		fmt.Fprintf(&b, "--- nft list ruleset on %s\n%s\n", n.Name, bounded(ruleset(w.lab.Node(n.Name))))
	}
	fmt.Fprintf(&b, "--- objects\n%s", bounded(w.cluster.YAML()))
	w.t.Fatal(b.String())
}

func ruleset(node *lab.Namespace) string {
	var out bytes.Buffer
	err := node.Do(func() error {
		cmd := exec.Command("nft", "list", "ruleset")
		cmd.Stdout, cmd.Stderr = &out, &out
		return cmd.Run()
	})
	if err != nil {
		fmt.Fprintln(&out, err)
	}
	return out.String()
}

func bounded(s string) string {
	if len(s) > mostOutput {
		return fmt.Sprintf("%s\n… and %d bytes more", s[:mostOutput], len(s)-mostOutput)
	}
	return s
}

func explain(b *strings.Builder, v policy.Verdict) {
	for _, d := range []policy.DirectionVerdict{v.Egress, v.Ingress} {
		fmt.Fprintf(b, "%s: allowed %t, %s\n", d.Direction, d.Allowed, d.Reason)
		for _, p := range d.Policies {
			fmt.Fprintf(b, "  policy %s %v\n", p.Policy, p.Problems)
			for _, r := range p.Rules {
				fmt.Fprintf(b, "    rule %d: matched %t %s\n", r.Rule, r.Matched(), r.Invalid)
				for _, part := range append(r.Peers, r.Ports...) {
					fmt.Fprintf(b, "      %t: %s: %s\n", part.Matched, part.What, part.Why)
				}
			}
		}
	}
}
