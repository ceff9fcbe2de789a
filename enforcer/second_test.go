package enforcer

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// Many Pods with second interfaces do not make many lines.
func TestSecondConditionsAreBounded(t *testing.T) {
	found := map[types.NamespacedName][]string{}
	for i := range mostConflicts + 5 {
		found[types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("pod-%03d", i)}] = []string{"sec0 of the node leads to it"}
	}
	got := secondConditions(found)
	if len(got) != mostConflicts+1 || !strings.Contains(got[mostConflicts].Message, "5 more Pods") {
		t.Errorf("%d conditions, the last is %v", len(got), got[len(got)-1])
	}
	for _, c := range got {
		if c.What != secondKind || c.NotReady() {
			t.Errorf("%+v", c)
		}
	}
}
