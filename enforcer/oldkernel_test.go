package enforcer

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/conformance/scale"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// oldKernel is a Transactor as kernels before 6.2 are: a chain is in use until the
// transaction has ended that took away the last that referred to it.
type oldKernel struct {
	Transactor
	mu sync.Mutex
	// refers is what each rule and element leads to, by whose it is.
	refers map[string][]string
	// deleted counts chains, refused transactions.
	deleted, refused int
}

func (k *oldKernel) Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error {
	if family == knftables.InetFamily {
		if err := k.take(ops); err != nil {
			return err
		}
	}
	return k.Transactor.Transact(ctx, family, ops)
}

// take applies a transaction to what is known of references, or refuses it.
func (k *oldKernel) take(ops []compiler.Op) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := maps.Clone(k.refers)
	if now == nil {
		now = map[string][]string{}
	}
	held := map[string]bool{}
	for _, chains := range now {
		for _, c := range chains {
			held[c] = true
		}
	}
	deleted := 0
	for _, op := range ops {
		whose, to := referenceOf(op)
		_, isChain := op.Object.(*compiler.Chain)
		switch {
		case op.Verb == compiler.Delete && isChain:
			// Whatever held it before the transaction or within it still does.
			if name := op.Object.(*compiler.Chain).Name; held[name] {
				k.refused++
				return fmt.Errorf("delete chain %s: %w", name, unix.EBUSY)
			}
			deleted++
		case op.Verb == compiler.Add && to != "":
			now[whose] = append(now[whose][:len(now[whose]):len(now[whose])], to)
			held[to] = true
		case op.Verb != compiler.Add:
			for key := range now {
				if key == whose || strings.HasPrefix(key, whose+" ") {
					delete(now, key)
				}
			}
		}
	}
	k.refers, k.deleted = now, k.deleted+deleted
	return nil
}

// referenceOf is under which name the double keeps what op refers to, and to what.
func referenceOf(op compiler.Op) (whose, to string) {
	switch o := op.Object.(type) {
	case *compiler.Table:
		return "", ""
	case *compiler.ChainRule:
		return "rules-of " + o.Chain, chainOf(o.String())
	case *compiler.Chain:
		return "rules-of " + o.Name, ""
	case *compiler.SetElement:
		to := ""
		if o.Value.Do == compiler.DoJump || o.Value.Do == compiler.DoGoto {
			to = o.Value.Name
		}
		return "set " + o.Set.Name + " " + string(o.Key), to
	case *compiler.Set:
		return "set " + o.Name, ""
	}
	return "none", ""
}

func chainOf(text string) string {
	words := strings.Fields(text)
	for i, w := range words[:max(0, len(words)-1)] {
		if w == "jump" || w == "goto" {
			return words[i+1]
		}
	}
	return ""
}

// keyedByAddress is an element of a set of addresses.
func keyedByAddress(set string, value compiler.ValueType, addr string) *compiler.SetElement {
	out := &compiler.SetElement{Set: &compiler.Set{Name: set, Key: compiler.KeyType{compiler.IPv4Addr}, Value: value}}
	out.Key = compiler.Key(netip.MustParseAddr(addr).AsSlice())
	return out
}

// inMap is an element of map m that leads to a chain.
func inMap(chain string) *compiler.SetElement {
	e := keyedByAddress("m", compiler.VerdictValue, "10.0.0.1")
	if chain != "" {
		e.Value = compiler.MapValue{Do: compiler.DoJump, Name: chain}
	}
	return e
}

// The double refuses what such kernels do, and nothing else.
func TestOldKernelRefusesAChainThatWasJustReferredTo(t *testing.T) {
	for what, tc := range map[string]struct {
		ops  [][]compiler.Op
		want bool
	}{
		"an element went in the same transaction": {[][]compiler.Op{{{Verb: compiler.Delete, Object: inMap("")}, {Verb: compiler.Delete, Object: &compiler.Chain{Name: "c"}}}}, false},
		"its map went in the same transaction":    {[][]compiler.Op{{{Verb: compiler.Delete, Object: &compiler.Set{Name: "m", Value: compiler.VerdictValue}}, {Verb: compiler.Delete, Object: &compiler.Chain{Name: "c"}}}}, false},
		"its map went before":                     {[][]compiler.Op{{{Verb: compiler.Delete, Object: &compiler.Set{Name: "m", Value: compiler.VerdictValue}}}, {{Verb: compiler.Delete, Object: &compiler.Chain{Name: "c"}}}}, true},
		"a rule went in the same transaction":     {[][]compiler.Op{{{Verb: compiler.Flush, Object: &compiler.Chain{Name: "r"}}, {Verb: compiler.Delete, Object: &compiler.Chain{Name: "d"}}}}, false},
		"a rule went before":                      {[][]compiler.Op{{{Verb: compiler.Flush, Object: &compiler.Chain{Name: "r"}}}, {{Verb: compiler.Delete, Object: &compiler.Chain{Name: "d"}}}}, true},
	} {
		k := &oldKernel{}
		made := []compiler.Op{
			{Object: inMap("c")},
			{Object: &compiler.ChainRule{Chain: "r", Rule: compiler.Rule{Terms: []compiler.Term{compiler.Goto{Chain: "d"}}}}},
		}
		err := k.take(made)
		for _, ops := range tc.ops {
			if err == nil {
				err = k.take(ops)
			}
		}
		if (err == nil) != tc.want {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Policies and Pods come and go on such a kernel without a refusal, whether what is
// left is deleted at leisure or with the next change.
func TestAgentOnAKernelThatHoldsChainsUntilTheTransactionEnds(t *testing.T) {
	c := newCluster(t, "ptp")
	k := &oldKernel{Transactor: tables.New(c.node)}
	a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.Transactor, cfg.MinInterval = k, -1 })
	a.set(append(c.objects(), allow("web", "web", "front", 80))...)
	before := k.deleted
	for i := range 6 {
		if err := a.source.Set(allow("web", "web", "front", 81+i), allow("more", "front", "bad", 81+i)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			a.settle()
		}
	}
	a.delete(allow("more", "front", "bad", 80))
	a.delete(c.bad.object)
	a.set(c.bad.object, allow("web", "web", "front", 80))
	if k.refused > 0 || valueOf(t, a.metrics.syncFailures) > 0 || valueOf(t, a.metrics.fullReplacements) > 1 {
		t.Errorf("%d refused, %v failures, %v replacements", k.refused, valueOf(t, a.metrics.syncFailures), valueOf(t, a.metrics.fullReplacements))
	}
	if k.deleted == before {
		t.Error("no chain was deleted: nothing was tested")
	}
	c.front.expect(c.web, 80, true)
	c.bad.expect(c.web, 80, false)
}

// A repair deletes in pieces, too.
func TestRepairOnAKernelThatHoldsChainsUntilTheTransactionEnds(t *testing.T) {
	r := newRepairable(t, scale.Cluster{Pods: 300, Namespaces: 12, Policies: 72, LocalPods: 40})
	k := &oldKernel{Transactor: r.syncer.tables}
	r.syncer.tables = k
	if _, err := r.repair(); err != nil {
		t.Fatal(err)
	}
	other := newRepairable(t, scale.Cluster{Pods: 200, Namespaces: 12, Policies: 40, LocalPods: 20})
	other.syncer.ns, other.syncer.tables, other.ns = r.ns, k, r.ns
	if _, err := other.repair(); err != nil || k.refused > 0 {
		t.Errorf("%d refused: %v", k.refused, err)
	}
	if k.deleted == 0 {
		t.Error("no chain was deleted: nothing was tested")
	}
	other.expect("another cluster", other.whole())
}
