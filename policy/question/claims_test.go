package question

import (
	"strings"
	"testing"
)

// What is asked about one of two Pods with one address is answered by the
// policies of each, and never as if the other one were the same Pod.
func TestSharedAddress(t *testing.T) {
	w := New(load(t, fixture(t, "shared-address.yaml")))
	const self, shared = "a Pod always reaches itself", "10.1.0.5 is shared: the objects of the Pods shop/guarded and shop/waiting claim it"
	for _, c := range []struct {
		src, dst string
		allowed  bool
		want     []string
	}{
		{"shop/stranger", "shop/guarded:80", false, []string{"shop/stranger → shop/guarded:80", shared, "policy shop/guarded isolates shop/guarded for ingress"}},
		{"shop/stranger", "shop/waiting:80", false, []string{"shop/stranger → shop/waiting:80", shared, "isolates shop/guarded, which claims 10.1.0.5 too, for ingress"}},
		{"shop/guarded", "shop/stranger:80", false, []string{"shop/guarded → shop/stranger:80", shared}},
		{"shop/waiting", "shop/stranger:80", false, []string{"shop/waiting → shop/stranger:80", shared}},
		{"shop/stranger", "10.1.0.5:80", false, []string{shared}},
		{"shop/guarded", "shop/waiting:80", false, []string{shared, "no packet from Pod shop/guarded can reach Pod shop/waiting"}},
		{"shop/waiting", "svc/shop/web:80", false, []string{shared, "no packet from Pod shop/waiting can reach Pod shop/guarded"}},
		{"shop/guarded", "shop/guarded:80", true, []string{self, shared}},
		{"shop/guarded", "10.1.0.5:80", true, []string{self, shared}},
	} {
		got := told(t, w, c.src, c.dst)
		verdict := map[bool]string{true: "ALLOWED", false: "DENIED"}[c.allowed]
		if !strings.HasPrefix(got, verdict+"  shop/") {
			t.Errorf("%s → %s: want %s:\n%s", c.src, c.dst, verdict, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s → %s: %q is missing in\n%s", c.src, c.dst, want, got)
			}
		}
		if !c.allowed && strings.Contains(got, self) {
			t.Errorf("%s → %s: taken for one Pod:\n%s", c.src, c.dst, got)
		}
	}
	// Who has given the address to the other is not the other.
	if got := told(t, w, "shop/gone", "shop/stranger:80"); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, "is that of Pod shop/stranger by now") {
		t.Errorf("finished Pod: %s", got)
	}
}
