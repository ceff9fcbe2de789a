package denials

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/flows"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// Of policies that are audited nothing is dropped; every flow that they would deny is told
// of at each end that would, with the audited policies, and no other flow is. Flows that
// began before are among them. Once the policies are enforced the same flows are denied.
func TestAuditedPoliciesTellAndDenyNothing(t *testing.T) {
	for _, topology := range []lab.Topology{lab.Bridge, lab.PTP} {
		t.Run(topology.String(), func(t *testing.T) {
			w := watch(t, topology, lab.TwoNodes, nil, nil)
			twin := &spectest.Cluster{Pods: slices.Collect(maps.Values(w.Pods)), Namespaces: teams()}
			var audited, inForce []any
			for name, spec := range shop {
				np := networkPolicy(t, name, spec)
				twin.Policies = append(twin.Policies, np)
				inForce = append(inForce, np)
				np = np.DeepCopy()
				np.Annotations = map[string]string{policy.ModeKey: policy.ModeAudit}
				audited = append(audited, np)
			}
			want := map[string]bool{}
			rnd := seeded(11)
			some := func(n int) {
				for range n {
					from, to := w.pods[rnd.IntN(many)], w.pods[rnd.IntN(many)]
					if from == to {
						continue
					}
					dst := netip.AddrPortFrom(podAddr(to, rnd.IntN(2)), []uint16{53, 80, 443, 5432, 8080}[rnd.IntN(5)])
					src := podAddr(from, map[bool]int{true: 0, false: 1}[dst.Addr().Is4()])
					egress, ingress := twin.Allowed(spectest.Flow{Src: src, Dst: dst.Addr(), Protocol: uint8(policy.UDP), Port: dst.Port()})
					for d, allowed := range map[policy.Direction]bool{policy.Egress: egress, policy.Ingress: ingress} {
						if !allowed {
							id := strings.Join([]string{fullName(from), fullName(to), src.String(), portText(dst.Port()), d.String()}, " ")
							want[id] = true
						}
					}
					w.send(from, dst)
				}
			}
			some(200) // before there is any policy
			w.Set(audited...)
			some(200)
			told := map[string]int{}
			for _, d := range w.told() {
				id := strings.Join([]string{d.Src.Name(), d.Dst.Name(), d.Src.Address, portText(d.Port), d.Direction}, " ")
				told[id]++
				switch {
				case d.Reason != denials.Audit:
					t.Errorf("something is denied: %s: %s", id, d.Message)
				case !want[id]:
					t.Errorf("would not be denied: %s: %s", id, d.Message)
				case len(d.Policies) == 0:
					t.Errorf("by no policy: %s: %s", id, d.Message)
				}
			}
			for id := range want {
				if told[id] == 0 {
					t.Errorf("not told of: %s", id)
				}
			}
			t.Logf("%d flows would be denied at an end, %d told of", len(want), len(told))
			if len(want) < 100 {
				t.Errorf("only %d flows would be denied", len(want))
			}
			w.Set(inForce...)
			before := len(w.told())
			for _, from := range w.pods[:4] {
				for _, to := range w.pods[4:8] {
					w.send(from, netip.AddrPortFrom(podAddr(to, 0), 9999))
				}
			}
			denied := 0
			for _, d := range w.told() {
				if d.Reason == denials.Policy {
					denied++
				}
			}
			if denied == 0 {
				t.Errorf("nothing is denied once the policies are enforced; %d told of before", before)
			}
		})
	}
}

func portText(port uint16) string { return netip.AddrPortFrom(netip.IPv4Unspecified(), port).String() }

func teams() (out []*corev1.Namespace) {
	for _, name := range []string{"shop", "guests"} {
		ns := enforced.Namespace(name)
		ns.Labels["team"] = name
		out = append(out, ns)
	}
	return out
}

// follow has the flows of namespace shop arrive that an agent tells of.
func follow(t *testing.T, agent *enforcer.Agent, lines chan<- string) {
	t.Helper()
	server := httptest.NewServer(agent.FlowsHandler())
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/flows?namespace=shop", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request) //nolint:bodyclose // Who reads it closes it.
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	go func() {
		defer response.Body.Close()
		for s := bufio.NewScanner(response.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
}

// Who follows flows on all nodes is told of those that pass at both ends, and of no other,
// by the destination's node; those that are there already come, too.
func TestFlowsThatPassAreFollowed(t *testing.T) {
	w := watch(t, lab.PTP, lab.TwoNodes, map[string]string{"shop/deny": "podSelector: {matchLabels: {app: db}}\npolicyTypes: [Ingress]\n"}, nil)
	var from, allowed, denied *corev1.Pod
	for _, p := range w.pods {
		switch {
		case p.Namespace != "shop":
			from = p
		case p.Labels["app"] == "api":
			allowed = p
		case p.Labels["app"] == "db":
			denied = p
		}
	}
	if from.Spec.NodeName == denied.Spec.NodeName || allowed.Spec.NodeName != denied.Spec.NodeName {
		t.Fatalf("from %s to %s and %s", from.Spec.NodeName, allowed.Spec.NodeName, denied.Spec.NodeName)
	}
	w.send(from, netip.AddrPortFrom(podAddr(allowed, 0), 80)) // before anybody follows
	lines := make(chan string, 100)
	for _, node := range w.nodes {
		follow(t, w.Agent(node), lines)
	}
	for port := range uint16(20) { // what is denied at the other end leaves this node
		w.send(from, netip.AddrPortFrom(podAddr(denied, 0), 5432+port))
	}
	w.send(from, netip.AddrPortFrom(podAddr(allowed, 1), 81))
	seen := map[string]bool{}
	for len(seen) < 2 {
		line := <-lines
		var f flows.Flow
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if f.Kind != flows.Kind || f.Src.Name() != fullName(from) || f.Dst.Name() != fullName(allowed) || f.Protocol != "UDP" || f.Node != allowed.Spec.NodeName {
			t.Errorf("%s", line)
		}
		seen[f.Dst.Address+" "+portText(f.Port)] = true
	}
	if !seen[podAddr(allowed, 0).String()+" "+portText(80)] || !seen[podAddr(allowed, 1).String()+" "+portText(81)] {
		t.Errorf("seen %v", seen)
	}
}
