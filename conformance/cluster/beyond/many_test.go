package beyond

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestManyPolicies: a hundred policies come at once, and go at once.
func TestManyPolicies(t *testing.T) {
	const policies, first = 100, 9000
	w := newWorld(t)
	pods := w.pods(spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1})
	server := pods["server"]
	open := []int{first, first + policies/2, first + policies - 1}
	closed := []int{first - 1, first + policies}
	w.listen(server, append(open, closed...)...)
	cells := func(within, beside bool) []cell {
		var cells []cell
		for _, from := range []string{"near", "far"} {
			for _, port := range open {
				cells = append(cells, only("tcp", pods[from].to(server, uint16(port), within))...)
			}
			for _, port := range closed {
				cells = append(cells, only("tcp", pods[from].to(server, uint16(port), beside))...)
			}
		}
		return cells
	}
	w.policy(w.ns, "deny", denyAll)
	w.expect("under default deny", cells(false, false)...)

	began := time.Now()
	w.atOnce(policies, func(i int) {
		w.policy(w.ns, fmt.Sprint("port-", i), fmt.Sprintf(`
podSelector: {}
policyTypes: [Ingress, Egress]
ingress: [{from: [{podSelector: {}}], ports: [{port: %d}]}]
egress: [{to: [{podSelector: {matchLabels: {app: server}}}], ports: [{port: %[1]d}]}]
`, first+i))
	})
	created := time.Since(began)
	w.expect(fmt.Sprintf("with %d policies", policies), cells(true, false)...)
	t.Logf("created in %s, right and probed twice %s later", created.Round(time.Millisecond), (time.Since(began) - created).Round(time.Millisecond))

	w.must("delete all policies", cluster.client.NetworkingV1().NetworkPolicies(w.ns).DeleteCollection(w.ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	w.expect("with none", slices.Concat(cells(true, true), pods["near"].echo(server, true), server.to(pods["far"], web, true))...)
}

// atOnce does n things, some at the same time.
func (w *world) atOnce(n int, do func(i int)) {
	w.t.Helper()
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			do(i)
		})
	}
	all.Wait()
	if w.t.Failed() {
		w.t.FailNow()
	}
}
