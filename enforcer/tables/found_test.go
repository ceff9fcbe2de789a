package tables

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
	"github.com/sluice-net/sluice/enforcer/nftwire"
)

const earlierRules = `table inet sluice { chain judged { ct mark set ct mark & 0x00ffcfff | 0x05000000 accept; }; }
table netdev sluice { chain guard { }; }
table ip other { chain x { }; }`

func TestPredecessorReadsTheEpochInForce(t *testing.T) {
	node := netnstest.New(t)
	left, err := ReadPredecessor(node)
	if err != nil || left.Main || left.Guards {
		t.Fatalf("empty namespace: %+v, %v", left, err)
	}
	node.NFT(earlierRules)
	if left, err = ReadPredecessor(node); err != nil {
		t.Fatal(err)
	}
	if !left.Main || left.Mask != compiler.DefaultMask || left.Mark != 0x05000000 || !left.Guards {
		t.Errorf("got %+v", left)
	}
}

// A set that vanishes between the list and its reading is an error, and not empty.
func TestReadbackDoesNotTakeAMissingSetForAnEmptyOne(t *testing.T) {
	node := netnstest.New(t)
	socket, err := nftwire.Open(node)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	read := socket.Read(unix.NFPROTO_INET)
	if found, err := read.Found(); err != nil || len(found.Sets) > 0 {
		t.Errorf("without a table: %+v, %v", found.Sets, err)
	}
	node.NFT("table inet sluice { set local-v4 { type ipv4_addr; elements = { 10.0.0.1 }; }; }")
	if e, err := read.Elements(&compiler.Set{Name: "local-v4", Key: compiler.KeyType{compiler.IPv4Addr}}); err != nil || len(e) != 1 {
		t.Errorf("elements %v, %v", e, err)
	}
	if e, err := read.Elements(&compiler.Set{Name: "local-v6", Key: compiler.KeyType{compiler.IPv6Addr}}); err == nil {
		t.Errorf("a set that is not there has elements %v", e)
	}
}

// Rules of somebody else in our chain do not say which bits are ours.
func TestPredecessorKnowsOnlyWhatSetsTheMark(t *testing.T) {
	node := netnstest.New(t)
	for rules, want := range map[string]Predecessor{
		"":                                       {Main: true},
		"chain judged { }; chain midstream { };": {Main: true, Grace: true},
		"chain judged { }; chain midstream { accept; };":                                              {Main: true},
		"chain judged { meta mark set meta mark & 0xff00ffff | 0x00ab0000; };":                        {Main: true},
		"chain judged { ct mark & 0x00ff0000 == 0x00ab0000 accept; };":                                {Main: true},
		"chain other { ct mark set ct mark & 0x00ffcfff | 0x05000000 accept; };":                      {Main: true},
		"chain judged { ct mark set ct mark & 0x00ffcfff | 0x05000000; }; chain midstream { drop; };": {Main: true, Mask: compiler.DefaultMask, Mark: 0x05000000},
	} {
		node.NFT("table inet sluice\ndelete table inet sluice\ntable inet sluice { " + rules + " }")
		if got, err := ReadPredecessor(node); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", rules, got, err, want)
		}
	}
}
