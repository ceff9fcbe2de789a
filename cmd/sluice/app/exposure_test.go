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
}
