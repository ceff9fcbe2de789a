package question

import (
	"net/netip"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func addrEnd(s string) End { return AddrEnd(netip.MustParseAddr(s)) }

func TestParseEnd(t *testing.T) {
	tests := map[string]struct {
		want    End
		wantErr string
	}{
		"shop/api":         {want: PodEnd("shop", "api")},
		"api":              {want: PodEnd("ns", "api")},
		"web-0.x":          {want: PodEnd("ns", "web-0.x")},
		"10.0.0.1":         {want: addrEnd("10.0.0.1")},
		"fd00::1":          {want: addrEnd("fd00::1")},
		"::ffff:10.0.0.1":  {want: addrEnd("10.0.0.1")},
		"":                 {wantErr: "empty"},
		"/api":             {wantErr: "neither an address"},
		"shop/":            {wantErr: "neither an address"},
		"a/b/c":            {wantErr: "neither an address"},
		"10.0.0.256":       {wantErr: "neither an address"},
		"10.0.0":           {wantErr: "neither an address"},
		"10.0.0.0/8":       {want: End{Kind: KindRange, Prefix: netip.MustParsePrefix("10.0.0.0/8")}},
		"2001:db8::/32":    {want: End{Kind: KindRange, Prefix: netip.MustParsePrefix("2001:db8::/32")}},
		"10.0.0.1/8":       {wantErr: "write 10.0.0.0/8"},
		"internet":         {want: End{Kind: KindInternet}},
		"any":              {want: End{Kind: KindAny}},
		"*":                {want: End{Kind: KindAny}},
		"ns/shop":          {want: End{Kind: KindNamespace, Object: types.NamespacedName{Namespace: "shop"}}},
		"ns/Shop":          {wantErr: "no name of a namespace"},
		"app=web":          {want: End{Kind: KindSelector, Selector: "app=web"}},
		"app in (a, b)":    {want: End{Kind: KindSelector, Selector: "app in (a,b)"}},
		"ns/shop:app=web":  {want: End{Kind: KindSelector, Selector: "app=web", Object: types.NamespacedName{Namespace: "shop"}}},
		"app!=web":         {want: End{Kind: KindSelector, Selector: "app!=web"}},
		"ns/shop:":         {wantErr: "no labels"},
		"app=a=b":          {wantErr: "no labels"},
		"fd00:::1":         {wantErr: "neither an address"},
		"fe80::1%eth0":     {wantErr: "zone"},
		"010.0.0.1":        {wantErr: "neither an address"},
		"shop/api:80":      {wantErr: "neither an address"},
		"[2001:db8::1]:80": {wantErr: "neither an address"},
	}
	for in, tt := range tests {
		t.Run(in, func(t *testing.T) {
			got, err := ParseEnd(in, "ns")
			checkError(t, err, tt.wantErr)
			if tt.wantErr == "" && got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want %q in it", err, want)
	}
}

func TestParseEndKinds(t *testing.T) {
	object := func(kind Kind, namespace, name, word string) End {
		return End{Kind: kind, Object: types.NamespacedName{Namespace: namespace, Name: name}, word: word}
	}
	tests := map[string]struct {
		want    End
		wantErr string
	}{
		"svc/web":                {want: object("Service", "ns", "web", "svc")},
		"service/shop/web":       {want: object("Service", "shop", "web", "")},
		"deploy/web":             {want: object("Deployment", "ns", "web", "deploy")},
		"deployments.apps/a/web": {want: object("Deployment", "a", "web", "")},
		"Deployment/web":         {want: object("Deployment", "ns", "web", "Deployment")},
		"sts/db":                 {want: object("StatefulSet", "ns", "db", "sts")},
		"ds/x":                   {want: object("DaemonSet", "ns", "x", "ds")},
		"rs/x":                   {want: object("ReplicaSet", "ns", "x", "rs")},
		"job/x":                  {want: object("Job", "ns", "x", "job")},
		"cj/x":                   {want: object("CronJob", "ns", "x", "cj")},
		"node/worker-1":          {want: object("Node", "", "worker-1", "node")},
		"pod/a":                  {want: PodEnd("ns", "a")},
		"pod/svc/a":              {want: PodEnd("svc", "a")},
		"shop/web":               {want: PodEnd("shop", "web")},
		"node/shop/worker":       {wantErr: "a Node is in no namespace"},
		"ingress/shop/web":       {want: End{Kind: KindIngress, Object: types.NamespacedName{Namespace: "shop", Name: "web"}}},
		"ing/web":                {want: object(KindIngress, "ns", "web", "ing")},
		"httproute/web":          {want: object(KindHTTPRoute, "ns", "web", "httproute")},
		"gateways/web":           {want: object(KindGateway, "ns", "web", "gateways")},
		"secret/shop/web":        {wantErr: "neither an address"},
		"svc//web":               {wantErr: "neither an address"},
		"svc/a/b/c":              {wantErr: "neither an address"},
	}
	for in, tt := range tests {
		t.Run(in, func(t *testing.T) {
			got, err := ParseEnd(in, "ns")
			checkError(t, err, tt.wantErr)
			if tt.wantErr != "" {
				return
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if got.word == "" && !strings.Contains(in, ".") {
				if again, err := ParseEnd(got.String(), "other"); err != nil || again != got {
					t.Errorf("%s reads as %+v, %v", got, again, err)
				}
			}
		})
	}
}

// What ParseEnd reads is shown as it can be read again, and ports stay apart from it.
func TestParseTargetSpread(t *testing.T) {
	for in, want := range map[string][2]string{
		"app=web:8080":          {"app=web", "8080"},
		"ns/shop:app=web:80":    {"ns/shop:app=web", "80"},
		"ns/shop:app=web":       {"ns/shop:app=web", ""},
		"ns/shop:80":            {"ns/shop", "80"},
		"10.0.0.0/8:443":        {"10.0.0.0/8", "443"},
		"[2001:db8::/32]:443":   {"2001:db8::/32", "443"},
		"internet:53/UDP":       {"internet", "53"},
		"any:http":              {"any", "http"},
		"app in (a,b),x!=y:443": {"app in (a,b),x!=y", "443"},
	} {
		end, port, _, err := parseTarget(in, "default")
		if got := [2]string{end.String(), port}; err != nil || got != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
		if again, err := ParseEnd(end.String(), "other"); err != nil || again != end {
			t.Errorf("%s: %+v is read again as %+v, %v", in, end, again, err)
		}
	}
}

func FuzzParseEnd(f *testing.F) {
	for _, s := range []string{"a", "shop/a", "deploy/shop/a", "10.0.0.0/8", "app=web", "ns/shop:app in (a,b)", "any", "[::1]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = Parse(s, s, "default")
		e, err := ParseEnd(s, "default")
		if err != nil || e.word != "" || kindOf(s) != "" {
			return
		}
		if again, err := ParseEnd(e.String(), "default"); err != nil || again != e {
			t.Errorf("%q is %+v, and %q %+v, %v", s, e, e.String(), again, err)
		}
	})
}
