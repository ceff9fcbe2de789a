package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

// policyFromYAML reads the spec of a policy shop/p.
func policyFromYAML(t testing.TB, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatalf("test manifest: %v", err)
	}
	p.Namespace, p.Name = "shop", "p"
	return p
}

func TestDefault(t *testing.T) {
	for _, c := range []struct{ name, spec, want string }{
		{"absent policyTypes mean Ingress",
			`{}`,
			`{policyTypes: [Ingress]}`},
		{"absent policyTypes mean Egress too if there are egress rules",
			`{egress: [{}]}`,
			`{policyTypes: [Ingress, Egress], egress: [{}]}`},
		{"an empty egress list is no egress rule",
			`{egress: []}`,
			`{policyTypes: [Ingress], egress: []}`},
		{"empty policyTypes are absent policyTypes",
			`{policyTypes: [], egress: [{}]}`,
			`{policyTypes: [Ingress, Egress], egress: [{}]}`},
		{"given policyTypes stay, even where they leave rules without effect",
			`{policyTypes: [Ingress], egress: [{}]}`,
			`{policyTypes: [Ingress], egress: [{}]}`},
		{"only Egress stays only Egress",
			`{policyTypes: [Egress]}`,
			`{policyTypes: [Egress]}`},
		{"unknown policyTypes are left to Validate",
			`{policyTypes: [ingress]}`,
			`{policyTypes: [ingress]}`},
		{"a protocol is TCP",
			`{policyTypes: [Ingress, Egress],
			  ingress: [{ports: [{port: 80}, {protocol: UDP, port: 53}, {}]}],
			  egress: [{}, {ports: [{port: dns, endPort: 3}]}]}`,
			`{policyTypes: [Ingress, Egress],
			  ingress: [{ports: [{protocol: TCP, port: 80}, {protocol: UDP, port: 53}, {protocol: TCP}]}],
			  egress: [{}, {ports: [{protocol: TCP, port: dns, endPort: 3}]}]}`},
		{"an empty protocol is left to Validate",
			`{policyTypes: [Ingress], ingress: [{ports: [{protocol: ""}]}]}`,
			`{policyTypes: [Ingress], ingress: [{ports: [{protocol: ""}]}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := policyFromYAML(t, c.spec)
			Default(got)
			want := policyFromYAML(t, c.want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			Default(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("a second time -want +got:\n%s", diff)
			}
		})
	}
}

func TestDefaultLeavesMetadata(t *testing.T) {
	p := &networkingv1.NetworkPolicy{}
	Default(p)
	if p.Namespace != "" || p.Name != "" {
		t.Errorf("got %s/%s, want neither set", p.Namespace, p.Name)
	}
}

func TestDefaultSharesNoProtocol(t *testing.T) {
	p := policyFromYAML(t, `{ingress: [{ports: [{port: 1}, {port: 2}]}]}`)
	Default(p)
	ports := p.Spec.Ingress[0].Ports
	*ports[0].Protocol = "UDP"
	if *ports[1].Protocol != "TCP" {
		t.Error("changing the protocol of one port changed the other's")
	}
}
