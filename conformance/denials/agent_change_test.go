package denials

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/denials"
)

const denyAll = "podSelector: {}\npolicyTypes: [Ingress]\n"

func roundName(i int) string { return fmt.Sprintf("shop/round-%d", i) }

// While a Pod is denied by one policy after the other, an agent tells of the one that was
// in force when the packet was judged, as far as the sender can tell.
func TestAgentTellsTheReasonOfTheTime(t *testing.T) {
	w := watch(t, lab.PTP, lab.OneNode, map[string]string{roundName(0): denyAll}, func(c *enforcer.Config) { c.MinInterval = time.Millisecond })
	var targets, senders []*corev1.Pod
	for _, p := range w.pods {
		if p.Namespace == "shop" {
			targets = append(targets, p)
		} else {
			senders = append(senders, p)
		}
	}
	type sending struct{ before, behind time.Time }
	sent := map[string]sending{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		rnd := seeded(5)
		tick := time.NewTicker(time.Second / 300)
		defer tick.Stop()
		for port := uint16(1000); ; port++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			n := int(port) % (2 * len(targets))
			s := sending{before: time.Now()}
			w.send(senders[rnd.IntN(len(senders))], netip.AddrPortFrom(podAddr(targets[n/2], n%2), port))
			s.behind = time.Now()
			sent[fmt.Sprintf("%s %d", fullName(targets[n/2]), port)] = s
		}
	})
	type window struct{ began, ended time.Time }
	rounds := []window{{}}
	rnd := rand.New(rand.NewPCG(6, 13))
	for round := 1; round <= 60; round++ {
		began := time.Now()
		// Both in one: the Pods are isolated all the time.
		w.Deliver(networkPolicy(t, roundName(round), denyAll))
		w.Delete(networkPolicy(t, roundName(round-1), denyAll))
		rounds = append(rounds, window{began, time.Now()})
		time.Sleep(time.Duration(30+rnd.IntN(60)) * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	list := w.told()
	sure := 0
	for _, d := range list {
		s, known := sent[fmt.Sprintf("%s %d", d.Dst.Name(), d.Port)]
		if !known || d.Reason != denials.Policy || d.Approximate {
			t.Errorf("told of and never sent, or by no policy: %+v", d)
			continue
		}
		// The rounds that may have been in force when it was judged. In the middle of one
		// both its policies are.
		first, last := 0, 0
		for i := range rounds {
			if !rounds[i].ended.After(s.before) {
				first = i
			}
			if !rounds[i].began.After(s.behind.Add(30 * time.Millisecond)) {
				last = i
			}
		}
		if first == last {
			sure++
		}
		for _, p := range d.Policies {
			right := false
			for i := first; i <= last; i++ {
				right = right || p == roundName(i)
			}
			if !right {
				t.Errorf("%s:%d was sent in round %d to %d, and is told of as denied by %v, generation %d", d.Dst.Name(), d.Port, first, last, d.Policies, d.Generation)
			}
		}
	}
	if len(list) < len(sent)*9/10 || sure < 100 {
		t.Errorf("%d datagrams, %d told of, %d of them in a round that is sure", len(sent), len(list), sure)
	}
	t.Logf("%d datagrams, %d told of, %d in a round that is sure", len(sent), len(list), sure)
}

// Under forbidden packets as fast as a Pod can send them, each of another flow, an agent
// tells of a bounded number, says what it left out, and enforces what changes meanwhile.
func TestAgentUnderAFloodOfDeniedPackets(t *testing.T) {
	w := watch(t, lab.PTP, lab.OneNode, map[string]string{"shop/default-deny": denyAll}, func(c *enforcer.Config) { c.Denials.Rate = 100; c.InspectInterval = 100 * time.Millisecond })
	agent := w.Agent(w.nodes[0])
	const during = 4 * time.Second
	attacker := w.Pod(types.NamespacedName{Namespace: "guests", Name: "p1"})
	cmd := exec.Command("nsenter", "--net="+attacker.Path(), os.Args[0])
	cmd.Env = append(os.Environ(), floodEnv+"="+strconv.Itoa(int(during/time.Millisecond)), floodNetEnv+"=77")
	cmd.Stderr = os.Stderr
	out := make(chan string, 1)
	began, cpu := time.Now(), spent(t)
	go func() {
		b, err := cmd.Output()
		if err != nil {
			b = []byte(err.Error())
		}
		out <- string(b)
	}()
	// Changes while it lasts: each is enforced when Set returns.
	changes, longest, sent := 0, time.Duration(0), ""
	for sent == "" {
		select {
		case sent = <-out:
		default:
			turn := time.Now()
			w.Set(networkPolicy(t, fmt.Sprintf("guests/change-%d", changes%2), fmt.Sprintf("podSelector: {matchLabels: {app: db}}\ningress: [{ports: [{port: %d}]}]\n", 1000+changes)))
			longest = max(longest, time.Since(turn))
			changes++
		}
	}
	took, cpu := time.Since(began), spent(t)-cpu
	packets, err := strconv.Atoi(sent[:len(sent)-1])
	if err != nil {
		t.Fatalf("the flood failed: %s", sent)
	}
	list := w.told()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d packets in %v, %.0f a second; %d told of, left out %v; %d changes, the longest took %v; %.1f %% of a processor, %d MiB in use",
		packets, took.Round(time.Millisecond), float64(packets)/took.Seconds(), len(list), agent.DenialsLeftOut(), changes, longest.Round(time.Millisecond),
		100*cpu.Seconds()/took.Seconds(), m.HeapAlloc>>20)
	if most := 100 * (3 + int(took.Seconds())); len(list) > most || len(list) < 100 {
		t.Errorf("%d are told of, at most %d should be", len(list), most)
	}
	if agent.DenialsLeftOut()[denials.LeftOutRate] == 0 {
		t.Errorf("what was left out is not told: %v", agent.DenialsLeftOut())
	}
	if untold := w.metric("sluice_denied_packets_untold_total"); untold < float64(packets)*9/10 {
		t.Errorf("the kernel left out %.0f packets of %d", untold, packets)
	}
	if changes < 10 || m.HeapAlloc > 128<<20 {
		t.Errorf("%d changes, %d MiB in use", changes, m.HeapAlloc>>20)
	}
	if err := agent.Ready(); err != nil {
		t.Error(err)
	}
	for _, d := range list {
		if d.Reason != denials.Policy || d.Src.Pod != "p1" {
			t.Fatalf("%+v", d)
		}
	}
}
