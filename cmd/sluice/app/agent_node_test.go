package app

import (
	"os"
	"strings"
	"testing"
)

// In a Pod the host name is not good enough for a node name: one that is not
// quite right enforces nothing.
func TestAgentInAClusterNeedsItsNodeName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		nodeName, inCluster, kubeconfig, manifests string
		want, fails                                string
	}{
		"in a Pod without":                   {inCluster: "10.0.0.1", fails: "spec.nodeName"},
		"in a Pod":                           {inCluster: "10.0.0.1", nodeName: "n1", want: "n1"},
		"in a Pod, for another cluster":      {inCluster: "10.0.0.1", kubeconfig: "file", want: host},
		"in a Pod, with manifests":           {inCluster: "10.0.0.1", manifests: "dir"},
		"not in a Pod":                       {kubeconfig: "file", want: host},
		"not in a Pod, with $NODE_NAME":      {kubeconfig: "file", nodeName: "n1", want: "n1"},
		"with manifests and with $NODE_NAME": {manifests: "dir", nodeName: "n1", want: "n1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NODE_NAME", tt.nodeName)
			t.Setenv("KUBERNETES_SERVICE_HOST", tt.inCluster)
			o := &AgentOptions{kubeconfig: tt.kubeconfig, manifests: tt.manifests}
			err := o.completeNode()
			if (err != nil) != (tt.fails != "") || err != nil && !strings.Contains(err.Error(), tt.fails) || o.config.Node != tt.want {
				t.Errorf("node %q, %v", o.config.Node, err)
			}
		})
	}
}
