package document

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/conformance/bench/controlpath"
	"github.com/sluice-net/sluice/conformance/bench/figures"
	"github.com/sluice-net/sluice/conformance/bench/memory"
)

// claim is a target with what became of it.
type claim struct {
	// anchor is for links: it stays when the words change.
	anchor, target, figure string
	// short is the target's subject, for the summary.
	short   string
	verdict verdict
}

type verdict uint8

const (
	unknown verdict = iota
	met
	missed
)

func (v verdict) String() string {
	return [...]string{"not measured", "**met**", "**not met**"}[v]
}

// atMost judges the worst of the values that count.
func atMost(limit float64, values ...float64) verdict {
	if len(values) == 0 || slices.ContainsFunc(values, math.IsNaN) {
		return unknown
	}
	if slices.Max(values) > limit {
		return missed
	}
	return met
}

func atLeast(limit float64, values ...float64) verdict {
	if len(values) == 0 || slices.ContainsFunc(values, math.IsNaN) {
		return unknown
	}
	if slices.Min(values) < limit {
		return missed
	}
	return met
}

func (r *report) claims() {
	r.section("claims", "What was aimed at, and what came out")
	var rows [][]string
	for _, c := range r.all() {
		if c.verdict == unknown && c.figure == "" {
			c.figure = absent
		}
		rows = append(rows, []string{fmt.Sprintf(`<a id="claim-%s"></a>%s`, c.anchor, c.target), c.figure, c.verdict.String()})
	}
	r.printf("| target | figure | |\n| --- | --- | --- |")
	for _, row := range rows {
		r.printf("| %s |", strings.Join(row, " | "))
	}
	r.printf("")
	r.paragraph(`
A target that is judged by a ratio is met if the ratio of the medians is; the interval
says how sure that is.`)
}

func (r *report) all() []claim {
	return slices.Concat(r.packetClaims(), r.eventClaims(), r.startClaims(), r.memoryClaims())
}

// membership are the events that change who is in a group.
var membership = []string{"remote Pod comes", "remote Pod goes", "remote Pod changes its labels"}

// eventClaims are judged at the largest size there is.
func (r *report) eventClaims() []claim {
	own := claim{anchor: "own-part", short: "One Pod's event, our own part", target: "Our own part of one Pod's event below 1 ms in the median, at 150,000 Pods and 20,000 policies"}
	flat := claim{anchor: "flat", short: "The same at 150,000 Pods, against 50,000", target: "Our own part does not grow with the cluster: at 150,000 Pods at most 1.25 times that at 50,000, with as many Pods on the node"}
	flatCommit := claim{anchor: "flat-commit", short: "Event to commit at 150,000 Pods, against 50,000", target: "Nor does the time from an event to the commit"}
	member := claim{anchor: "membership", short: "A Pod comes, goes, changes its labels: event to commit, against `nft` adding one element", target: "A Pod comes, goes, changes its labels: event to commit below half the time that nft needs for one element"}
	local := claim{anchor: "local-pod", short: "The same for a Pod of the node itself", target: "The same for a Pod of the node itself"}
	policy := claim{anchor: "policy", short: "A policy comes, changes, goes", target: "A new policy: at most 1.5 times that time"}
	silent := claim{anchor: "elsewhere", short: "A policy that selects no Pod of the node", target: "Policies that select no Pod of the node cost the kernel nothing"}
	claims := []*claim{&own, &flat, &flatCommit, &member, &local, &policy, &silent}
	if large := r.large(); len(large) > 0 {
		last := large[len(large)-1]
		own.figure, own.verdict = last.worst(membership, 1, func(name string) figures.Ratio {
			return figures.Ratio{Value: figures.Median(last.find(name, controlpath.Own)), Low: math.NaN(), High: math.NaN()}
		}, " ms")
		multiple := func(name string) figures.Ratio {
			return figures.RatioOf(last.find(name, controlpath.Commit), last.floor())
		}
		member.figure, member.verdict = last.worst(membership, 0.5, multiple, "")
		local.figure, local.verdict = last.worst([]string{"local Pod comes", "local Pod goes"}, 0.5, multiple, "")
		policy.figure, policy.verdict = last.worst([]string{"policy comes", "policy changes", "policy goes"}, 1.5, multiple, "")
		silent.figure, silent.verdict = last.worst([]string{"policy elsewhere comes", "policy elsewhere goes"}, 0, func(name string) figures.Ratio {
			return figures.Ratio{Value: figures.Max(last.find(name, "operations")), Low: math.NaN(), High: math.NaN()}
		}, " operations")
		if len(large) > 1 {
			before := large[len(large)-2]
			grown := func(variant string) (string, verdict) {
				return last.worst(append([]string{"policy comes"}, membership...), 1.25, func(name string) figures.Ratio {
					return figures.RatioOf(last.find(name, variant), before.find(name, variant))
				}, "")
			}
			flat.figure, flat.verdict = grown(controlpath.Own)
			flatCommit.figure, flatCommit.verdict = grown(controlpath.Commit)
		}
		if last.at["pods"] < 150_000 {
			for _, c := range claims {
				c.target += fmt.Sprintf(" (judged at %s)", last.name())
			}
		}
	}
	out := make([]claim, len(claims))
	for i, c := range claims {
		out[i] = *c
	}
	return out
}

// worst names the event for which the value is largest, with the value.
func (s size) worst(names []string, limit float64, of func(name string) figures.Ratio, unit string) (string, verdict) {
	var values []float64
	var worst figures.Ratio
	which := ""
	for _, name := range names {
		v := of(name)
		values = append(values, v.Value)
		if which == "" || v.Value > worst.Value {
			worst, which = v, name
		}
	}
	result := atMost(limit, values...)
	if result == unknown {
		return "", unknown
	}
	return fmt.Sprintf("at most %s%s (%s)", times(worst), unit, which), result
}

func (r *report) startClaims() []claim {
	start := claim{anchor: "cold-start", short: "Cold start, against `nft` loading the same ruleset", target: "Cold start: at most twice what nft needs to load the same ruleset in one file"}
	held := claim{anchor: "held-up", short: "The longest that packets were held up meanwhile", target: "Nothing holds packets up for more than 50 ms: the worst gap in cold starts and bursts, at any size"}
	if large := r.large(); len(large) > 0 {
		last := large[len(large)-1]
		v := figures.RatioOf(last.find(controlpath.ColdStart, controlpath.Commit), last.find(controlpath.ColdStart, controlpath.Floor))
		if start.verdict = atMost(2, v.Value); start.verdict != unknown {
			start.figure = fmt.Sprintf("%s times, %s", times(v), last.name())
		}
	}
	var gaps, idle []float64
	for _, s := range r.sizes() {
		for _, name := range r.run.Of(Control, "").Names(controlpath.Gap) {
			switch samples := s.find(name, controlpath.Gap); {
			case len(samples) == 0 || strings.HasPrefix(name, controlpath.Floor):
			case name == "idle":
				idle = append(idle, samples...)
			default:
				gaps = append(gaps, samples...)
			}
		}
	}
	if held.verdict = atMost(50, gaps...); held.verdict != unknown {
		held.figure = fmt.Sprintf("%s ms at worst, %s in the median; idle: %s at worst", digits(figures.Max(gaps)), digits(figures.Median(gaps)), digits(figures.Max(idle)))
	}
	return []claim{start, held}
}

func (r *report) memoryClaims() []claim {
	full, simple := r.run.Of(Memory, memory.Full), r.run.Of(Memory, memory.Simple)
	at := func(fs figures.Figures, name string, pods float64) float64 {
		return figures.Max(fs.Find(name, "", figures.Setting{"pods": pods}))
	}
	// peak is of all that was measured: at rest, before and with changes.
	peakOf := func(fs figures.Figures, pods float64) float64 {
		highest := at(fs, resident, pods)
		for _, name := range []string{peak, changedPeak} {
			if v := at(fs, name, pods); v > highest {
				highest = v
			}
		}
		return highest
	}
	// Simple Pods are judged, for those are what others were measured with; the
	// figure of full ones stands beside it.
	one := func(anchor, short, target string, limit float64, unit string, value, beside float64) claim {
		c := claim{anchor: anchor, short: short, target: target, verdict: atMost(limit, value)}
		if c.verdict != unknown {
			c.figure = digits(value) + unit
		}
		if !math.IsNaN(beside) {
			c.figure += "; full Pods " + digits(beside)
		}
		return c
	}
	start, startFull := math.NaN(), math.NaN()
	for _, pods := range simple.Values("pods") {
		start = larger(start, at(simple, startBytesPerPod, pods))
	}
	for _, pods := range full.Values("pods") {
		startFull = larger(startFull, at(full, startBytesPerPod, pods))
	}
	return []claim{
		one("heap", "Heap for each Pod of another node", "At most 700 bytes of heap a Pod of another node", 700, " bytes", at(full, heapPerPod, 150_000), math.NaN()),
		one("resident-50000", "Resident at 50,000 Pods, peak included", "Below 100 MiB resident at 50,000 Pods, peak included", 100, " MiB", peakOf(simple, 50_000), peakOf(full, 50_000)),
		one("resident-150000", "Resident at 150,000 Pods, peak included", "Below 200 MiB resident at 150,000 Pods, peak included", 200, " MiB", peakOf(simple, 150_000), peakOf(full, 150_000)),
		one("api-start", "Read from the API server at the start", "At most 100 bytes a Pod read from the API server at the start", 100, " bytes a Pod", start, startFull),
	}
}

// larger is the larger of two numbers of which either may be missing.
func larger(a, b float64) float64 {
	if math.IsNaN(a) || b > a {
		return b
	}
	return a
}
