package chaos

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/conformance/lab"
)

// ruleset is what nft lists of our tables.
type ruleset struct {
	rules  []listedRule
	filled []listedSet
	// text has a line for each object and each chain's rules, in an order that
	// does not depend on how they came to be.
	text []string
}

type listedRule struct {
	family, chain string
	handle        int
}

// listedSet is a set or map with elements.
type listedSet struct{ family, kind, name string }

// midstreamChain depends on how long ago the first agent came to a bare kernel,
// and not on any object.
const midstreamChain = "midstream"

// readRules lists our tables in a namespace.
func readRules(ns *lab.Namespace) (*ruleset, error) {
	text, err := run(ns, "nft", "-j", "-a", "list", "ruleset")
	if err != nil {
		return nil, err
	}
	return parseRules(text)
}

func parseRules(text string) (*ruleset, error) {
	var list struct {
		Nftables []map[string]map[string]any `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("read nft's JSON: %w", err)
	}
	r := &ruleset{}
	chains := map[string][]string{}
	for _, entry := range list.Nftables {
		for kind, o := range entry {
			family, _ := o["family"].(string)
			if o["table"] != "sluice" && (kind != "table" || o["name"] != "sluice") {
				continue
			}
			name, _ := o["name"].(string)
			switch kind {
			case "rule":
				chain, _ := o["chain"].(string)
				handle, _ := o["handle"].(float64)
				r.rules = append(r.rules, listedRule{family, chain, int(handle)})
				if chain == midstreamChain {
					continue
				}
				line, err := normal(o)
				if err != nil {
					return nil, err
				}
				chains[family+" "+chain] = append(chains[family+" "+chain], withoutEpoch(line))
				continue
			case "set", "map":
				if filledByPackets(o) {
					delete(o, "elem")
				}
				elements, _ := o["elem"].([]any)
				if len(elements) > 0 {
					r.filled = append(r.filled, listedSet{family, kind, name})
				}
				for _, e := range elements {
					line, err := json.Marshal(strip(e))
					if err != nil {
						return nil, err
					}
					r.text = append(r.text, fmt.Sprintf("element of %s %s %s: %s", family, kind, name, line))
				}
				delete(o, "elem")
			}
			line, err := normal(o)
			if err != nil {
				return nil, err
			}
			r.text = append(r.text, kind+" "+line)
		}
	}
	for chain, lines := range chains {
		r.text = append(r.text, "rules of "+chain+":\n  "+strings.Join(lines, "\n  "))
	}
	slices.Sort(r.text)
	return r, nil
}

// filledByPackets: such a set says that it is dynamic, which nft 1.0.6 does not
// tell in JSON; but it is then limited in size or time.
func filledByPackets(o map[string]any) bool {
	return o["size"] != nil || o["timeout"] != nil
}

// normal is an object without what counts and numbers it.
func normal(o map[string]any) (string, error) {
	line, err := json.Marshal(strip(o))
	return string(line), err
}

func strip(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range v {
			switch key {
			case "handle", "packets", "bytes", "expires", "index":
				continue
			}
			out[key] = strip(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = strip(inner)
		}
		return out
	}
	return v
}

var number = regexp.MustCompile(`\b[0-9]+\b`)

// withoutEpoch hides the numbers of a rule about marks: each start of an agent
// has an epoch of its own.
func withoutEpoch(line string) string {
	if !strings.Contains(line, `"key":"mark"`) {
		return line
	}
	return number.ReplaceAllString(line, "#")
}

// differences are the lines that only one of two sorted lists has.
func differences(fresh, found []string) string {
	var out []string
	for len(fresh) > 0 || len(found) > 0 {
		switch {
		case len(found) == 0 || len(fresh) > 0 && fresh[0] < found[0]:
			out, fresh = append(out, "- "+fresh[0]), fresh[1:]
		case len(fresh) == 0 || found[0] < fresh[0]:
			out, found = append(out, "+ "+found[0]), found[1:]
		default:
			fresh, found = fresh[1:], found[1:]
		}
	}
	return strings.Join(out, "\n")
}
