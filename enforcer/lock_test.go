package enforcer

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/source"
)

// conditionOf finds a condition by its kind.
func conditionOf(a *testAgent, what string) (Condition, bool) {
	for _, c := range a.Status().Conditions {
		if c.What == what {
			return c, true
		}
	}
	return Condition{}, false
}

func TestSecondAgentOfANamespaceWaitsForTheFirst(t *testing.T) {
	for topology := range topologies {
		t.Run(topology, func(t *testing.T) {
			c := newCluster(t, topology)
			first := startAgent(t, c.node, &source.Memory{})
			first.set(append(c.objects(), allow("web", "web", "front", 80))...)
			from := &source.Memory{}
			if err := from.Set(append(c.objects(), allow("web", "web", "bad", 80))...); err != nil {
				t.Fatal(err)
			}
			second := startAgent(t, c.node, from)
			eventually(t, "the second agent says that it waits", func() bool { _, ok := conditionOf(second, "SecondAgent"); return ok })

			got, _ := conditionOf(second, "SecondAgent")
			if err := second.Ready(); err == nil || !got.NotReady() || !strings.Contains(got.Message, holder{os.Getpid(), 0}.String()) {
				t.Errorf("ready: %v, and the condition is %v", err, got)
			}
			answer := httptest.NewRecorder()
			second.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "SecondAgent") {
				t.Errorf("readyz: %d %s", answer.Code, answer.Body)
			}
			if err := second.Alive(); err != nil {
				t.Errorf("waiting is taken for hanging: %v", err)
			}
			first.set(allow("more", "front", "web", 80))
			c.front.expect(c.web, 80, true)
			c.bad.expect(c.web, 80, false)
			if err := first.Ready(); err != nil {
				t.Errorf("the first is not ready: %v", err)
			}

			first.stop()
			second.settle()
			c.front.expect(c.web, 80, false)
			c.bad.expect(c.web, 80, true)
			if err := second.Ready(); err != nil {
				t.Errorf("alone and not ready: %v", err)
			}
		})
	}
}

// A lock is of one network namespace.
func TestAgentsOfTwoNamespacesDoNotWait(t *testing.T) {
	here, there := newCluster(t, "ptp"), newCluster(t, "ptp")
	for _, c := range []cluster{here, there} {
		a := startAgent(t, c.node, &source.Memory{})
		a.set(append(c.objects(), allow("web", "web", "front", 80))...)
		if err := a.Ready(); err != nil {
			t.Error(err)
		}
		c.bad.expect(c.web, 80, false)
	}
}

// An agent that waits ends when it is told to, and leaves the lock to others.
func TestSecondAgentStopsWhileItWaits(t *testing.T) {
	node := newPTPNode(t)
	first := startAgent(t, node, &source.Memory{})
	first.settle()
	second := startAgent(t, node, &source.Memory{})
	eventually(t, "the second agent waits", func() bool { _, ok := conditionOf(second, "SecondAgent"); return ok })
	second.stop()
	first.stop()
	l, err := takeLock(node)
	if err != nil {
		t.Fatalf("nobody runs: %v", err)
	}
	l.release()
}

// In a rolling update with a surge the second of a node has the same address for
// health: it takes it over with the lock.
func TestSecondAgentTakesOverTheHealthAddress(t *testing.T) {
	node := newPTPNode(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	at := func(cfg *Config) { cfg.HealthAddress = address }
	first := startAgent(t, node, &source.Memory{}, at)
	first.settle()
	second := startAgent(t, node, &source.Memory{}, at)
	eventually(t, "the second agent waits", func() bool { _, ok := conditionOf(second, "SecondAgent"); return ok })
	first.stop()
	second.settle()
	answer, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("readyz: %s", answer.Status)
	}
}

// squat takes the lock's name as a process without any privilege could: who
// listens is what the thread is at that time.
func squat(t *testing.T, node testNS, uid uintptr) net.Listener {
	t.Helper()
	var l net.Listener
	err := node.Do(func() error {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
			return errno
		}
		var err error
		l, err = net.Listen("unix", lockName)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Anybody in the node's network namespace can take the name. Who is not root is
// no agent, and keeps nobody from enforcing.
func TestLockOfNobodyKeepsNoAgentOut(t *testing.T) {
	c := newCluster(t, "ptp")
	squat(t, c.node, 65534)
	a := startAgent(t, c.node, &source.Memory{})
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	c.bad.expect(c.web, 80, false)
	if err := a.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	if got, ok := conditionOf(a, "NoLock"); !ok || !strings.Contains(got.Message, "uid 65534") {
		t.Errorf("conditions %v", a.Status().Conditions)
	}
	a.stop()
	if _, err := Cleanup(context.Background(), c.node, CleanupOptions{}); err != nil {
		t.Errorf("cleanup: %v", err)
	}
}

// Those who ask who holds the lock and go again leave room for others.
func TestLockAnswersHoweverOftenItIsAsked(t *testing.T) {
	node := newNS(t)
	l, err := takeLock(node)
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	for range 5000 {
		_, err := takeLock(node)
		var held *errHeld
		if !errors.As(err, &held) || held.by != (holder{os.Getpid(), 0}) {
			t.Fatalf("got %v", err)
		}
	}
}
