package app

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Policies that only just do not select a Pod are named where they would change the
// verdict, and no others are.
func TestExplainNearly(t *testing.T) {
	const denyAll = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
`
	const access = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: access, namespace: %s}
spec:
  podSelector: {matchLabels: {%s}}
  ingress: [{from: [{%spodSelector: {matchLabels: {app: %s}}}]}]
---
`
	pods := pod("shop", "web", "app: web", "10.0.0.1", "") + "\n---\n" + pod("shop", "carts", "app: carts, tier: back", "10.0.0.2", "") + "\n---\n"
	for name, c := range map[string]struct {
		policies string
		want     []nearlyDocument
	}{
		"a letter": {denyAll + fmt.Sprintf(access, "shop", "app: cart", "", "web"),
			[]nearlyDocument{{"shop/access", "ingress", true, "it wants label app=cart, and the Pod has carts"}}},
		"one label of two": {denyAll + fmt.Sprintf(access, "shop", "app: carts, tier: front", "", "web"),
			[]nearlyDocument{{"shop/access", "ingress", true, "it wants label tier=front, and the Pod has back"}}},
		"a label that is missing": {denyAll + fmt.Sprintf(access, "shop", "app: carts, zone: a", "", "web"),
			[]nearlyDocument{{"shop/access", "ingress", true, "it wants label zone=a, which the Pod does not have"}}},
		"another namespace": {denyAll + fmt.Sprintf(access, "market", "app: carts", "", "web"),
			[]nearlyDocument{{"shop/access", "ingress", true, "it is in namespace market, and selects Pods of that alone"}}},
		"somebody else":                {denyAll + fmt.Sprintf(access, "shop", "app: orders", "", "web"), nil},
		"it would not help":            {denyAll + fmt.Sprintf(access, "shop", "app: cart", "", "api"), nil},
		"two labels off":               {denyAll + fmt.Sprintf(access, "shop", "app: cart, tier: front", "", "web"), nil},
		"nobody isolates and it would": {fmt.Sprintf(access, "shop", "app: cart", "", "api"), []nearlyDocument{{"shop/access", "ingress", false, "it wants label app=cart, and the Pod has carts"}}},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "m.yaml", pods+c.policies)
			got := sluice(t, "", "explain", "-q", "-n", "shop", "web", "carts:80", "-f", path, "-o", "json")
			var e explanationDocument
			if err := json.Unmarshal([]byte(got.out), &e); err != nil {
				t.Fatalf("%v: %+v", err, got)
			}
			if len(c.want) == 1 && c.want[0].Why[:5] == "it is" {
				c.want[0].Policy = "market/access"
			}
			if diff := cmp.Diff(c.want, e.Nearly); diff != "" {
				t.Error(diff)
			}
		})
	}
}
