package detect

import (
	"slices"
	"testing"

	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// What every node has of Kubernetes' is no news: a chain that leads to the kubelet's,
// kube-proxy's or flannel's at most. Anything besides is.
func TestDetectPassesOverKubernetesOwnChains(t *testing.T) {
	const own = `chain KUBE-FIREWALL { ip daddr 127.0.0.0/8 ct status dnat drop; }
  chain KUBE-FORWARD { ct state invalid drop; accept; }
  chain KUBE-ROUTER-INPUT { drop; }
  chain FLANNEL-FWD { accept; }
  chain DOCKER-USER { return; }
`
	for _, tt := range []struct {
		rules string
		seen  bool
	}{
		{"", false},
		{"counter jump KUBE-FIREWALL; ct state new counter jump KUBE-FORWARD;", false},
		{"jump FLANNEL-FWD; ip saddr 10.0.0.0/8 accept; return;", false},
		{"jump KUBE-FIREWALL; ip saddr 10.0.0.0/8 drop;", true},
		{"jump KUBE-FIREWALL; ip saddr 10.0.0.0/8 reject;", true},
		{"jump KUBE-ROUTER-INPUT;", true},
		{"goto DOCKER-USER;", true},
		{"tcp dport vmap { 80 : drop };", true},
		{"ip saddr { 10.0.0.1, 10.0.0.2 } accept;", false},
		{"ip saddr { 10.0.0.1, 10.0.0.2 } drop;", true},
	} {
		node := netnstest.New(t)
		nft(node, "table ip filter {\n"+own+"  chain FORWARD { type filter hook forward priority 0; policy accept; "+tt.rules+" }\n}\n")
		_, got := detected(t, node)
		if seen := slices.Contains(got, "OtherChains table ip filter"); seen != tt.seen {
			t.Errorf("%q: told of: %t, want %t (%v)", tt.rules, seen, tt.seen, got)
		}
	}
}
