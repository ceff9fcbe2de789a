package attack_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/lab"
)

// TestAttackRouterAdvertisementToTheNode: a node that takes routers' word for its routes
// (accept_ra 2, as where nodes get theirs so) does not take a Pod's, whether it has a guard
// or not. All that leaves by such a route would be the Pod's to read.
func TestAttackRouterAdvertisementToTheNode(t *testing.T) {
	bare, guarded := newWorld(t, lab.PTP, false), newWorld(t, lab.PTP, true)
	for _, by := range []origin{byAttacker, byStray} {
		t.Run(by.name, func(t *testing.T) {
			if !bare.takesRoute(t, by, eventually) {
				t.Fatal("without Sluice the node takes no default route from the Pod either: the test shows nothing")
			}
			if guarded.takesRoute(t, by, soon) {
				t.Error("the node's default route goes through a Pod that says it is a router")
			}
		})
	}
}

// takesRoute has a Pod say that it is a router, and reports whether the node makes it its
// default route within a time.
func (w *world) takesRoute(t *testing.T, by origin, within time.Duration) bool {
	t.Helper()
	veth := w.pod(by.pod).Veth
	run := func(f func() error) {
		t.Helper()
		if err := w.node.Do(f); err != nil {
			t.Fatal(err)
		}
	}
	run(func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/"+veth+"/accept_ra", []byte("2"), 0) })
	s := newScene(t, w, by, victim, true, newToken())
	s.inject(advertise(s, s.to(allNodes, multicastMAC(allNodes))))
	for deadline := time.Now().Add(within); ; time.Sleep(soon / 4) {
		var routes []byte
		run(func() (err error) {
			if routes, err = exec.Command("ip", "-6", "route", "show", "default", "dev", veth).CombinedOutput(); err != nil {
				err = fmt.Errorf("%w: %s", err, routes)
			}
			return err
		})
		if strings.Contains(string(routes), "proto ra") {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
