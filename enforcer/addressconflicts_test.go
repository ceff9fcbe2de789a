package enforcer

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// After a node's restart the object of a Pod that waits may still show the
// address that another one has now. Packets from and to it must pass the
// policies of both, whichever is newer, and readyz names them.
func TestSharedAddressIsJudgedByThePoliciesOfEach(t *testing.T) {
	for name := range topologies {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, name)
			a := startAgent(t, c.node, &source.Memory{})
			a.set(append(c.objects(), allow("web", "web", "front", 80))...)
			waiting := c.web.object.DeepCopy()
			waiting.Name, waiting.UID, waiting.Labels = "waiting", types.UID("waiting"), map[string]string{"app": "waiting"}
			for _, age := range []time.Duration{time.Hour, -time.Hour} {
				waiting.CreationTimestamp = metav1.NewTime(c.web.object.CreationTimestamp.Add(age))
				a.set(waiting.DeepCopy())
				c.bad.expect(c.web, 80, false)
				c.front.expect(c.web, 80, true)
				if err := a.Ready(); err != nil {
					t.Errorf("not ready: %v", err)
				}
				for _, addr := range waiting.Status.PodIPs {
					if !slices.ContainsFunc(a.Status().Conditions, func(c Condition) bool {
						return c.What == conflictKind && c.Object == "address "+addr.IP && strings.Contains(c.Message, "/waiting")
					}) {
						t.Errorf("no condition names %s: %v", addr.IP, a.Status().Conditions)
					}
				}
				if text := readyz(a.Agent); !strings.HasPrefix(text, "ok\n") || !strings.Contains(text, conflictKind) {
					t.Errorf("readyz: %s", text)
				}

				// What the other's policies allow is not enough, either.
				theirs := allow("waiting", "waiting", "bad", 80)
				a.set(theirs)
				c.front.expect(c.web, 80, false)
				c.bad.expect(c.web, 80, false)
				a.set(allow("waiting", "waiting", "front", 80))
				c.front.expect(c.web, 80, true)
				c.bad.expect(c.web, 80, false)
				a.delete(theirs)

				// One that has ended claims nothing.
				ended := waiting.DeepCopy()
				ended.Status.Phase = corev1.PodFailed
				a.set(ended)
				c.front.expect(c.web, 80, true)
				c.bad.expect(c.web, 80, false)
				if text := readyz(a.Agent); strings.Contains(text, conflictKind) {
					t.Errorf("after the end of one: %s", text)
				}
			}
		})
	}
}

func readyz(a *Agent) string {
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	return w.Body.String()
}

// A cluster that gives many Pods few addresses fills neither log nor readyz.
func TestConflictConditionsAreBounded(t *testing.T) {
	var conflicts []policy.Conflict
	for i := range 1000 {
		c := policy.Conflict{Addr: netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(i % 250)})}
		for j := range 50 {
			c.Claims = append(c.Claims, policy.Claim{Pod: types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("p", j)}, Node: "n"})
		}
		conflicts = append(conflicts, c)
	}
	got := conflictConditions(conflicts)
	if len(got) != mostConflicts+1 || !strings.Contains(got[mostConflicts].Message, "900 more") {
		t.Errorf("%d conditions, the last is %v", len(got), got[len(got)-1])
	}
	if m := got[0].Message; !strings.Contains(m, "Pods shop/p0 (node n), ") || !strings.Contains(m, " and 44 more claim it") {
		t.Errorf("message: %s", m)
	}
}
