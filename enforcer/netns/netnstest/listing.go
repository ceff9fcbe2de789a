package netnstest

import (
	"encoding/json"
	"slices"
	"strings"
)

// Listing is all of a table of the namespace, an object a line, but for handles and the
// order of elements, which is the kernel's.
func (n NS) Listing(family, table string) []string {
	n.T.Helper()
	var all struct{ Nftables []map[string]any }
	if err := json.Unmarshal([]byte(n.Cmd("nft", "-j", "list", "table", family, table)), &all); err != nil {
		n.T.Fatal(err)
	}
	var out []string
	for _, object := range all.Nftables {
		for kind, content := range object {
			fields := content.(map[string]any)
			delete(fields, "handle")
			if list, ok := fields["elem"].([]any); ok {
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(n.text(a), n.text(b)) })
			}
			out = append(out, kind+" "+n.text(fields))
		}
	}
	return out
}

func (n NS) text(v any) string {
	n.T.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		n.T.Fatal(err)
	}
	return string(out)
}
