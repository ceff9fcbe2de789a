package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/enforcer/nodestatus"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy"
)

// book is a ledger that a test writes.
type book struct {
	*Ledger
	t *testing.T
}

func newBook(t *testing.T) book {
	return book{New(func() time.Time { return time.Unix(100, 0) }), t}
}

var someOutlook = Outlook{Here: func(p *policy.Pod) bool { return p.Node == "here" }, Invalid: func(source.Key) string { return "" }}

// mail makes events of words: "policy:shop/db@u1.7" is version 7 of the policy with UID u1,
// "-policy:shop/db@u1.8" its deletion, and what stands behind + are versions that it
// jumped over.
func (b book) mail(words ...string) map[source.Key]source.Event {
	b.t.Helper()
	out := map[source.Key]source.Event{}
	for _, word := range words {
		word, earlier, _ := strings.Cut(word, "+")
		word, deleted := strings.CutPrefix(word, "-")
		kind, rest, _ := strings.Cut(word, ":")
		name, version, _ := strings.Cut(rest, "@")
		of := func(text string) source.Version {
			uid, rv, _ := strings.Cut(text, ".")
			return source.Version{UID: types.UID(uid), ResourceVersion: rv}
		}
		e := source.Event{Deleted: deleted, Name: nameOf(name), Version: of(version)}
		for _, text := range strings.Fields(strings.ReplaceAll(earlier, "+", " ")) {
			e.Earlier = append(e.Earlier, of(text))
		}
		switch kind {
		case "policy":
			e.Kind = source.PolicyEvent
		case "pod", "localpod":
			e.Kind = source.PodEvent
			if !deleted {
				e.Pod = &policy.Pod{NamespacedName: e.Name, UID: e.Version.UID}
			}
			if kind == "localpod" {
				e.Pod.Node = "here"
			}
		case "ns":
			e.Kind = source.NamespaceEvent
		default:
			b.t.Fatalf("%q", word)
		}
		out[source.Key{Kind: e.Kind, Name: e.Name}] = e
	}
	return out
}

func nameOf(text string) types.NamespacedName {
	namespace, name, both := strings.Cut(text, "/")
	if !both {
		return types.NamespacedName{Name: namespace}
	}
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func (b book) round(words ...string) {
	b.t.Helper()
	b.Begin()
	b.TakeRound(b.mail(words...), someOutlook)
}

// expect asks for versions, written as above, and deletions of UIDs.
func (b book) expect(want nodestatus.State, words ...string) {
	b.t.Helper()
	for key, e := range b.mail(words...) {
		w := nodestatus.Wait{Name: key.Name, UID: e.Version.UID, ResourceVersion: e.Version.ResourceVersion, Deleted: e.Deleted}
		for k, of := range kindOfObject {
			if of == key.Kind {
				w.Kind = k
			}
		}
		if got, why := b.Answer(w); got != want {
			b.t.Errorf("%v: %s (%s), want %s", words, got, why, want)
		}
	}
}

func TestLedgerIsNeverEarly(t *testing.T) {
	b := newBook(t)
	b.round("policy:shop/db@u.1")
	b.expect(nodestatus.Pending, "policy:shop/db@u.1")
	b.round("policy:shop/web@v.2", "ns:shop@n.1", "pod:shop/far@p.3") // more of it comes before the first commit
	b.expect(nodestatus.Pending, "policy:shop/db@u.1", "ns:shop@n.1")
	b.Enforced(true)
	b.expect(nodestatus.Enforced, "policy:shop/db@u.1")
	b.expect(nodestatus.Enforced, "policy:shop/web@v.2")
	b.expect(nodestatus.Enforced, "ns:shop@n.1")
	b.expect(nodestatus.Enforced, "pod:shop/far@p.3")
	b.expect(nodestatus.Other, "policy:shop/db@u.4", "pod:shop/far@p.4")

	// What is in the kernel stays so while the next version fails, and that is not.
	b.round("policy:shop/db@u.5")
	b.expect(nodestatus.Enforced, "policy:shop/db@u.1")
	b.expect(nodestatus.Pending, "policy:shop/db@u.5")
	b.round("policy:shop/db@u.6") // it failed
	b.expect(nodestatus.Enforced, "policy:shop/db@u.1")
	b.expect(nodestatus.Pending, "policy:shop/db@u.5")
	b.expect(nodestatus.Pending, "policy:shop/db@u.6")
	b.Enforced(true)
	b.expect(nodestatus.Enforced, "policy:shop/db@u.5")
	b.expect(nodestatus.Enforced, "policy:shop/db@u.6")

	// Versions that nobody took are in force when a later one is.
	b.round("policy:shop/db@u.9+u.7+u.8")
	b.expect(nodestatus.Pending, "policy:shop/db@u.7")
	b.Enforced(true)
	b.expect(nodestatus.Enforced, "policy:shop/db@u.7")
	b.expect(nodestatus.Enforced, "policy:shop/db@u.8")
	b.expect(nodestatus.Other, "policy:shop/db@u.10")
}

func TestLedgerKnowsWhatWasDeleted(t *testing.T) {
	b := newBook(t)
	b.round("policy:shop/db@u.1", "ns:shop@n.1")
	b.Enforced(true)
	b.expect(nodestatus.Pending, "-policy:shop/db@u.")
	b.expect(nodestatus.Absent, "policy:shop/none@x.1")
	b.expect(nodestatus.Absent, "-policy:shop/none@x.")
	b.expect(nodestatus.Absent, "-policy:shop/none@.")
	b.expect(nodestatus.Pending, "-policy:shop/db@.")
	b.round("-policy:shop/db@u.2")
	b.expect(nodestatus.Pending, "-policy:shop/db@u.")
	// It is made anew before that is in the kernel: neither is then.
	b.round("policy:shop/db@w.3")
	b.expect(nodestatus.Pending, "-policy:shop/db@u.")
	b.expect(nodestatus.Pending, "policy:shop/db@w.3")
	b.Enforced(true)
	b.expect(nodestatus.Enforced, "-policy:shop/db@u.")
	b.expect(nodestatus.Enforced, "policy:shop/db@w.3")
	b.expect(nodestatus.Pending, "-policy:shop/db@.")
	b.expect(nodestatus.Gone, "policy:shop/db@u.1")
	b.expect(nodestatus.Other, "policy:shop/db@x.1")
	b.round("-policy:shop/db@w.4")
	b.Enforced(true)
	b.expect(nodestatus.Gone, "policy:shop/db@w.3")
	b.expect(nodestatus.Enforced, "-policy:shop/db@w.")
	b.expect(nodestatus.Enforced, "-policy:shop/db@.")
	// A list that does not have it any more knows no version.
	b.round("-ns:shop@.")
	b.Enforced(true)
	b.expect(nodestatus.Enforced, "-ns:shop@n.")
}

// What overtakes a large plan is in force before it, but not where it says the same as
// something that is still to come.
func TestLedgerWhatOvertakes(t *testing.T) {
	b := newBook(t)
	b.round()
	b.Enforced(false)
	b.round("policy:shop/huge@h.1", "pod:shop/a@a.1")
	first := b.TakeBetween(b.mail("policy:shop/small@s.1", "pod:shop/a@a.2"), someOutlook)
	b.expect(nodestatus.Pending, "policy:shop/small@s.1")
	second := b.TakeBetween(b.mail("policy:shop/other@o.1"), someOutlook)
	third := b.TakeBetween(b.mail("policy:shop/other@o.2"), someOutlook) // as o.1, which waits
	b.Overtook(first)
	b.Overtook(third)
	b.expect(nodestatus.Enforced, "policy:shop/small@s.1")
	for _, word := range []string{"policy:shop/huge@h.1", "pod:shop/a@a.1", "pod:shop/a@a.2", "policy:shop/other@o.1", "policy:shop/other@o.2"} {
		b.expect(nodestatus.Pending, word)
	}
	// The plan fails, and the next round replaces everything.
	b.round("policy:shop/late@l.1")
	b.Resolved([]policy.SubjectChange{{Pod: nameOf("shop/x"), Now: &policy.Subject{Pod: nameOf("shop/x")}}})
	b.expect(nodestatus.Pending, "policy:shop/late@l.1")
	var n nodestatus.Node
	b.Fill(nodestatus.Query{}, &n)
	if len(n.Pods) != 1 || n.Pods[0].Enforced {
		t.Errorf("%+v", n.Pods)
	}
	b.Enforced(true)
	for _, word := range []string{"policy:shop/huge@h.1", "pod:shop/a@a.2", "policy:shop/other@o.1", "policy:shop/late@l.1"} {
		b.expect(nodestatus.Enforced, word)
	}
	if _, open := b.open[second]; open || len(b.open) != 0 || len(b.fresh) != 0 {
		t.Errorf("left: %v, %v", b.open, b.fresh)
	}
}

func TestLedgerWaitsForAPodsAddresses(t *testing.T) {
	b := newBook(t)
	b.round("localpod:shop/web@w.1")
	b.Enforced(true)
	b.expect(nodestatus.Pending, "pod:shop/web@w.1")
	b.round("localpod:shop/web@w.2")
	web := &policy.Subject{Pod: nameOf("shop/web"), UID: "w", Ingress: &policy.AllowSet{Policies: []types.NamespacedName{nameOf("shop/db")}}}
	b.Resolved([]policy.SubjectChange{{Pod: web.Pod, Now: web}})
	b.expect(nodestatus.Pending, "pod:shop/web@w.2")
	b.expect(nodestatus.Pending, "pod:shop/web@w.1")
	b.Enforced(true)
	b.expect(nodestatus.Enforced, "pod:shop/web@w.1")
	b.expect(nodestatus.Enforced, "pod:shop/web@w.2")
	if !b.Isolates(nodestatus.PolicyObject, nameOf("shop/db"), web.Pod) || b.Isolates(nodestatus.PolicyObject, nameOf("shop/other"), web.Pod) {
		t.Error("which policies concern the Pod is not known")
	}
	b.round("-pod:shop/web@w.3")
	b.Resolved([]policy.SubjectChange{{Pod: web.Pod}})
	b.Enforced(true)
	if len(b.residents) != 0 {
		t.Errorf("left: %v", b.residents)
	}
	// A list that has the same again changes nothing, nor since when it is so.
	b.round("policy:shop/db@u.1")
	b.Enforced(true)
	b.now = func() time.Time { return time.Unix(200, 0) }
	b.round("policy:shop/db@u.1")
	b.expect(nodestatus.Enforced, "policy:shop/db@u.1")
	b.Enforced(true)
	if since := b.policies[nameOf("shop/db")].since; since.Unix() != 100 {
		t.Errorf("since %v", since)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	b := newBook(t)
	for i := range 3 * mostPassed {
		b.round(fmt.Sprintf("policy:shop/db@u.%d", i))
		b.Enforced(true)
	}
	if len(b.passed.numbers) != mostPassed || len(b.passed.ring) != mostPassed || len(b.taken) != 1 {
		t.Errorf("%d versions and %d in the ring", len(b.passed.numbers), len(b.passed.ring))
	}
	b.expect(nodestatus.Enforced, fmt.Sprintf("policy:shop/db@u.%d", 3*mostPassed-1))
	b.expect(nodestatus.Enforced, fmt.Sprintf("policy:shop/db@u.%d", 3*mostPassed-2))
	b.expect(nodestatus.Other, "policy:shop/db@u.1") // forgotten, and never taken for enforced
}

func BenchmarkLedgerTake(b *testing.B) {
	l := New(time.Now)
	events := map[source.Key]source.Event{}
	for i := range 1000 {
		name := types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("web-%d", i)}
		events[source.Key{Kind: source.PodEvent, Name: name}] = source.Event{
			Kind: source.PodEvent, Name: name, Pod: &policy.Pod{}, Version: source.Version{UID: types.UID(fmt.Sprint("uid-", i))},
		}
	}
	for b.Loop() {
		l.Begin()
		l.TakeRound(events, someOutlook)
		l.Enforced(true)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}
