package nri

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

var sameAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func sandbox(name string, addrs ...string) Sandbox {
	s := Sandbox{UID: types.UID("uid-" + name), Pod: types.NamespacedName{Namespace: "shop", Name: name}, Netns: "/var/run/netns/cni-" + name}
	for _, a := range addrs {
		s.Addrs = append(s.Addrs, netip.MustParseAddr(a))
	}
	return s
}

// TestLifeOfASandbox: what a runtime says arrives, in both families, and of the
// node's own network nothing does.
func TestLifeOfASandbox(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nri.sock")
	s := &sink{}
	p, registry := plug(t, socket, s)
	before := box("before", "10.1.0.2")
	r := newRuntime(t, socket, before, onTheNode("proxy"))
	r.listen()
	await(t, "connected", func() bool { return p.State().Heard })
	if diff := cmp.Diff([][]Sandbox{{sandbox("before", "10.1.0.2")}}, s.sets, sameAddr); diff != "" {
		t.Errorf("the list (-want +got):\n%s", diff)
	}
	if got := p.State().Runtime; got != "containerd v2.2.9" {
		t.Errorf("runtime %q", got)
	}

	web := box("web", "10.1.0.3", "fd01::3", "::ffff:10.1.0.3")
	r.run(web)
	r.run(onTheNode("exporter"))
	r.run(box("old"))
	want := []Sandbox{sandbox("web", "10.1.0.3", "fd01::3"), sandbox("old")}
	if diff := cmp.Diff(want, s.started, sameAddr); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}
	if !p.State().NoAddrs {
		t.Error("that the runtime says no addresses is not noted")
	}

	// A second sandbox of the same Pod, and the first one's end after it.
	again := box("web", "10.1.0.9")
	again.Id = "another"
	r.run(again)
	r.stop(web)
	r.remove(web)
	if len(s.gone) != 0 {
		t.Errorf("the end of a Pod's earlier sandbox is told as the Pod's: %v", s.gone)
	}
	r.stop(again)
	r.remove(before)
	if diff := cmp.Diff([]types.UID{"uid-web", "uid-before"}, s.gone); diff != "" {
		t.Errorf("gone (-want +got):\n%s", diff)
	}
	for label, want := range map[string]float64{inTime: 3, onNode: 1, late: 0, failed: 0, unreadable: 0} {
		if got := value(t, registry, "sluice_nri_answers_total", label); got != want {
			t.Errorf("answers %s: %v, want %v", label, got, want)
		}
	}
	if value(t, registry, "sluice_nri_connected", "") != 1 || value(t, registry, "sluice_nri_wait_seconds", "") != 3 || value(t, registry, "sluice_nri_addressless_total", "") != 1 {
		t.Error("connected, waits or sandboxes without addresses are not counted")
	}
}

// TestNeverRefused: whatever goes wrong, the Pod starts and the runtime keeps
// the plugin.
func TestNeverRefused(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nri.sock")
	s := &sink{
		slow: map[types.UID]bool{"uid-slow": true},
		failing: map[types.UID]func() error{
			"uid-failing":   func() error { return errors.New("no rules today") },
			"uid-panicking": func() error { panic("out of rules") },
		},
	}
	p, registry := plug(t, socket, s)
	r := newRuntime(t, socket)
	r.listen()
	await(t, "connected", func() bool { return p.State().Heard })

	began := time.Now()
	r.run(box("slow", "10.1.0.2"))
	if took := time.Since(began); took < MaxWait*9/10 || took > 2*MaxWait {
		t.Errorf("a Pod that is not enforced held up the runtime for %v, want %v", took, MaxWait)
	}
	r.run(box("failing", "10.1.0.3"))
	r.run(box("panicking", "10.1.0.4"))
	r.run(box("garbage", "10.1.0.300"))
	r.run(box("Not A Name", "10.1.0.5"))
	r.run(nil)
	for label, want := range map[string]float64{inTime: 0, late: 1, failed: 2, unreadable: 3} {
		if got := value(t, registry, "sluice_nri_answers_total", label); got != want {
			t.Errorf("answers %s: %v, want %v", label, got, want)
		}
	}
	r.run(box("after", "10.1.0.6"))
	if _, _, sets, lost := s.count(); sets != 1 || lost != 0 {
		t.Errorf("%d lists and %d losses: the runtime has dropped the plugin", sets, lost)
	}
	if got := s.started[len(s.started)-1].Pod.Name; got != "after" {
		t.Errorf("the last that was told of is %s", got)
	}
	if _, err := r.nri.CreateContainer(context.Background(), &api.CreateContainerRequest{Pod: box("after"), Container: &api.Container{Id: "c"}}); err != nil {
		t.Errorf("a container is refused: %v", err)
	}
}

// TestWaitsInVainDoNotAddUp: while nothing can be enforced, many Pods start
// nearly as fast as without.
func TestWaitsInVainDoNotAddUp(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nri.sock")
	s := &sink{slow: map[types.UID]bool{}}
	const pods = 20
	for i := range pods {
		s.slow[types.UID(fmt.Sprint("uid-p", i))] = true
	}
	p, _ := plug(t, socket, s)
	r := newRuntime(t, socket)
	r.listen()
	await(t, "connected", func() bool { return p.State().Heard })
	began := time.Now()
	for i := range pods {
		r.run(box(fmt.Sprint("p", i), fmt.Sprint("10.1.0.", i+1)))
	}
	if took := time.Since(began); took > fullCredit+pods*4*minWait {
		t.Errorf("%d Pods that were not enforced held up the runtime for %v", pods, took)
	}
	if started, _, _, lost := s.count(); started != pods || lost != 0 {
		t.Errorf("%d of %d were told, the connection was lost %d times", started, pods, lost)
	}
}

// TestRuntimeRestarts: the socket is absent, appears, is taken away and made
// anew, and each connection begins with a list.
func TestRuntimeRestarts(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nri.sock")
	s := &sink{slow: map[types.UID]bool{"uid-waits": true}}
	p, registry := plug(t, socket, s)
	await(t, "missed", func() bool { return p.State().Err != nil && strings.Contains(p.State().Err.Error(), "no such file") })

	r := newRuntime(t, socket, box("one", "10.1.0.2"))
	r.listen()
	await(t, "connected", func() bool { return p.State().Heard })
	for round := 1; round <= 3; round++ {
		waits := make(chan struct{})
		go func() {
			// The runtime dies while it waits for an answer.
			defer close(waits)
			defer r.nri.BlockPluginSync().Unblock()
			_ = r.nri.RunPodSandbox(context.Background(), &api.RunPodSandboxRequest{Pod: box("waits", "10.1.0.7")})
		}()
		await(t, "waiting", func() bool { n, _, _, _ := s.count(); return n == round })
		r.hangUp()
		<-waits
		await(t, "lost", func() bool { _, _, _, n := s.count(); return n == round && !p.State().Heard })
		if value(t, registry, "sluice_nri_connected", "") != 0 {
			t.Error("still counted as connected")
		}
		r.setPods(box("one", "10.1.0.2"), box("new", fmt.Sprint("10.1.1.", round)))
		r.listen()
		await(t, "connected again", func() bool { return p.State().Heard })
		want := []Sandbox{sandbox("one", "10.1.0.2"), sandbox("new", fmt.Sprint("10.1.1.", round))}
		if diff := cmp.Diff(want, s.sets[round], sameAddr); diff != "" {
			t.Errorf("list %d (-want +got):\n%s", round, diff)
		}
	}
	if got := value(t, registry, "sluice_nri_connections_total", ""); got != 4 {
		t.Errorf("%v connections, want 4", got)
	}
}

// TestLongList: one that takes several messages arrives whole.
func TestLongList(t *testing.T) {
	// It tries how many sandboxes a message takes, which takes a busy machine
	// longer than a runtime has.
	adaptation.SetPluginRequestTimeout(20 * time.Second)
	t.Cleanup(func() { adaptation.SetPluginRequestTimeout(adaptation.DefaultPluginRequestTimeout) })
	socket := filepath.Join(t.TempDir(), "nri.sock")
	s := &sink{}
	p, _ := plug(t, socket, s)
	var pods []*api.PodSandbox
	for i := range 300 {
		pod := box(fmt.Sprint("p", i), netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(i%250 + 1)}).String())
		pod.Annotations = map[string]string{"last-applied": strings.Repeat("x", 20_000)}
		pods = append(pods, pod)
	}
	r := newRuntime(t, socket, pods...)
	r.listen()
	await(t, "connected", func() bool { return p.State().Heard })
	if len(s.sets) != 1 || len(s.sets[0]) != len(pods) {
		t.Errorf("of %d sandboxes came %d in %d lists", len(pods), len(s.sets[0]), len(s.sets))
	}
}

// TestSilence: what is the matter is said with what to do, and only when it has
// lasted.
func TestSilence(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nri.sock")
	p, _ := plug(t, socket, &sink{})
	if message, _, silent := p.Silent(); silent {
		t.Errorf("silent at once: %s", message)
	}
	early := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.state.Since = p.state.Since.Add(-silentAfter)
	}
	early()
	await(t, "told of no socket", func() bool { _, mend, silent := p.Silent(); return silent && strings.Contains(mend, "switch NRI on") })
	r := newRuntime(t, socket)
	r.listen()
	await(t, "connected", func() bool { return p.State().Heard })
	if message, _, silent := p.Silent(); silent {
		t.Errorf("silent while it is heard: %s", message)
	}
	r.hangUp()
	await(t, "lost", func() bool { return !p.State().Heard })
	early()
	await(t, "told of a dead socket", func() bool {
		_, mend, silent := p.Silent()
		return silent && strings.Contains(mend, "mount its directory")
	})
}
