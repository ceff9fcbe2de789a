package enforcer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
)

// A refusal says which operation the kernel refused, and what of it.
func TestRefusalNamesTheOperation(t *testing.T) {
	n := newNS(t)
	n.nft("table inet sluice { chain c { }; chain d { jump c; }; }")
	tables := newTables(n, func(string) {})
	defer func() { _ = tables.Close() }()
	ops := []compiler.Op{
		{Verb: compiler.Add, Object: &knftables.Counter{Name: "fine"}},
		{Verb: compiler.Delete, Object: &knftables.Counter{Name: "missing"}},
		{Verb: compiler.Add, Object: &knftables.Counter{Name: "fine-too"}},
	}
	err := tables.Transact(context.Background(), knftables.InetFamily, ops)
	var refused *refusal
	if !errors.As(err, &refused) || refused.op == nil || *refused.op != ops[1] {
		t.Fatalf("refused: %v", err)
	}
	if !isNotFound(err) || !strings.Contains(err.Error(), "delete counter missing") {
		t.Errorf("got %v", err)
	}
	// What is in use is not missing, and the error says so.
	err = tables.Transact(context.Background(), knftables.InetFamily, []compiler.Op{{Verb: compiler.Delete, Object: &knftables.Chain{Name: "c"}}})
	if !errors.Is(err, unix.EBUSY) || isNotFound(err) || !strings.Contains(err.Error(), "delete chain c") {
		t.Errorf("a chain in use: %v", err)
	}
}

// Only the kernel says whether an interface is gone: "not found" may be about
// anything else in the transaction.
func TestInterfaceGoneIsAskedOfTheKernel(t *testing.T) {
	n := newNS(t)
	n.ip("link add there type bridge")
	missingChain := &refusal{errno: unix.ENOENT, culprit: []byte("guard-in\x00")}
	device := func(name string) error { return &refusal{errno: unix.ENOENT, culprit: []byte(name + "\x00")} }
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"there", nil, false},
		{"there", notFound(t), false},
		{"there", device("there"), false},
		{"gone", notFound(t), true},
		{"gone", device("gone"), true},
		{"gone", missingChain, false},
		{"gone", unix.ENODEV, true},
		{"gone", fmt.Errorf("change guard: %w", unix.EINVAL), false},
		{"gone", errors.New("no"), false},
	} {
		if got, err := interfaceGone(n, tc.name, tc.err); got != tc.want || err != nil {
			t.Errorf("%s, %v: gone %v, %v", tc.name, tc.err, got, err)
		}
	}
}
