package chaos

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/lab"
)

var (
	duration = flag.Duration("sluice.duration", 0, "how long all runs together take; 0: short ones with fixed seeds, and one by the clock")
	seedFlag = flag.Uint64("sluice.seed", 0, "seed of the runs; 0: by the clock")
	slow     = flag.Int("sluice.slow", 1, "how many times slower than a processor this one is, if it is emulated: what is waited for, and granted, is so many times as long")
	patient  = flag.Bool("sluice.long", false, "let the API server be away for longer than half a minute now and then")
)

// actionsToQuiet is how much happens until all is healed and compared.
const actionsToQuiet = 9

// slowDown makes all waits, and all that the checker grants, fit a slow processor.
func slowDown(times int) {
	for _, d := range []*time.Duration{&bound, &noticedWithin, &filesNoticedWithin, &catchesUpWithin, &sendEvery} {
		*d *= time.Duration(times)
	}
	answerWithin *= int64(times)
	mendsWithin *= int64(times)
}

func TestChaosBridge(t *testing.T) { chaos(t, lab.Bridge) }
func TestChaosPTP(t *testing.T)    { chaos(t, lab.PTP) }

// chaos runs a topology with objects from an API server and from files.
func chaos(t *testing.T, topology lab.Topology) {
	clock := uint64(time.Now().UnixNano() % 1e9)
	type plan struct {
		api      bool
		seed     uint64
		duration time.Duration
	}
	plans := []plan{{true, 1, 12 * time.Second}, {false, 2, 8 * time.Second}, {clock%2 == 0, clock, 8 * time.Second}}
	if *duration > 0 || *seedFlag != 0 {
		seed, each := *seedFlag, *duration/4
		if seed == 0 {
			seed = clock
		}
		if each == 0 {
			each = 12 * time.Second
		}
		plans = []plan{{true, seed, each}, {false, seed, each}}
	}
	for _, p := range plans {
		from := map[bool]string{true: "API", false: "files"}[p.api]
		t.Run(fmt.Sprintf("%s/SEED=%d", from, p.seed), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := newWorld(ctx, t, topology, p.api, p.seed)
			w.live(ctx, time.Now().Add(p.duration))
			w.verdict(p.seed)
		})
	}
}

// live lets things happen until a time, and rests at last.
func (w *world) live(ctx context.Context, until time.Time) {
	w.quiet(ctx, false)
	for time.Now().Before(until) && len(w.faults)+w.checker.violations < mostReported {
		for range actionsToQuiet {
			w.act(ctx)
			sleep(ctx, w.between(50*time.Millisecond, 700*time.Millisecond))
		}
		w.quiet(ctx, w.quiets%3 == 2)
	}
	// Who looks for a fault wants to know whether it is in the rules.
	if w.compared == 0 || len(w.faults)+w.checker.violations > 0 {
		w.compareWithFresh(ctx)
	}
}

// quiet heals all, waits until the agent has caught up, and holds what it sees
// then to what must be.
func (w *world) quiet(ctx context.Context, compare bool) {
	w.log("all is healed")
	w.healAll()
	for _, box := range w.boxes {
		if p := w.shares[box]; p != nil {
			w.deletePod(p)
			delete(w.shares, box)
		}
		if box.pod == nil || len(w.now.cluster().Claimants(w.model.ends[box.index].addrs[0])) == 0 {
			if box.pod != nil {
				w.deletePod(box.pod)
			}
			box.broken("new veth", box.remake)
			w.setPod(box, w.newPod(box, one(w, namespaces...)))
		}
	}
	w.awaitReady()
	sleep(ctx, bound)
	w.must(w.prober.renew())
	since := time.Now().UnixNano()
	w.history.renewed(since)
	sleep(ctx, time.Second+time.Duration(answerWithin))
	until := time.Now().UnixNano()
	if s, found := w.ready.find(since, until, false); found {
		w.fault("readyz did not say ok at %s, at rest: %s", w.checker.clock(s.until), s.text)
	}
	w.check(since, until)
	if compare {
		w.compareWithFresh(ctx)
	}
	w.quiets++
}

// check judges all that was seen, and the reachability from one moment to
// another, in which nothing happened.
func (w *world) check(since, until int64) {
	sleep(context.Background(), 2*time.Duration(answerWithin))
	s, err := w.prober.take()
	w.must(err)
	w.history.hindered = append(w.history.hindered, w.stall.take()...)
	s.sent = append(w.carry, s.sent...)
	w.reachability(s, since, until)
	w.checkReadiness()
	w.carry = w.checker.round(s, time.Now().UnixNano())
	if found := w.checker.violations + len(w.faults); found > w.found {
		w.found = found
		w.keepScene()
	}
	w.history.forget(since - int64(bound))
	w.ready.forget(since)
}

// reachability holds who reached whom at rest to the evaluator.
func (w *world) reachability(s *seen, since, until int64) {
	sent, answered := make([]int, w.model.classes()), make([]int, w.model.classes())
	for _, d := range s.sent {
		if d.sent > since && d.sent < until-answerWithin {
			sent[d.class]++
		}
	}
	for _, a := range s.arrivals {
		if a.kind == long && a.echo && a.sent > since && a.sent < until-answerWithin {
			answered[a.class]++
		}
	}
	for class, want := range w.model.table(w.now.cluster()) {
		switch {
		case want == allowed && answered[class] == 0:
			w.fault("at rest, %s is allowed: %d sent, none answered", w.model.name(class), sent[class])
		case want == forbidden && answered[class] > 0:
			w.fault("at rest, %s is forbidden: %d sent, %d answered", w.model.name(class), sent[class], answered[class])
		case want == forbidden && sent[class] == 0:
			w.fault("at rest, nobody tried %s", w.model.name(class))
		}
	}
}

// compareWithFresh compares the rules with those that a new agent makes of the
// same objects in empty tables.
func (w *world) compareWithFresh(ctx context.Context) {
	before, err := readRules(w.node)
	w.must(err)
	tr := w.hinder(agentTrouble)
	if err := w.agent.stop(); err != nil {
		w.fault("%v", err)
	}
	w.opened("all tables are emptied", func() error {
		_, _ = w.nft("delete table netdev sluice")
		_, _ = w.nft("delete table bridge sluice")
		// Not on a bare kernel: an agent there is patient with old connections.
		_, err := w.nft("delete table inet sluice; add table inet sluice")
		return err
	})
	tr.mend = w.agent.start
	w.healAll()
	w.awaitReady()
	sleep(ctx, time.Second)
	after, err := readRules(w.node)
	w.must(err)
	if diff := differences(after.text, before.text); diff != "" {
		w.fault("the rules are not those of a fresh start (- fresh, + found):\n%s", diff)
	}
	w.history.open[len(w.history.open)-1].until = time.Now().UnixNano()
	w.compared++
}

// verdict reports the run.
func (w *world) verdict(seed uint64) {
	c := w.checker
	w.t.Logf("seed %d: %d actions, %d times at rest, %d rulesets compared; %d datagrams on long flows, %d arrivals, %d of them certain; forbidden %d, forged %d (and %d known gaps), cut %d; "+
		"a forbidden packet passed for up to %v after the change, without hindrance, a new veth for up to %v; ready %v after healing at the latest",
		seed, w.actions, w.quiets, w.compared, c.sent, c.arrivals, c.judged, c.counts.forbidden, c.counts.forged, c.gaps, c.cut,
		c.latest.Round(time.Millisecond), c.youngest.Round(time.Millisecond), w.slowest.Round(time.Millisecond))
	if c.judged == 0 || c.sent == 0 || w.compared == 0 {
		w.t.Error("nothing was judged")
	}
	if c.violations == 0 && len(w.faults) == 0 {
		return
	}
	w.t.Errorf("%d violations (long, fresh, forged, hijacking: %v), %d faults; SEED=%d replays\n%s\n%s", c.violations, c.byKind, len(w.faults), seed,
		strings.Join(c.report, "\n"), strings.Join(w.faults, "\n"))
	w.keepScene()
	for _, s := range w.scenes {
		w.t.Log(s)
	}
}

// mostScenes is how often it is kept what happened before something was found.
const mostScenes = 4

// keepScene keeps what happened, and what the agent said, as long as it is the last.
func (w *world) keepScene() {
	if len(w.scenes) < mostScenes {
		w.scenes = append(w.scenes, fmt.Sprintf("what happened:\n%s\nthe agent's last words:\n%s",
			strings.Join(w.events[max(0, len(w.events)-80):], "\n"), w.agent.lastWords(40)))
	}
}
