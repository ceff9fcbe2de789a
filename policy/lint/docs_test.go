package lint_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy/lint"
	"github.com/sluice-net/sluice/policy/lint/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

const docsHead = `# sluice lint

What ` + "`sluice lint`" + ` finds, and what each finding means. This page is written by a
test from the table in ` + "`policy/lint`" + `.

    sluice lint -f deploy/ -R
    sluice lint -k deploy/
    helm template shop ./chart | sluice lint -f - -o github

Give it the workloads together with the policies: what policies select is judged by
the Pods of the input and by those that its Deployments, StatefulSets, DaemonSets,
ReplicaSets, ReplicationControllers, Jobs and CronJobs would make. Of namespaces of
which the input has no workload nothing is said about what is selected there.

**Audited policies.** One that is audited, by its annotation or its Namespace's label
([audit.md](audit.md)), does nothing for one that is enforced: it makes none needless, and
gives its Pods neither isolation nor DNS. What is enforced counts for both. Of an audited
policy is said what would be so if it were enforced.

**Severities.** An *error* cannot be what was meant. A *warning* is very likely not.
A *note* is true and often meant so. The table has the highest that a check gives;
where it is less sure, it gives less. The exit code is 1 from ` + "`--fail-on`" + ` upwards
(` + "`warning`" + ` by default), 2 for input that cannot be used.

**Silence.** Where something is meant so, say it, with a reason after the last ID. On
an object, for all of it:

    metadata:
      annotations:
        sluice-net.github.io/lint-ignore: rule-adds-nothing, pod-not-isolated

In the YAML of a NetworkPolicy, at a field for that and all below it, at the end of
its line or on lines of their own right above it; above an object's first line for the
whole object:

    egress: # sluice-lint-ignore: egress-without-dns only addresses are dialled

` + "`*`" + ` is all checks. What was silenced is counted, and in the JSON and SARIF.

**Formats.** ` + "`-o text`" + `, ` + "`json`" + ` (with apiVersion and kind; ` + "`findings`" + ` and
` + "`silenced`" + `), ` + "`sarif`" + ` (2.1.0), ` + "`github`" + ` (annotations of a workflow), ` + "`junit`" + `.

`

// The page is that of the checks.
func TestDocsGolden(t *testing.T) {
	var b strings.Builder
	b.WriteString(docsHead)
	b.WriteString("| check | severity | |\n| --- | --- | --- |\n")
	for _, c := range lint.Checks() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", c.ID, c.ID, c.Severity, c.Says)
	}
	for _, c := range lint.Checks() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n- **Why:** %s\n- **Mend:** %s\n- **Not reported:** %s\n", c.ID, c.Says, c.Why, c.Mend, c.Silent)
	}
	golden(t, filepath.Join("..", "..", "docs", "lint.md"), b.String())
}

// Situations as they are in the world, each with all that is found.
func TestSituationsGolden(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := report.Text(&b, run(string(data))); err != nil {
			t.Fatal(err)
		}
		golden(t, strings.TrimSuffix(file, ".yaml")+".txt", b.String())
	}
}
