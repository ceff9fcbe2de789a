package tables

import (
	"context"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

func TestDriftTellsOursFromOthers(t *testing.T) {
	tests := []struct {
		name    string
		windows []window
		strange []uint32
		lost    bool
		want    bool
	}{
		{name: "nothing"},
		{name: "ours", windows: []window{{before: 4, after: 5}}, strange: []uint32{5}},
		{name: "two of ours", windows: []window{{before: 4, after: 5}, {before: 5, after: 6}}, strange: []uint32{5, 6}},
		{name: "others'", windows: []window{{before: 4, after: 5}}, strange: []uint32{6}, want: true},
		{name: "others' while ours ran", windows: []window{{before: 4, after: 6}}, strange: []uint32{5, 6}, want: true},
		{name: "others touched other tables while ours ran", windows: []window{{before: 4, after: 6}}, strange: []uint32{6}},
		{name: "wrapped around", windows: []window{{before: 1<<32 - 1, after: 0}}, strange: []uint32{0}},
		{name: "notices lost", lost: true, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := &Drift{windows: tt.windows, strange: tt.strange, lost: tt.lost}
			if got := d.Check(); got != tt.want {
				t.Errorf("Check() = %v", got)
			}
			if d.Due() || d.Check() {
				t.Error("there is still something to check")
			}
		})
	}
}

func TestDriftSeesOthersButNotUs(t *testing.T) {
	node := netnstest.New(t)
	d, err := NewDrift(node, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go d.Run(ctx)
	for range 3 {
		err := d.Ours(func() error {
			node.NFT("add table inet sluice\ndelete table inet sluice\ntable inet sluice { chain c { drop; }; set s { type ipv4_addr; elements = { 10.0.0.1 }; }; }")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	node.NFT("table inet other { chain c { drop; }; }")
	netnstest.Eventually(t, "our notices have come", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.windows) == 3 && d.windows[0].matched && d.windows[1].matched && d.windows[2].matched
	})
	if d.Check() {
		t.Error("our own transactions, or those on others' tables, were taken for drift")
	}
	for _, change := range [][]string{
		{"add", "rule", "inet", "sluice", "c", "accept"},
		{"flush", "chain", "inet", "sluice", "c"},
		{"delete", "element", "inet", "sluice", "s", "{ 10.0.0.1 }"},
		{"flush", "ruleset"},
	} {
		node.Cmd("nft", change...)
		netnstest.Eventually(t, strings.Join(change, " "), d.Check)
		if by := d.Blamed(); !strings.Contains(by, `"nft" (PID `) {
			t.Errorf("%v: %q is blamed", change, by)
		}
	}
}

func TestDriftKnowsTheTablesOfAllFamilies(t *testing.T) {
	n := netnstest.New(t)
	d, err := NewDrift(n, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		d.Run(ctx)
		close(done)
	}()
	defer func() {
		cancel()
		<-done
	}()
	for _, family := range []string{"inet", "netdev", "bridge"} {
		n.NFT("table " + family + " sluice { }")
		netnstest.Eventually(t, "a change of table "+family+" sluice noticed", d.Check)
		err := d.Ours(func() error {
			return New(n).Transact(context.Background(), knftables.Family(family), []compiler.Op{
				{Object: &compiler.Chain{Name: "c"}}, {Object: &compiler.Counter{Name: "x"}},
			})
		})
		if err != nil {
			t.Errorf("%s: %v", family, err)
		}
	}
	n.NFT("table ip sluice { }\ntable inet other { }")
	time.Sleep(50 * time.Millisecond)
	if d.Check() {
		t.Error("somebody else's tables, or our own changes, count as drift")
	}
}
