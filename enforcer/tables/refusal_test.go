package tables

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
	"github.com/sluice-net/sluice/enforcer/nftwire"
)

// A refusal says which operation the kernel refused, and what of it.
func TestRefusalNamesTheOperation(t *testing.T) {
	n := netnstest.New(t)
	n.NFT("table inet sluice { chain c { }; chain d { jump c; }; }")
	tables := New(n)
	defer func() { _ = tables.Close() }()
	ops := []compiler.Op{
		{Verb: compiler.Add, Object: &compiler.Counter{Name: "fine"}},
		{Verb: compiler.Delete, Object: &compiler.Counter{Name: "missing"}},
		{Verb: compiler.Add, Object: &compiler.Counter{Name: "fine-too"}},
	}
	err := tables.Transact(context.Background(), knftables.InetFamily, ops)
	var refused *nftwire.Refusal
	if !errors.As(err, &refused) || refused.Op == nil || *refused.Op != ops[1] {
		t.Fatalf("refused: %v", err)
	}
	if !IsNotFound(err) || !strings.Contains(err.Error(), "delete counter missing") {
		t.Errorf("got %v", err)
	}
	// What is in use is not missing, and the error says so.
	err = tables.Transact(context.Background(), knftables.InetFamily, []compiler.Op{{Verb: compiler.Delete, Object: &compiler.Chain{Name: "c"}}})
	if !errors.Is(err, unix.EBUSY) || IsNotFound(err) || !strings.Contains(err.Error(), "delete chain c") {
		t.Errorf("a chain in use: %v", err)
	}
}

// Only the kernel says whether an interface is gone: "not found" may be about
// anything else in the transaction.
func TestInterfaceGoneIsAskedOfTheKernel(t *testing.T) {
	n := netnstest.New(t)
	n.IP("link add there type bridge")
	missingChain := &nftwire.Refusal{Errno: unix.ENOENT, Culprit: []byte("guard-in\x00")}
	device := func(name string) error { return &nftwire.Refusal{Errno: unix.ENOENT, Culprit: []byte(name + "\x00")} }
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
		if got, err := InterfaceGone(n, tc.name, tc.err); got != tc.want || err != nil {
			t.Errorf("%s, %v: gone %v, %v", tc.name, tc.err, got, err)
		}
	}
}

// notFound is nft's answer about a device that is gone.
func notFound(t *testing.T) error {
	t.Helper()
	fake := knftables.NewFake(knftables.NetDevFamily, "x")
	tx := fake.NewTransaction()
	tx.Delete(&knftables.Table{})
	err := fake.Run(context.Background(), tx)
	if !knftables.IsNotFound(err) {
		t.Fatalf("the fake answers %v", err)
	}
	return err
}
