package suggest

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// a Pod as "namespace/name address key=value… name:port", on node 192.168.0.1.
func pod(t *testing.T, s string) *policy.Pod {
	t.Helper()
	words := strings.Fields(s)
	p := &policy.Pod{Labels: map[string]string{}, Node: "n", NodeAddrs: []netip.Addr{netip.MustParseAddr("192.168.0.1")}}
	p.Namespace, p.Name, _ = strings.Cut(words[0], "/")
	p.Addrs = []netip.Addr{netip.MustParseAddr(words[1])}
	for _, w := range words[2:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			p.Labels[key] = value
			continue
		}
		name, number, _ := strings.Cut(w, ":")
		proto := policy.TCP
		if name == "dns" {
			proto = policy.UDP
		}
		n := netip.MustParseAddrPort("1.1.1.1:" + number).Port()
		p.Ports = append(p.Ports, policy.NamedPort{Name: name, Protocol: proto, Number: n})
	}
	return p
}

// flow is "source destination:port/protocol", by addresses.
func flow(s string) Flow {
	words := strings.Fields(s)
	to, proto, _ := strings.Cut(words[1], "/")
	dst := netip.MustParseAddrPort(to)
	p, err := parseProtocol(proto)
	if err != nil {
		panic(err)
	}
	return Flow{Src: End{Addr: netip.MustParseAddr(words[0])}, Dst: End{Addr: dst.Addr()}, Protocol: p, Port: dst.Port()}
}

var shop = []string{
	"shop/web-5d4-abc 10.0.0.1 app=web pod-template-hash=5d4 tier=front http:8080",
	"shop/web-5d4-abd 10.0.0.2 app=web pod-template-hash=5d4 tier=front http:8080",
	"shop/api-0 10.0.0.3 app=api tier=back statefulset.kubernetes.io/pod-name=api-0 grpc:9000",
	"shop/cron 10.0.0.9 app=cron tier=back",
	"kube-system/dns-x 10.0.1.1 k8s-app=kube-dns dns:53",
	"ops/scraper 10.0.2.1 app=scraper",
}

func input(t *testing.T, flows ...string) *Input {
	in := &Input{Namespaces: []string{"shop"}}
	for _, s := range shop {
		in.Pods = append(in.Pods, pod(t, s))
	}
	for _, s := range flows {
		in.Flows = append(in.Flows, flow(s))
	}
	return in
}

func TestSuggestedPolicies(t *testing.T) {
	in := input(t,
		"10.0.0.1 10.0.0.3:9000/TCP", "10.0.0.2 10.0.0.3:9000/TCP", "10.0.0.2 10.0.0.3:9000/TCP",
		"10.0.0.1 10.0.1.1:53/UDP", "10.0.0.3 10.0.1.1:53/UDP",
		"192.168.0.1 10.0.0.1:8080/TCP", // the kubelet
		"192.168.0.2 10.0.0.1:8080/TCP", // another node
		"10.0.2.1 10.0.0.3:9000/TCP",
		"10.0.0.3 203.0.113.7:443/TCP",
		"10.0.0.1 10.0.0.3:0/ICMP",
	)
	probe := flow("10.0.0.254 10.0.0.2:8080/TCP") // from the node's bridge
	probe.Src.Node = "n"
	in.Flows = append(in.Flows, probe)
	got, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, np := range got.Policies {
		out, err := yaml.Marshal(np.Spec)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("# " + np.Namespace + "/" + np.Name + "\n" + string(out))
	}
	want := `# shop/api
egress:
- ports:
  - port: 53
    protocol: TCP
  - port: dns
    protocol: UDP
  to:
  - namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: kube-system
    podSelector:
      matchLabels:
        k8s-app: kube-dns
- ports:
  - port: 443
    protocol: TCP
  to:
  - ipBlock:
      cidr: 203.0.113.7/32
ingress:
- from:
  - namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: ops
    podSelector:
      matchLabels:
        app: scraper
  - podSelector:
      matchLabels:
        app: web
  ports:
  - port: grpc
    protocol: TCP
podSelector:
  matchLabels:
    app: api
policyTypes:
- Ingress
- Egress
# shop/web
egress:
- ports:
  - port: 53
    protocol: TCP
  - port: dns
    protocol: UDP
  to:
  - namespaceSelector:
      matchLabels:
        kubernetes.io/metadata.name: kube-system
    podSelector:
      matchLabels:
        k8s-app: kube-dns
- ports:
  - port: grpc
    protocol: TCP
  to:
  - podSelector:
      matchLabels:
        app: api
ingress:
- from:
  - ipBlock:
      cidr: 192.168.0.2/32
  ports:
  - port: 8080
    protocol: TCP
podSelector:
  matchLabels:
    app: web
policyTypes:
- Ingress
- Egress
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Error(diff)
	}
	if got.Used != 7 || got.Left["from a Pod's own node, which always reaches it"] != 2 || len(got.Left) != 2 {
		t.Errorf("used %d, left %v", got.Used, got.Left)
	}
	if diff := cmp.Diff([]string{"shop/cron"}, got.Unseen); diff != "" {
		t.Error(diff)
	}
	if got.Allowed == 0 || got.Allowed >= got.Possible {
		t.Errorf("%d of %d", got.Allowed, got.Possible)
	}
}

// A port of the web's is 8080 by its name to who is let in; from outside the name counts
// as well, since it is the destination's.
func TestIngressPortsHaveNames(t *testing.T) {
	got, err := Make(input(t, "10.0.2.1 10.0.0.1:8080/TCP"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Policies) != 1 || got.Policies[0].Spec.Ingress[0].Ports[0].Port.String() != "http" {
		t.Errorf("%+v", got.Policies)
	}
}

func TestOutsideIsFolded(t *testing.T) {
	for _, c := range []struct{ addrs, want string }{
		{"203.0.113.7", "203.0.113.7/32"},
		{"203.0.113.1 203.0.113.2 203.0.113.3 203.0.113.4 203.0.113.5", "203.0.113.0/24"},
		{"1.0.0.1 2.0.0.1 3.0.0.1 4.0.0.1 5.0.0.1", "0.0.0.0/0 but 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16"},
		{"10.1.0.1 10.1.1.1 10.1.2.1 10.1.3.1 10.1.4.1", "10.1.0.0/16"},
		{"2001:db8::1 2001:db8::2 2001:db8::3 2001:db8::4 2001:db8::5 1.1.1.1", "1.1.1.1/32 2001:db8::/64"},
	} {
		var addrs []netip.Addr
		for _, a := range strings.Fields(c.addrs) {
			addrs = append(addrs, netip.MustParseAddr(a))
		}
		var got []string
		for _, b := range fold(addrs) {
			s := b.cidr.String()
			for i, e := range b.except {
				if i == 0 {
					s += " but"
				}
				s += " " + e.String()
			}
			got = append(got, s)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", c.addrs, diff)
		}
	}
}

// Pods that are gone are known by the labels that were written down, and without these
// their flows do not count.
func TestPodsThatAreGone(t *testing.T) {
	in := input(t)
	gone := End{Addr: netip.MustParseAddr("10.0.0.77"), Namespace: "shop", Pod: "old-1"}
	to := End{Addr: netip.MustParseAddr("10.0.0.3"), Namespace: "shop", Pod: "api-0"}
	in.Flows = []Flow{{Src: gone, Dst: to, Protocol: policy.TCP, Port: 9000}}
	got, err := Make(in)
	if err != nil || len(got.Policies) != 0 || got.Used != 0 {
		t.Errorf("%v %+v", err, got)
	}
	gone.Labels = map[string]string{"app": "old"}
	in.Flows[0].Src = gone
	got, err = Make(in)
	if err != nil || got.Used != 1 || len(got.Policies) != 2 {
		t.Errorf("%v %+v", err, got)
	}
}

// Whatever flows there are between Pods: what is suggested allows each of them, in any
// order of Pods and flows, and the API server would take it.
func TestSuggestionsAllowWhatWasSeen(t *testing.T) {
	made := 0
	for seed := range uint64(150) {
		r := spectest.Seeded(seed)
		c := spectest.Random(r, spectest.Options{Plain: true, Pods: 3 + r.IntN(20), Namespaces: 1 + r.IntN(3)})
		in := inputOf(t, c)
		in.Namespaces = slices.DeleteFunc(in.Namespaces, func(string) bool { return r.IntN(3) == 0 })
		for range 1 + r.IntN(40) {
			f := c.RandomFlow(r)
			in.Flows = append(in.Flows, Flow{Src: End{Addr: f.Src}, Dst: End{Addr: f.Dst}, Protocol: policy.Protocol(f.Protocol), Port: f.Port})
		}
		got, err := Make(in)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, np := range got.Policies {
			if errs := policy.Validate(np); len(errs) > 0 {
				t.Errorf("seed %d: %v", seed, errs)
			}
		}
		made += len(got.Policies)
		r.Shuffle(len(in.Pods), func(i, j int) { in.Pods[i], in.Pods[j] = in.Pods[j], in.Pods[i] })
		r.Shuffle(len(in.Flows), func(i, j int) { in.Flows[i], in.Flows[j] = in.Flows[j], in.Flows[i] })
		again, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("seed %d: another order, another suggestion: %s", seed, diff)
		}
		// The naive evaluator agrees.
		c.Policies = got.Policies
		if missed := denied(c, in); len(missed) > 0 {
			t.Errorf("seed %d: the naive evaluator denies %v", seed, missed)
		}
	}
	if made < 100 {
		t.Errorf("only %d policies were made", made)
	}
}

// denied are flows with ports that the naive evaluator denies.
func denied(c *spectest.Cluster, in *Input) (out []string) {
	for i := range in.Flows {
		f := &in.Flows[i]
		if !f.Protocol.HasPorts() {
			continue
		}
		egress, ingress := c.Allowed(spectest.Flow{Src: f.Src.Addr, Dst: f.Dst.Addr, Protocol: uint8(f.Protocol), Port: f.Port})
		if !egress || !ingress {
			out = append(out, f.String())
		}
	}
	return out
}
