package app

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/policy/manifest"
)

// noticeFlags say how much is said of the input.
type noticeFlags struct{ verbose, quiet bool }

func (n *noticeFlags) add(flags *pflag.FlagSet) {
	flags.BoolVarP(&n.verbose, "verbose", "v", false, "list every notice about the input, not one line for each kind")
	flags.BoolVarP(&n.quiet, "quiet", "q", false, "no notices about the input, only errors")
}

// changesVerdicts are the notices that a reader of a verdict must know.
var changesVerdicts = []manifest.Topic{manifest.NotGiven, manifest.Replaced, ""}

// report prints what is wrong with the input, and says whether any of it is an error:
// errors, then the notices that change verdicts, then the others, those of a kind as
// one line.
func (n *noticeFlags) report(w io.Writer, problems []manifest.Problem) (bad bool) {
	byTopic := map[manifest.Topic][]manifest.Problem{}
	for _, p := range problems {
		if !p.Notice {
			bad = true
			fmt.Fprintf(w, "error: %s\n", p)
			continue
		}
		byTopic[p.Topic] = append(byTopic[p.Topic], p)
	}
	if n.quiet {
		return bad
	}
	for _, topic := range append(slices.Clone(changesVerdicts), manifest.NoAddress, manifest.OtherKind, manifest.Foreign) {
		list := byTopic[topic]
		switch {
		case len(list) == 0:
		case n.verbose || topic == "" && len(list) <= mostNotices || len(list) == 1 && topic != manifest.OtherKind:
			for _, p := range list {
				fmt.Fprintln(w, p)
			}
		default:
			fmt.Fprintln(w, "notice: "+together(topic, list)+" (-v lists them)")
		}
	}
	return bad
}

// mostNotices of no kind that comes in numbers are listed.
const mostNotices = 10

// together is many notices as one.
func together(topic manifest.Topic, list []manifest.Problem) string {
	switch topic {
	case manifest.NotGiven:
		return fmt.Sprintf("%d Namespaces are not given, and taken to have no label but kubernetes.io/metadata.name: %s", len(list), someNames(list))
	case manifest.Replaced:
		return fmt.Sprintf("%d objects replace earlier ones of their names that differ: %s", len(list), someNames(list))
	case manifest.NoAddress:
		return fmt.Sprintf("%d Pods have no address yet: what hangs on it is answered as depending", len(list))
	case manifest.OtherKind:
		return fmt.Sprintf("skipped %s of kinds that say nothing here: %s", count(len(list), "object", "objects"), countedKinds(list))
	case manifest.Foreign:
		return fmt.Sprintf("skipped %d documents that are no Kubernetes objects, the first at %s", len(list), list[0].Source)
	}
	return fmt.Sprintf("%d more, such as: %s", len(list), list[0])
}

// someNames names a few of the objects.
func someNames(list []manifest.Problem) string {
	var out []string
	for _, p := range list[:min(4, len(list))] {
		out = append(out, strings.TrimPrefix(p.Object, "Namespace "))
	}
	if more := len(list) - 4; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}

// countedKinds counts the objects of each kind, the most first.
func countedKinds(list []manifest.Problem) string {
	counts := map[string]int{}
	var names []string
	for _, p := range list {
		kind, _, _ := strings.Cut(p.Object, " ")
		if counts[kind] == 0 {
			names = append(names, kind)
		}
		counts[kind]++
	}
	slices.SortStableFunc(names, func(a, b string) int { return counts[b] - counts[a] })
	var out []string
	for _, name := range names[:min(6, len(names))] {
		out = append(out, fmt.Sprintf("%s %d", name, counts[name]))
	}
	if more := len(names) - 6; more > 0 {
		out = append(out, fmt.Sprintf("and %s more", count(more, "kind", "kinds")))
	}
	return strings.Join(out, ", ")
}
