package app

import (
	"strings"
	"testing"
)

func TestExposureCommand(t *testing.T) {
	file := write(t, "shop.yaml", shopManifests)
	r := sluice(t, "", "exposure", "-f", file, "--focus", "shop/db", "--direction", "ingress")
	if r.code != exitOK || !strings.Contains(r.out, "any Pod with app=web of namespace shop") || strings.Contains(r.out, "shop/web") {
		t.Errorf("%+v", r)
	}
	for format := range exposureOutputs {
		if r := sluice(t, shopManifests, "exposure", "-f", "-", "-o", format); r.code != exitOK || r.out == "" {
			t.Errorf("-o %s: %d: %s", format, r.code, r.err)
		}
	}
	if r := sluice(t, "", "exposure", "-f", file, "--focus", "shop/dbb"); r.code != exitUnusable || !strings.Contains(r.err, "did you mean shop/db?") {
		t.Errorf("%+v", r)
	}
	// What is no workload has no exposure, and an empty answer looks like a good one.
	addressed := write(t, "pods.yaml", twoPods)
	for focus, want := range map[string]string{
		"internet": "internet is no workload's", "203.0.113.0/24": "203.0.113.0/24 is no workload's", "203.0.113.7": "sluice list --focus 203.0.113.7",
		"any": "", "10.0.0.2": "", "10.0.0.0/8": "", "ns/default": "",
	} {
		for _, more := range [][]string{nil, {"--focus", "a"}} {
			r := sluice(t, "", append([]string{"exposure", "-f", addressed, "--focus", focus}, more...)...)
			if want == "" && (r.code != exitOK || !strings.Contains(r.out, "anyone")) || want != "" && (r.code != exitUnusable || r.out != "" || !strings.Contains(r.err, want)) {
				t.Errorf("%s and %v: %+v", focus, more, r)
			}
		}
	}
}
