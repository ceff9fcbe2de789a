package denials

import (
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func filterOf(t *testing.T, q Query) *Filter {
	t.Helper()
	f, err := q.Filter(start)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFilter(t *testing.T) {
	pods := numbered(0)
	pods.Src.Workload, pods.Dst.Workload = "Deployment/web", "StatefulSet/db"
	pods.Src.Pod, pods.Dst.Pod = "web-7d9-abcde", "db-0"
	away := numbered(0)
	away.Dst, away.Direction = End{Kind: OutsideEnd, Address: "203.0.113.7"}, "egress"
	node := numbered(0)
	node.Src, node.Reason = End{Kind: NodeEnd, Address: "192.0.2.1", Node: "n1"}, Invalid
	other := numbered(-3600)
	other.Src.Namespace, other.Dst.Namespace, other.Src.Address = "a", "b", "fd00::7"
	all := map[string]*Denial{"pods": pods, "away": away, "node": node, "other": other}
	for _, c := range []struct {
		name  string
		query Query
		want  string
	}{
		{"all", Query{}, "pods away node other"},
		{"namespace of the source", Query{Namespace: "a"}, "other"},
		{"namespace of the destination", Query{Namespace: "b"}, "other"},
		{"another namespace", Query{Namespace: "c"}, ""},
		{"Pod at either end", Query{Namespace: "shop", Pod: "db-0"}, "pods"},
		{"Pod with its namespace", Query{Pod: "shop/web"}, "away"},
		{"Pods by the beginning of the name", Query{Pod: "web*"}, "pods away other"},
		{"from a workload", Query{From: "deploy/web"}, "pods"},
		{"to a workload", Query{To: "statefulsets.apps/db"}, "pods"},
		{"a workload of another namespace", Query{Namespace: "a", Pod: "deploy/web"}, ""},
		{"to a workload with its namespace", Query{To: "sts/shop/db"}, "pods"},
		{"a workload with another namespace", Query{To: "sts/a/db"}, ""},
		{"Pod with its type and namespace", Query{Pod: "pod/shop/web"}, "away"},
		{"to the outside", Query{To: "outside"}, "away"},
		{"to the internet", Query{To: "internet"}, "away"},
		{"from any", Query{From: "any"}, "pods away node other"},
		{"any Pod at both ends", Query{From: "*", To: "*"}, "pods other"},
		{"from a node", Query{From: "node"}, "node"},
		{"from one node", Query{From: "node/n2"}, ""},
		{"from an address", Query{From: "192.0.2.1"}, "node"},
		{"to a block", Query{To: "203.0.0.0/8"}, "away"},
		{"from a block of IPv6", Query{From: "fd00::/8"}, "other"},
		{"from a namespace", Query{From: "ns/shop"}, "pods away"},
		{"by reasons", Query{Reasons: []string{"invalid", "unknown-pod"}}, "node"},
		{"of the last minute", Query{Last: time.Minute}, "pods away node"},
		{"all at once", Query{Namespace: "shop", From: "web-7d9-abcde", To: "db-0", Reasons: []string{"POLICY"}}, "pods"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := filterOf(t, c.query)
			for name, d := range all {
				want := strings.Contains(" "+c.want+" ", " "+name+" ")
				if f.Passes(d) != want {
					t.Errorf("%s passes: %v, want %v", name, !want, want)
				}
			}
		})
	}
	if !(*Filter)(nil).Passes(pods) {
		t.Error("no filter holds something back")
	}
}

// An address that is kept parsed and one that was read from JSON are one.
func TestFilterByAddressOfEither(t *testing.T) {
	f := filterOf(t, Query{From: "10.0.0.1"})
	kept := numbered(0)
	kept.src = netip.MustParseAddr("10.0.0.1")
	for _, d := range []*Denial{numbered(0), kept} {
		if !f.Passes(d) {
			t.Errorf("%+v does not pass", d)
		}
	}
}

func TestParseEndRefuses(t *testing.T) {
	for _, s := range []string{"", "/", "a/", "/a", "a/b/c", "w*b", "a/*b*", strings.Repeat("x", mostPattern+1)} {
		if p, err := ParseEnd(s, ""); err == nil {
			t.Errorf("%.60q is read as %+v", s, p)
		}
	}
}

// What would pass for a Pod that nobody has finds nothing, which reads as if nothing were
// denied: it is refused, with what to write.
func TestParseEndSaysWhatToWrite(t *testing.T) {
	for s, want := range map[string]string{
		"svc/db": "deploy/NAME", "Service/db": "pod/service/NAME", "services.v1/db": "deploy/NAME", "svc/shop/db": "deploy/NAME",
		"rs/web-7d9": "NAME-*", "replicasets.apps/web-7d9": "the Deployment that made it", "rc/web": "NAME-*",
		"ingress/web": "deploy/NAME", "gateway/gw": "deploy/NAME", "httproute/api": "deploy/NAME", "route/api": "deploy/NAME", "netpol/db": "that it selects",
		"app=web": "labels", "app!=web": "labels", "ns/shop:app=web": "labels", "app in (a, b)": "labels", "!app": "labels",
		"deploy/web-*": wantEnd, "deploy/web:80": wantEnd, "ns/shop*": wantEnd, "ns/shop/web": wantEnd, "node/a/b": wantEnd, "deploy/a/b/c": wantEnd, "deploy//b": wantEnd, "pod//b": wantEnd,
		"shop/web:80": wantEnd, "Shop/web": wantEnd, "web_1": wantEnd, "foo.example.org/db": wantEnd,
		"10.0.0": "no address", "10.0.0.0/33": "no address", "10.0.0.1:80": "no address",
	} {
		for _, namespace := range []string{"", "shop"} {
			if p, err := ParseEnd(s, namespace); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %+v, %v, want %q", s, p, err, want)
			}
		}
	}
	// Of a namespace that is called as a type, a Pod is written with its own.
	p, err := ParseEnd("pod/svc/db", "")
	if err != nil || p.namespace != "svc" || p.pod != "db" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestQueryRefuses(t *testing.T) {
	for _, q := range []Query{{Pod: "/"}, {From: "a/b/c"}, {To: "w*b"}, {Reasons: []string{"rain"}}, {Last: -1}, {Tail: -1}, {Tail: mostTail + 1}} {
		if _, err := q.Filter(start); err == nil {
			t.Errorf("%+v is taken", q)
		}
		if _, err := ParseQuery(q.Values()); err == nil {
			t.Errorf("%v is read", q.Values())
		}
	}
	for _, v := range []url.Values{{"nonsense": {"x"}}, {"pod": {"a", "b"}}, {"last": {"soon"}}, {"tail": {"many"}}, {"follow": {"maybe"}},
		{"namespace": {strings.Repeat("x", mostPattern+1)}}, {"reason": make([]string, 100)}} {
		if q, err := ParseQuery(v); err == nil {
			t.Errorf("%v is read as %+v", v, q)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	q := Query{Namespace: "shop", Pod: "web-*", From: "deploy/web", To: "10.0.0.0/8", Reasons: []string{"policy", "Mid-Stream"}, Last: time.Minute, Tail: 7, Follow: true}
	f.Add(q.Values().Encode())
	f.Add("")
	f.Add("pod=a/b&last=1h&reason=Guard&reason=Reply")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := url.ParseQuery(s)
		if err != nil {
			return
		}
		q, err := ParseQuery(v)
		if err != nil {
			return
		}
		again, err := ParseQuery(q.Values())
		if err != nil || !reflect.DeepEqual(q, again) {
			t.Fatalf("%+v becomes %+v: %v", q, again, err)
		}
		if _, err := q.Filter(start); err != nil {
			t.Fatal(err)
		}
	})
}
