package app

import (
	"strings"
	"testing"
)

// Without a name an agent of a cluster would enforce nothing, and be ready.
func TestAgentOfAClusterNeedsItsNodesName(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	kubeconfig := write(t, "kubeconfig", "apiVersion: v1\nkind: Config\n")
	for _, args := range [][]string{{"agent"}, {"agent", "--kubeconfig", kubeconfig}, {"agent", "--context", "c"}} {
		t.Setenv("NODE_NAME", "")
		err := checked(t, args)
		for _, want := range []string{"--node-name", "NODE_NAME", "spec.nodeName"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q in it", args, err, want)
			}
		}
		t.Setenv("NODE_NAME", "worker-1")
		if err := checked(t, args); err != nil {
			t.Errorf("%q with the variable: %v", args, err)
		}
	}
	t.Setenv("NODE_NAME", "")
	if err := checked(t, []string{"agent", "--manifests", t.TempDir()}); err != nil {
		t.Errorf("manifests: %v", err)
	}
}
