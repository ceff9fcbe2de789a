package report

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy/connectivity"
)

// names are what ends are called.
type names struct {
	ends []connectivity.End
	// each are the names of an end: of its workloads, or of its ranges.
	each [][]string
	// total counts the names of each namespace, outside the ends of that kind.
	total          map[string]int
	outside, nodes []int
	// whole: a name says all of its ranges, however many.
	whole bool
}

// newWholeNames are for data: nothing is left out of them.
func newWholeNames(ends []connectivity.End) *names {
	n := newNames(ends)
	n.whole = true
	return n
}

func newNames(ends []connectivity.End) *names {
	n := &names{ends: ends, each: make([][]string, len(ends)), total: map[string]int{}}
	kinds := map[[2]string]map[string]bool{}
	times := map[string]int{}
	for i := range ends {
		for _, w := range ends[i].Workloads {
			key := [2]string{w.Namespace, w.Name}
			if kinds[key] == nil {
				kinds[key] = map[string]bool{}
			}
			kinds[key][w.Kind] = true
			times[w.String()]++
		}
	}
	for i := range ends {
		e := &ends[i]
		switch e.Kind {
		case connectivity.Outside:
			n.outside = append(n.outside, i)
			n.each[i] = rangeNames(e.Ranges)
			continue
		case connectivity.Nodes:
			n.nodes = append(n.nodes, i)
			n.each[i] = rangeNames(e.Ranges)
			continue
		}
		for _, w := range e.Workloads {
			name := w.Namespace + "/" + w.Name
			if len(kinds[[2]string{w.Namespace, w.Name}]) > 1 {
				name = kindWord(w.Kind) + "/" + name
			}
			if times[w.String()] > 1 {
				name += apart(e)
			}
			if e.Kind == connectivity.HostNetwork {
				name += " (host network)"
			} else {
				n.total[e.Namespace]++
			}
			n.each[i] = append(n.each[i], name)
		}
		if len(e.Workloads) == 0 {
			n.each[i] = []string{e.String()}
		}
	}
	return n
}

// apart tells an end from another one of the same workload.
func apart(e *connectivity.End) string {
	if len(e.Addrs) > 0 {
		text := "[" + e.Addrs[0].String()
		if len(e.Addrs) > 1 {
			text += fmt.Sprintf(" and %d more", len(e.Addrs)-1)
		}
		return text + "]"
	}
	var labels []string
	for k, v := range e.Labels {
		labels = append(labels, k+"="+v)
	}
	slices.Sort(labels)
	return "[" + strings.Join(labels, ",") + "]"
}

// kindWord is kubectl's short word for a kind.
func kindWord(kind string) string {
	words := map[string]string{
		"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds", "ReplicaSet": "rs", "ReplicationController": "rc",
	}
	if word := words[kind]; word != "" {
		return word
	}
	return strings.ToLower(kind)
}

// of are the names of all of some ends: in their order, what is outside last, each
// range by itself unless they are all of their kind.
func (n *names) of(ends []int) []string {
	var out []string
	for _, e := range ends {
		switch n.ends[e].Kind {
		case connectivity.Outside, connectivity.Nodes:
		default:
			out = append(out, n.each[e]...)
		}
	}
	given, missing := n.split(ends, n.nodes)
	out = append(out, eachRange(given, missing, "nodes", "nodes ")...)
	given, missing = n.split(ends, n.outside)
	return append(out, eachRange(given, missing, connectivity.Internet, "")...)
}

// eachRange is the word where no range is missing, and else the ranges.
func eachRange(given, missing []connectivity.AddrRange, word, prefix string) []string {
	if len(given) > 0 && len(missing) == 0 {
		return []string{word}
	}
	out := rangeNames(joined(given))
	for i := range out {
		out[i] = prefix + out[i]
	}
	return out
}

// split are the ranges of those ends that are among some, and those of the others.
func (n *names) split(ends, all []int) (given, missing []connectivity.AddrRange) {
	for _, e := range all {
		if slices.Contains(ends, e) {
			given = append(given, n.ends[e].Ranges...)
		} else {
			missing = append(missing, n.ends[e].Ranges...)
		}
	}
	return given, missing
}

// name is what one end is called.
func (n *names) name(end int) string { return n.short([]int{end}) }

// few is how many of a namespace's workloads are named as those that are not meant.
const few = 3

// short names ends in few words: the workloads of a namespace together, all of them as
// "shop/*", and all but a few as "shop/* but shop/db".
func (n *names) short(ends []int) string {
	var out []string
	byNamespace := map[string][]string{}
	var namespaces, hosts []string
	count := 0
	for _, e := range ends {
		switch n.ends[e].Kind {
		case connectivity.Outside, connectivity.Nodes:
		case connectivity.HostNetwork:
			hosts = append(hosts, n.each[e]...)
		default:
			ns := n.ends[e].Namespace
			if byNamespace[ns] == nil {
				namespaces = append(namespaces, ns)
			}
			byNamespace[ns] = append(byNamespace[ns], n.each[e]...)
			count += len(n.each[e])
		}
	}
	all := 0
	for _, t := range n.total {
		all += t
	}
	slices.Sort(namespaces)
	switch {
	case count == all && count > 3 && len(n.total) > 1:
		out = append(out, "every workload")
	default:
		for _, ns := range namespaces {
			out = append(out, n.inNamespace(ns, byNamespace[ns]))
		}
	}
	out = append(out, hosts...)
	if text := n.ranges(ends, connectivity.Nodes, n.nodes, "nodes"); text != "" {
		out = append(out, text)
	}
	if text := n.ranges(ends, connectivity.Outside, n.outside, connectivity.Internet); text != "" {
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func (n *names) inNamespace(ns string, list []string) string {
	total := n.total[ns]
	switch left := total - len(list); {
	case left == 0 && total > few:
		return ns + "/*"
	case left > 0 && left <= few && len(list) > 2*left:
		return ns + "/* but " + strings.Join(n.others(ns, list), " and ")
	}
	return strings.Join(list, ", ")
}

// others are the names of a namespace that are not in a list.
func (n *names) others(ns string, list []string) []string {
	var out []string
	for i := range n.ends {
		if n.ends[i].Namespace != ns || n.ends[i].Kind != connectivity.Pods {
			continue
		}
		for _, name := range n.each[i] {
			if !slices.Contains(list, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// ranges names those of a kind: as a word where they are all, and as all but some
// where that is shorter.
func (n *names) ranges(ends []int, kind connectivity.EndKind, all []int, word string) string {
	given, missing := n.split(ends, all)
	if len(given) == 0 {
		return ""
	}
	text := n.allBut(given, missing, word)
	if kind == connectivity.Nodes && !strings.HasPrefix(text, word) {
		return word + " " + text
	}
	return text
}

// allBut names ranges: by the word if they are all, and as all but those that are
// missing where that is shorter.
func (n *names) allBut(given, missing []connectivity.AddrRange, word string) string {
	given, missing = joined(given), joined(missing)
	switch {
	case len(missing) == 0:
		return word
	case len(missing) < len(given) || whole(missing) < whole(given):
		return word + " but " + strings.ReplaceAll(n.rangeText(rangeNames(missing)), ", ", " and ")
	}
	return n.rangeText(rangeNames(given))
}

// outsideText names some of the ranges outside.
func (n *names) outsideText(given []connectivity.AddrRange) string {
	in := map[connectivity.AddrRange]bool{}
	var missing []connectivity.AddrRange
	for _, e := range n.outside {
		for _, r := range n.ends[e].Ranges {
			if !slices.ContainsFunc(given, func(g connectivity.AddrRange) bool {
				return g.First.Compare(r.First) <= 0 && r.Last.Compare(g.Last) <= 0 && g.First.Is4() == r.First.Is4()
			}) && !in[r] {
				in[r] = true
				missing = append(missing, r)
			}
		}
	}
	return n.allBut(given, missing, connectivity.Internet)
}

// whole counts the ranges that are no CIDR.
func whole(list []connectivity.AddrRange) int {
	n := 0
	for _, r := range list {
		if !strings.Contains(r.String(), "/") {
			n++
		}
	}
	return n
}

// mostRanges is how many ranges a text names.
const mostRanges = 6

func (n *names) rangeText(list []string) string {
	if len(list) > mostRanges && !n.whole {
		return strings.Join(list[:mostRanges], ", ") + fmt.Sprintf(" and %d ranges more", len(list)-mostRanges)
	}
	return strings.Join(list, ", ")
}

func rangeNames(list []connectivity.AddrRange) []string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = r.String()
	}
	return out
}

// joined sorts ranges and joins those between which there is nothing.
func joined(list []connectivity.AddrRange) []connectivity.AddrRange {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b connectivity.AddrRange) int { return a.First.Compare(b.First) })
	var out []connectivity.AddrRange
	for _, r := range sorted {
		if last := len(out) - 1; last >= 0 && out[last].First.Is4() == r.First.Is4() && !after(out[last].Last).Less(r.First) {
			if out[last].Last.Less(r.Last) {
				out[last].Last = r.Last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// after is the next address; the last one of all is its own.
func after(a netip.Addr) netip.Addr {
	if next := a.Next(); next.IsValid() {
		return next
	}
	return a
}
