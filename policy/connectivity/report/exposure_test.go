package report_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/report"
)

func exposure(c *connectivity.Cluster) *report.Exposure {
	return &report.Exposure{Exposure: connectivity.NewExposure(c), Places: places}
}

func TestExposureText(t *testing.T) {
	c := shop()
	c.Policies = append(c.Policies, ingress("open", "db", from(tcp(80))))
	got := text(t, exposure(c).Text)
	want := []string{
		"Isolated by no policy: open to anyone, on every port\n  ingress  shop/web\n  egress   shop/db, shop/web\n",
		"  ingress  shop/db  is open to  internet but 10.1.0.0/16  on TCP 80\n             policy shop/open spec.ingress[0] (open.yaml:4)\n",
		"  ingress  shop/db  is open to  10.1.0.0/16  on TCP 22,80\n",
		"  ingress  shop/db  is open to  any Pod with app=web of namespace shop  on TCP 80,5432; TCP 22 (depends)\n",
		"On the host network, where no policy isolates\n  ingress  infra/agent (host network)\n",
		"2 workloads: policies isolate the ingress of 1 and the egress of 0; 1 more on the host network",
	}
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("missing:\n%s\nin:\n%s", w, got)
		}
	}
}

// What is narrowed is narrowed in every format.
func TestExposureNarrowed(t *testing.T) {
	x := exposure(shop())
	x.Directions = []policy.Direction{policy.Ingress}
	x.Only = func(e *connectivity.End) bool { return e.Labels["app"] == "db" }
	for name, write := range map[string]string{
		"text": text(t, x.Text), "csv": text(t, x.CSV), "md": text(t, x.Markdown), "dot": text(t, x.DOT), "mermaid": text(t, x.Mermaid),
	} {
		if strings.Contains(write, "egress  ") || strings.Contains(write, "shop/web") || !strings.Contains(write, "shop/db") {
			t.Errorf("%s:\n%s", name, write)
		}
	}
	var d struct {
		APIVersion, Kind string
		Ends             []struct{ Name string }
		Groups           []struct {
			Ends    []int
			Egress  *struct{}
			Ingress struct {
				Isolated bool
				Openings []struct {
					Kind, Peer, Ports string
					Stretches         []struct {
						Ingress struct {
							Rules []struct {
								Policy, Field string
								Place         report.Place
							}
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(text(t, x.JSON)), &d); err != nil {
		t.Fatal(err)
	}
	if d.APIVersion != report.Version || d.Kind != "Exposure" || len(d.Groups) != 1 || d.Groups[0].Egress != nil || d.Ends[d.Groups[0].Ends[0]].Name != "shop/db" {
		t.Fatalf("%+v", d)
	}
	in := d.Groups[0].Ingress
	if !in.Isolated || len(in.Openings) != 3 || in.Openings[0].Kind != "outside" || in.Openings[0].Peer != "10.1.0.0/16" || in.Openings[0].Ports != "TCP 22" {
		t.Fatalf("%+v", in)
	}
	if r := in.Openings[0].Stretches[0].Ingress.Rules[0]; r.Policy != "shop/db" || r.Field != "spec.ingress[1].from[0]" || r.Place != (report.Place{File: "db.yaml", Line: 6}) {
		t.Errorf("%+v", r)
	}
}
