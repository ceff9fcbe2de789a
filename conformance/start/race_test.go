package start

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/policy/spectest"
)

// What a race is made of: so many Pods start at a time, and neighbours and they themselves
// send in each other's name all the while.
const (
	atOnce    = 6
	briefRace = 6
	spoofEach = 10 * time.Millisecond
)

// Pods that start at random, among neighbours that send in their names and in those of
// others, never get through what their own policies forbid. What is forbidden, the naive
// evaluator says, of the cluster as it is when all is known.
func TestStartRace(t *testing.T) {
	for _, topology := range enforced.Whole(t) {
		t.Run(topology.String(), func(t *testing.T) { startRace(t, topology, *podsFlag) })
	}
	for _, topology := range enforced.Brief(t) {
		t.Run(topology.String(), func(t *testing.T) { startRace(t, topology, briefRace) })
	}
}

// race counts what was tried in one, and what came of it.
type race struct {
	*world
	r *rand.Rand
	// forbidden connections that were tried, those that were answered, and forged frames.
	tried, through, forged atomic.Int64
	// first are the times until the first allowed connection of each Pod that may have one.
	mu    sync.Mutex
	first []time.Duration
}

func startRace(t *testing.T, topology lab.Topology, pods int) {
	apps := []string{front, caged, "other"}
	r := rand.New(rand.NewPCG(*seedFlag, uint64(topology)))
	var late []*corev1.Pod
	for i := range pods {
		late = append(late, pod(3+i, fmt.Sprintf("p%d", i), apps[r.IntN(len(apps))]))
	}
	c := &race{world: newWorld(t, topology, late...), r: r}
	heard := c.listen()
	for len(late) > 0 {
		n := min(atOnce, len(late))
		c.wave(late[:n])
		late = late[n:]
	}
	forgeries, honest := heard.count()
	c.report(pods, forgeries, honest)
	if c.tried.Load() == 0 || c.through.Load() > 0 {
		t.Errorf("%d of %d forbidden connections went through", c.through.Load(), c.tried.Load())
	}
	if honest == 0 || forgeries > 0 {
		t.Errorf("%d honest datagrams and %d forged ones arrived", honest, forgeries)
	}
	if err := c.Agent(c.node).Ready(); err != nil {
		t.Error(err)
	}
}

func (c *race) report(pods, forgeries, honest int) {
	var total, worst time.Duration
	for _, d := range c.first {
		total, worst = total+d, max(worst, d)
	}
	mean := time.Duration(0)
	if len(c.first) > 0 {
		mean = total / time.Duration(len(c.first))
	}
	c.t.Logf("%d Pods started; %d of %d forbidden connections and %d of %d forged datagrams went through, %d honest ones did; first allowed connection after %v in the mean, %v at worst",
		pods, c.through.Load(), c.tried.Load(), forgeries, c.forged.Load(), honest, mean.Round(time.Millisecond), worst.Round(time.Millisecond))
}

// wave starts some Pods, in another order than the API named them, and lets it know their
// addresses after a while, of one sooner than of another, or when the wave is over.
func (c *race) wave(pods []*corev1.Pod) {
	var objects []any
	for _, p := range pods {
		objects = append(objects, c.waiting(p.Name))
		c.told.Pods = append(c.told.Pods, c.known(p.Name))
	}
	c.Set(objects...)
	order := c.r.Perm(len(pods))
	var work sync.WaitGroup
	for _, i := range order {
		name := pods[i].Name
		p := c.start(name)
		until := time.Now().Add(time.Duration(300+c.r.IntN(300)) * time.Millisecond)
		c.probe(&work, p, name, until)
		work.Go(func() { c.forge(p, name, until) })
		if c.r.IntN(2) == 0 {
			time.Sleep(time.Duration(c.r.IntN(60)) * time.Millisecond)
			c.Deliver(c.known(name))
		}
	}
	work.Wait()
	var known []any
	for _, p := range pods {
		known = append(known, c.known(p.Name))
	}
	c.Set(known...)
}

// probe tries what the Pod may not do for as long as the wave goes, and how soon it may do
// what it may.
func (c *race) probe(work *sync.WaitGroup, p *lab.PodNamespace, name string, until time.Time) {
	for _, to := range []string{web, bad} {
		for family := range 2 {
			for _, port := range []uint16{80, 81} {
				f := spectest.Flow{Src: c.addr(name, family), Dst: c.addr(to, family), Protocol: lab.TCP, Port: port}
				if out, in := c.told.Allowed(f); !out || !in {
					work.Go(func() { c.forbidden(p, f, until) })
				}
			}
		}
	}
	work.Go(func() {
		began := time.Now()
		for time.Since(began) < 10*time.Second {
			if connect(p.Namespace, c.addr(bad, 0), 80, often) == nil {
				c.mu.Lock()
				c.first = append(c.first, time.Since(began))
				c.mu.Unlock()
				return
			}
		}
	})
}

func (c *race) forbidden(p *lab.PodNamespace, f spectest.Flow, until time.Time) {
	for more := true; more; more = time.Now().Before(until) {
		c.tried.Add(1)
		if connect(p.Namespace, f.Dst, f.Port, often) == nil {
			c.through.Add(1)
			c.t.Errorf("%s (%s) reached %s port %d", p.Pod.Name.Name, f.Src, f.Dst, f.Port)
			return
		}
	}
}

// Forgeries have ports of their own: whoever knows the ports of a live allowed connection
// can send in it as long as its interface has no guard, see the compiler's README. That
// holds for a routed Pod until it is known.
const (
	forgedText = "forged-datagram"
	honestText = "honest-datagram"
	forgedPort = 5000
	honestPort = 4000
)

// forge has a neighbour speak in the Pod's name, and the Pod in those of its neighbours,
// to one who listens.
func (c *race) forge(p *lab.PodNamespace, name string, until time.Time) {
	neighbour := c.Pod(named(bad))
	for more := true; more; more = time.Now().Before(until) {
		for family := range 2 {
			c.send(neighbour, c.datagram(neighbour, c.addr(name, family), front, family, forgedPort, forgedText))
			c.send(neighbour, c.datagram(neighbour, c.addr(bad, family), front, family, honestPort, honestText))
			for _, source := range []netip.Addr{c.addr(bad, family), c.addr(web, family), c.addr(front, family)} {
				c.send(p, c.datagram(p, source, front, family, forgedPort, forgedText))
			}
		}
		time.Sleep(spoofEach)
	}
}

func (c *race) send(from *lab.PodNamespace, frame []byte) {
	if bytes.Contains(frame, []byte(forgedText)) {
		c.forged.Add(1)
	}
	if err := from.Inject("eth0", frame); err != nil {
		c.t.Error(err)
	}
}

// listener counts what comes to the one who listens.
type listener struct{ forged, honest atomic.Int64 }

func (c *race) listen() *listener {
	c.t.Helper()
	l := &listener{}
	heard, err := c.Pod(named(front)).Capture("eth0", func(frame []byte) bool {
		switch {
		case bytes.Contains(frame, []byte(forgedText)):
			l.forged.Add(1)
		case bytes.Contains(frame, []byte(honestText)):
			l.honest.Add(1)
		}
		return false
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { heard.Stop() })
	return l
}

// count waits for what is under way.
func (l *listener) count() (forged, honest int) {
	time.Sleep(100 * time.Millisecond)
	return int(l.forged.Load()), int(l.honest.Load())
}
