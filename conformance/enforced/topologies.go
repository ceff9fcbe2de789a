package enforced

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/conformance/lab"
)

var topologiesFlag = flag.String("sluice.topologies", "",
	"names of topologies, separated by commas, to try whole, or all; if empty, bridge and ptp whole and the others briefly")

// Whole are the topologies that a test is to run in with all that it has.
func Whole(t testing.TB) []lab.Topology {
	t.Helper()
	whole, err := wholeOf(*topologiesFlag)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// Brief are those that a test is to run in with a selection: what tells them apart, and
// as much of the rest as takes a few seconds. If some were named, there are none.
func Brief(t testing.TB) []lab.Topology {
	t.Helper()
	if *topologiesFlag != "" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(lab.Topologies), func(one lab.Topology) bool { return slices.Contains(lab.Everyday, one) })
}

func wholeOf(names string) ([]lab.Topology, error) {
	switch names {
	case "":
		return lab.Everyday, nil
	case "all":
		return lab.Topologies, nil
	}
	var out []lab.Topology
	for name := range strings.SplitSeq(names, ",") {
		at := slices.IndexFunc(lab.Topologies, func(one lab.Topology) bool { return one.String() == name })
		if at < 0 {
			return nil, fmt.Errorf("choose topologies: %q is none; there are %v", name, lab.Topologies)
		}
		out = append(out, lab.Topologies[at])
	}
	return out, nil
}
