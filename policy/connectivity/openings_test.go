package connectivity_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// Each peer of a rule is an opening of its own, unless a more general one lets
// through as much for certain.
func TestOpeningsOfOneWorkload(t *testing.T) {
	x := connectivity.NewExposure(cluster(t, pod("shop", "db")+
		"---\n{apiVersion: v1, kind: Namespace, metadata: {name: ops, labels: {kubernetes.io/metadata.name: ops}}}\n"+
		"---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}}\n"+
		netpol("shop", "db", `{podSelector: {}, ingress: [
			{from: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: 80}]},
			{from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: api}}}], ports: [{port: 80}]},
			{from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [ops]}]}}], ports: [{port: 443}]},
			{from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [ops, new]}]}, podSelector: {matchLabels: {app: probe}}}], ports: [{port: 9}]},
			{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: web, tier: x}}}], ports: [{port: 80}]},
			{from: [{podSelector: {matchLabels: {app: a}, matchExpressions: [{key: app, operator: DoesNotExist}]}}], ports: [{port: 1}]}]}`)))
	at := slices.IndexFunc(x.Groups, func(g connectivity.Exposed) bool { return x.Ends[g.Ends[0]].Kind == connectivity.Pods })
	var got []string
	for _, o := range x.Groups[at].Ingress.Openings {
		text := fmt.Sprintf("%s %v %v except %v, of %q %v, labels %v:", o.Kind, o.Ranges, o.Internet, o.Except, o.Namespace, o.NamespaceLabels, o.Labels)
		for _, s := range o.Stretches {
			text += fmt.Sprintf(" %s %s", s.Ports, s.Answer)
		}
		got = append(got, text)
	}
	want := []string{
		`outside [10.0.0.0/8] false except [], of "" map[], labels map[]: TCP 80 allowed`,
		`everyNamespace [] false except [ops], of "" map[], labels map[]: TCP 80 depends TCP 443 allowed`,
		`pods [] false except [], of "new" map[], labels map[app:probe]: TCP 9 allowed TCP 80 depends TCP 443 allowed`,
		`pods [] false except [], of "ops" map[], labels map[app:probe]: TCP 9 allowed TCP 80 depends`,
		`pods [] false except [], of "shop" map[], labels map[app:api]: TCP 80 allowed TCP 443 allowed`,
		`pods [] false except [], of "shop" map[], labels map[app:web]: TCP 80 allowed TCP 443 allowed`,
		`pods [] false except [], of "" map[], labels map[app:web tier:x]: TCP 80 allowed TCP 443 allowed`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
