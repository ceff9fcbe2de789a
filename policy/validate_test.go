package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var validateCases = []struct {
	name, spec string
	// want is "field: type", with part of the message after "~".
	want []string
}{
	{name: "nothing given", spec: `{}`},
	{name: "every form that is valid", spec: `
podSelector: {matchLabels: {app: web, "example.com/tier": "", k8s-app: a_b.c-D}}
policyTypes: [Ingress, Egress]
ingress:
- {}
- from:
  - podSelector: {}
  - namespaceSelector: {}
  - podSelector: {matchExpressions: [{key: a, operator: In, values: [b, ""]}, {key: a, operator: NotIn, values: [b]}]}
    namespaceSelector: {matchExpressions: [{key: a, operator: Exists}, {key: a, operator: DoesNotExist, values: []}]}
  - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16, 10.2.3.0/24]}
  - ipBlock: {cidr: "2001:db8::/32", except: ["2001:db8:1::/48"]}
  ports:
  - {}
  - {protocol: UDP}
  - {protocol: SCTP, port: 1}
  - {port: 65535, endPort: 65535}
  - {port: 1, endPort: 65535}
  - {port: web-1}
egress: []`},
	{name: "legacy CIDRs are accepted as in stored objects", spec: `
ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8, except: [010.2.3.4/16, 10.3.0.0/024]}}, {ipBlock: {cidr: "::ffff:10.0.0.0/104"}}]}]`},
	{name: "Ingress twice is accepted", spec: `{policyTypes: [Ingress, Ingress]}`},

	{name: "podSelector key", spec: `{podSelector: {matchLabels: {"a b": c}}}`,
		want: []string{"spec.podSelector.matchLabels: Invalid value~a b"}},
	{name: "podSelector value", spec: `{podSelector: {matchLabels: {app: "a b", zone: "-"}}}`,
		want: []string{`spec.podSelector.matchLabels: Invalid value~of key "app"`, `spec.podSelector.matchLabels: Invalid value~of key "zone"`}},
	{name: "podSelector operator", spec: `{podSelector: {matchExpressions: [{key: a, operator: in, values: [b]}]}}`,
		want: []string{"spec.podSelector.matchExpressions[0].operator: Invalid value~must be In, NotIn, Exists or DoesNotExist"}},
	{name: "operator missing", spec: `{podSelector: {matchExpressions: [{key: a}]}}`,
		want: []string{"spec.podSelector.matchExpressions[0].operator: Invalid value"}},
	{name: "expression key missing", spec: `{podSelector: {matchExpressions: [{operator: Exists}]}}`,
		want: []string{"spec.podSelector.matchExpressions[0].key: Invalid value~must be non-empty", "spec.podSelector.matchExpressions[0].key: Invalid value~must consist of"}},
	{name: "In without values", spec: `{podSelector: {matchExpressions: [{key: a, operator: In}, {key: a, operator: NotIn, values: []}]}}`,
		want: []string{"spec.podSelector.matchExpressions[0].values: Required value~Exists", "spec.podSelector.matchExpressions[1].values: Required value~NotIn"}},
	{name: "Exists with values", spec: `{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}, {key: a, operator: DoesNotExist, values: [""]}]}}`,
		want: []string{"spec.podSelector.matchExpressions[0].values: Forbidden~remove them", "spec.podSelector.matchExpressions[1].values: Forbidden"}},
	{name: "expression value", spec: `{podSelector: {matchExpressions: [{key: a, operator: In, values: [ok, "*"]}]}}`,
		want: []string{"spec.podSelector.matchExpressions[0].values[1]: Invalid value~alphanumeric"}},
	{name: "label value too long", spec: `{podSelector: {matchLabels: {a: ` + strings.Repeat("x", 64) + `}}}`,
		want: []string{"spec.podSelector.matchLabels: Invalid value~63"}},

	{name: "policyTypes", spec: `{policyTypes: [ingress, Egress]}`,
		want: []string{`spec.policyTypes[0]: Unsupported value~"Egress", "Ingress"`}},
	{name: "policyTypes empty string", spec: `{policyTypes: [""]}`,
		want: []string{"spec.policyTypes[0]: Unsupported value"}},
	{name: "three policyTypes", spec: `{policyTypes: [Ingress, Egress, Ingress]}`,
		want: []string{"spec.policyTypes: Invalid value~more than two"}},

	{name: "unknown protocol", spec: `{ingress: [{ports: [{protocol: tcp}, {protocol: ICMP}, {protocol: ""}]}]}`,
		want: []string{`spec.ingress[0].ports[0].protocol: Unsupported value~"TCP", "UDP", "SCTP"`, "spec.ingress[0].ports[1].protocol: Unsupported value", "spec.ingress[0].ports[2].protocol: Unsupported value"}},
	{name: "port number", spec: `{egress: [{}, {ports: [{port: 0}, {port: -1}, {port: 65536}]}]}`,
		want: []string{"spec.egress[1].ports[0].port: Invalid value~leave out port", "spec.egress[1].ports[1].port: Invalid value~from 1 to 65535", "spec.egress[1].ports[2].port: Invalid value~from 1 to 65535"}},
	{name: "endPort below port", spec: `{egress: [{ports: [{port: 90, endPort: 80}]}]}`,
		want: []string{"spec.egress[0].ports[0].endPort: Invalid value~which is 90"}},
	{name: "endPort out of range", spec: `{egress: [{ports: [{port: 90, endPort: 65536}]}]}`,
		want: []string{"spec.egress[0].ports[0].endPort: Invalid value~from 1 to 65535"}},
	{name: "endPort 0", spec: `{egress: [{ports: [{port: 90, endPort: 0}]}]}`,
		want: []string{"spec.egress[0].ports[0].endPort: Invalid value~which is 90", "spec.egress[0].ports[0].endPort: Invalid value~from 1 to 65535"}},
	{name: "endPort alone", spec: `{egress: [{ports: [{endPort: 80}]}]}`,
		want: []string{"spec.egress[0].ports[0].endPort: Invalid value~needs a `port`"}},
	{name: "endPort with a name", spec: `{egress: [{ports: [{port: web, endPort: 80}]}]}`,
		want: []string{"spec.egress[0].ports[0].endPort: Invalid value~number"}},
	{name: "quoted number", spec: `{egress: [{ports: [{port: "80"}]}]}`,
		want: []string{"spec.egress[0].ports[0].port: Invalid value~remove the quotes"}},
	{name: "port names", spec: `{egress: [{ports: [{port: Http}, {port: more-than-15-chars}, {port: a--b}, {port: -a}]}]}`,
		want: []string{"spec.egress[0].ports[0].port: Invalid value~a-z", "spec.egress[0].ports[1].port: Invalid value~15", "spec.egress[0].ports[2].port: Invalid value~hyphens", "spec.egress[0].ports[3].port: Invalid value~hyphen"}},
	{name: "port name empty", spec: `{egress: [{ports: [{port: ""}]}]}`,
		want: []string{"spec.egress[0].ports[0].port: Invalid value~alpha-numeric", "spec.egress[0].ports[0].port: Invalid value~at least one letter"}},

	{name: "empty peer", spec: `{ingress: [{from: [{podSelector: {}}, {}]}], egress: [{to: [{}]}]}`,
		want: []string{"spec.ingress[0].from[1]: Required value~leave out the whole list", "spec.egress[0].to[0]: Required value"}},
	{name: "ipBlock with a selector", spec: `{ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}, {namespaceSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}`,
		want: []string{"spec.ingress[0].from[0]: Forbidden~two entries", "spec.ingress[0].from[1]: Forbidden"}},
	{name: "peer selectors", spec: `{egress: [{to: [{podSelector: {matchLabels: {a: "!"}}, namespaceSelector: {matchExpressions: [{key: a, operator: Gt, values: ["1"]}]}}]}]}`,
		want: []string{"spec.egress[0].to[0].podSelector.matchLabels: Invalid value", "spec.egress[0].to[0].namespaceSelector.matchExpressions[0].operator: Invalid value"}},

	{name: "cidr missing", spec: `{ingress: [{from: [{podSelector: {}}, {ipBlock: {except: [10.0.0.0/8]}}]}]}`,
		want: []string{"spec.ingress[0].from[1].ipBlock.cidr: Required value~e.g. 10.9.8.0/24"}},
	{name: "cidr", spec: `{ingress: [{from: [{podSelector: {}}, {ipBlock: {cidr: 10.0.0.0/33, except: [x]}}]}]}`,
		want: []string{"spec.ingress[0].from[1].ipBlock.cidr: Invalid value~from 0 to 32"}},
	{name: "cidr is an address", spec: `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.1}}]}]}`,
		want: []string{"spec.ingress[0].from[0].ipBlock.cidr: Invalid value~10.0.0.1/32"}},
	{name: "except", spec: `{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.0.0.1, ""]}}]}]}`,
		want: []string{"spec.ingress[0].from[0].ipBlock.except[1]: Invalid value~10.0.0.1/32", "spec.ingress[0].from[0].ipBlock.except[2]: Invalid value"}},
	{name: "except outside cidr", spec: `{egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16, "2001:db8::/32", 10.0.0.0/8, 0.0.0.0/0, 10.255.255.255/7]}}]}]}`,
		want: []string{
			"spec.egress[0].to[0].ipBlock.except[0]: Invalid value~inside `cidr` (10.0.0.0/8)", "spec.egress[0].to[0].ipBlock.except[1]: Invalid value",
			"spec.egress[0].to[0].ipBlock.except[2]: Invalid value~smaller", "spec.egress[0].to[0].ipBlock.except[3]: Invalid value", "spec.egress[0].to[0].ipBlock.except[4]: Invalid value"}},

	{name: "all of it, in the order of the manifest", spec: `
policyTypes: [Both]
egress: [{to: [{}], ports: [{port: 0}]}]
ingress: [{from: [{}], ports: [{port: 0}]}]
podSelector: {matchLabels: {b: "!", a: "!"}}`,
		want: []string{
			`spec.podSelector.matchLabels: Invalid value~of key "a"`, `spec.podSelector.matchLabels: Invalid value~of key "b"`,
			"spec.ingress[0].ports[0].port: Invalid value", "spec.ingress[0].from[0]: Required value",
			"spec.egress[0].ports[0].port: Invalid value", "spec.egress[0].to[0]: Required value",
			"spec.policyTypes[0]: Unsupported value"}},
}

func TestValidate(t *testing.T) {
	for _, c := range validateCases {
		t.Run(c.name, func(t *testing.T) {
			p := policyFromYAML(t, c.spec)
			wantErrors(t, c.want, p)
			Default(p)
			wantErrors(t, c.want, p)
		})
	}
}

// wantErrors compares "field: type" of each error and looks for the part of the
// message after "~".
func wantErrors(t *testing.T, want []string, p *networkingv1.NetworkPolicy) {
	t.Helper()
	errs := Validate(p)
	got := make([]string, len(errs))
	for i, err := range errs {
		got[i] = err.Field + ": " + err.Type.String()
		if err.Detail == "" {
			t.Errorf("%s: no message", got[i])
		}
	}
	plain := make([]string, len(want))
	for i, w := range want {
		var detail string
		plain[i], detail, _ = strings.Cut(w, "~")
		if i < len(errs) && !strings.Contains(errs[i].Error(), detail) {
			t.Errorf("message %q does not say %q", errs[i], detail)
		}
	}
	if diff := cmp.Diff(plain, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestValidateMetadata(t *testing.T) {
	for _, c := range []struct {
		name string
		meta metav1.ObjectMeta
		want []string
	}{
		{"good", metav1.ObjectMeta{Name: "a.b-c", Namespace: "shop", Labels: map[string]string{"a": "b"}}, nil},
		{"name missing", metav1.ObjectMeta{Namespace: "shop"}, []string{"metadata.name: Required value"}},
		{"name", metav1.ObjectMeta{Name: "A_b", Namespace: "shop"}, []string{"metadata.name: Invalid value~lowercase"}},
		{"name too long", metav1.ObjectMeta{Name: strings.Repeat("a", 254), Namespace: "shop"}, []string{"metadata.name: Invalid value~253"}},
		{"namespace missing", metav1.ObjectMeta{Name: "p"}, []string{"metadata.namespace: Required value"}},
		{"namespace", metav1.ObjectMeta{Name: "p", Namespace: "a.b"}, []string{"metadata.namespace: Invalid value"}},
		{"labels", metav1.ObjectMeta{Name: "p", Namespace: "shop", Labels: map[string]string{"b b": "", "a": "!"}},
			[]string{"metadata.labels: Invalid value~!", "metadata.labels: Invalid value~b b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Often enough to meet several orders of the map.
			for range 20 {
				wantErrors(t, c.want, &networkingv1.NetworkPolicy{ObjectMeta: c.meta})
			}
		})
	}
}

func TestLegacyCIDRs(t *testing.T) {
	p := policyFromYAML(t, `
ingress:
- from:
  - podSelector: {}
  - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.3.4/16]}
  - ipBlock: {cidr: "2001:DB8::/32"}
  - ipBlock: {cidr: nonsense, except: [010.0.0.0/16]}
egress:
- to:
  - ipBlock: {cidr: "::ffff:10.0.0.0/104"}`)
	got := make([]string, 0, 3)
	for _, err := range LegacyCIDRs(p) {
		got = append(got, err.Error())
	}
	want := []string{
		`spec.ingress[0].from[1].ipBlock.except[1]: Invalid value: "10.2.3.4/16": is an old form that is read as 10.2.0.0/16: write that, if it is what you mean`,
		`spec.ingress[0].from[3].ipBlock.except[0]: Invalid value: "010.0.0.0/16": is an old form that is read as 10.0.0.0/16: write that, if it is what you mean`,
		`spec.egress[0].to[0].ipBlock.cidr: Invalid value: "::ffff:10.0.0.0/104": is an old form that is read as 10.0.0.0/8: write that, if it is what you mean`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Whatever Validate accepts, the parts that use it must accept too.
func FuzzValidate(f *testing.F) {
	for _, c := range validateCases {
		f.Add([]byte(c.spec))
	}
	f.Fuzz(func(t *testing.T, spec []byte) {
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}}
		if yaml.Unmarshal(spec, &p.Spec) != nil {
			return
		}
		LegacyCIDRs(p)
		Default(p)
		before := p.DeepCopy()
		errs := Validate(p)
		if diff := cmp.Diff(before, p); diff != "" {
			t.Fatalf("Validate changed the policy:\n%s", diff)
		}
		if diff := cmp.Diff(errs.ToAggregate(), Validate(p).ToAggregate(), cmp.Comparer(sameText)); diff != "" {
			t.Fatalf("Validate differs from call to call:\n%s", diff)
		}
		if err := NewIndex(Options{}).SetPolicy(p); (err == nil) != (len(errs) == 0) {
			t.Fatalf("Validate says %v, the index %v", errs.ToAggregate(), err)
		}
		if len(errs) == 0 {
			mustParse(t, p)
		}
	})
}

func sameText(a, b error) bool { return a == nil && b == nil || a.Error() == b.Error() }

func mustParse(t *testing.T, p *networkingv1.NetworkPolicy) {
	selectors := []*metav1.LabelSelector{&p.Spec.PodSelector}
	peers := func(list []networkingv1.NetworkPolicyPeer) {
		for _, peer := range list {
			selectors = append(selectors, peer.PodSelector, peer.NamespaceSelector)
			if peer.IPBlock == nil {
				continue
			}
			for _, s := range append([]string{peer.IPBlock.CIDR}, peer.IPBlock.Except...) {
				if _, err := ParseCIDR(s); err != nil {
					t.Fatalf("Validate accepted a CIDR: %v", err)
				}
			}
		}
	}
	for _, rule := range p.Spec.Ingress {
		peers(rule.From)
	}
	for _, rule := range p.Spec.Egress {
		peers(rule.To)
	}
	for _, s := range selectors {
		if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
			t.Fatalf("Validate accepted a selector: %v", err)
		}
	}
}
