package enforcer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// secondKind is the condition that tells of the Pods' other interfaces (see
// [links.Links.Seconds]).
const secondKind = "SecondInterface"

// secondConditions tell of Pods with other interfaces, of some by name if there are many.
func secondConditions(found map[types.NamespacedName][]string) []Condition {
	var out []Condition
	names := slices.SortedFunc(maps.Keys(found), policy.CompareNames)
	for i, name := range names {
		if i == mostConflicts {
			return append(out, Condition{
				What: secondKind, Object: "other Pods",
				Message: fmt.Sprintf("%d more Pods have other interfaces than the one that policies are enforced on", len(names)-i),
			})
		}
		out = append(out, Condition{
			What: secondKind, Object: "Pod " + name.String(),
			Message: "policies are enforced on the interface of the addresses that the API knows, and not on another one: " + strings.Join(found[name], ", "),
			Mend:    "leave it if its network needs no policies, or have them from whatever made it",
		})
	}
	return out
}
