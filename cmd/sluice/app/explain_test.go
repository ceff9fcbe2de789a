package app

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestExplainGolden(t *testing.T) {
	tests := map[string][]string{
		"explain-denied.txt":    {"shop/frontend", "shop/db:5432"},
		"explain-allowed.txt":   {"-n", "shop", "api", "db:postgres"},
		"explain-external.txt":  {"shop/api", "10.9.9.9:443"},
		"explain-no-policy.txt": {"shop/frontend", "kube-system/dns:53/UDP"},
		"explain-icmp.txt":      {"guests/stranger", "shop/frontend:/ICMP"},
		"explain-no-port.txt":   {"guests/stranger", "shop/api"},
		"explain-denied.json":   {"guests/stranger", "shop/db:5432", "-o", "json"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			got := sluice(t, "", append([]string{"explain", "-f", "shop"}, args...)...)
			if got.code != exitOK || got.err != "" {
				t.Errorf("code %d: %s", got.code, got.err)
			}
			golden(t, name, got.out)
		})
	}
}

func TestExplainJSON(t *testing.T) {
	got := sluice(t, "", "explain", "shop/frontend", "shop/db:5432", "-f", "shop", "-o", "json")
	var e explanationDocument
	if err := json.Unmarshal([]byte(got.out), &e); err != nil {
		t.Fatal(err)
	}
	if e.APIVersion != explanationVersion || e.Kind != "Explanation" || e.Allowed {
		t.Errorf("got %s", got.out)
	}
	if e.Ingress.Reason != "NoRule" || e.Ingress.Nearest == nil || e.Ingress.Nearest.Policy != "shop/db-from-api" {
		t.Errorf("ingress: %+v", e.Ingress)
	}
}

// An invalid policy is explained, and the exit code says that something is
// wrong with the manifests.
func TestExplainInvalidPolicy(t *testing.T) {
	path := write(t, "m.yaml", policyB(`ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]`))
	got := sluice(t, "", "explain", "a", "b:8080", "-f", path)
	if got.code != exitUnusable || !strings.HasPrefix(got.out, "DENIED  default/a → default/b:8080/TCP") {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(got.out, "invalid") || !strings.Contains(got.err, "ipBlock.cidr") {
		t.Errorf("got %+v", got)
	}
}

func TestExplainIPv6(t *testing.T) {
	path := write(t, "m.yaml", pod("default", "six", "app: x", "fd00::6", "{containerPort: 53, protocol: UDP}"))
	got := sluice(t, "", "explain", "2001:db8::1", "[fd00::6]:53/UDP", "-f", path)
	if got.code != exitOK || !strings.HasPrefix(got.out, "ALLOWED  2001:db8::1 → default/six:53/UDP") {
		t.Errorf("got %+v", got)
	}
}

func TestColour(t *testing.T) {
	if got := (palette{}).verdict(true); got != "ALLOWED" {
		t.Errorf("plain text has %q", got)
	}
	if got := (palette{on: true}).verdict(false); !strings.Contains(got, "\x1b[31mDENIED") {
		t.Errorf("red is %q", got)
	}
}
