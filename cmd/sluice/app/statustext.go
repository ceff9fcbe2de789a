package app

import (
	"bytes"
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// write writes the report for people: what is wrong first.
func (r *statusReport) write(b *bytes.Buffer, p palette, objects bool) {
	r.writeProblems(b, p)
	rows := [][]string{{"NODE", "READY", "CHANGED", "GENERATION", "PODS", "POLICIES", "VERSION", "POD START"}}
	for _, n := range r.Nodes {
		ready := "yes"
		if !n.Ready {
			ready = "no"
		}
		rows = append(rows, []string{
			cmp.Or(n.Node, "(this)"), ready, ago(n.Time, n.Since), strconv.FormatUint(n.Generation, 10),
			strconv.Itoa(n.Objects.Pods), strconv.Itoa(n.Objects.Policies), cmp.Or(printable(n.Version), "-"), cmp.Or(printable(n.PodStart), "-"),
		})
	}
	if len(r.Nodes) > 0 {
		writeColumns(b, rows)
	}
	if !objects {
		return
	}
	now := time.Now()
	if len(r.Nodes) > 0 {
		now = r.Nodes[0].Time
	}
	r.writePolicies(b, now)
	r.writePods(b, now)
}

// mostProblems bounds the problems of all nodes that are shown.
const mostProblems = 50

func (r *statusReport) writeProblems(b *bytes.Buffer, p palette) {
	shown, left := 0, 0
	say := func(bad bool, node, text, mend string) {
		if shown == mostProblems {
			left++
			return
		}
		shown++
		word := p.bold("notice")
		if bad {
			word = p.bold(p.red("problem"))
		}
		fmt.Fprintf(b, "%s on %s: %s\n", word, cmp.Or(node, "this node"), printable(text))
		if mend != "" {
			fmt.Fprintf(b, "  mend: %s\n", printable(mend))
		}
	}
	for _, bad := range []bool{true, false} {
		for _, n := range r.Nodes {
			if bad && n.Waiting != "" {
				say(true, n.Node, n.Waiting, "")
			}
			for _, c := range n.Conditions {
				if c.NotReady == bad {
					say(bad, n.Node, conditionText(c), c.Mend)
				}
			}
			if bad {
				left += n.MoreConditions
			}
		}
	}
	if left > 0 {
		fmt.Fprintf(b, "and %d more: see -o json, or one node by node/NAME\n", left)
	}
	for _, o := range r.Policies {
		if o.Invalid != "" {
			fmt.Fprintf(b, "%s in policy %s/%s: %s\n", p.bold(p.red("problem")), o.Namespace, o.Name, printable(o.Invalid))
			shown++
		}
	}
	if shown > 0 && len(r.Nodes) > 0 {
		b.WriteByte('\n')
	}
}

func conditionText(c nodestatus.Condition) string {
	if c.Object == "" {
		return c.What + ": " + c.Message
	}
	return c.What + " (" + c.Object + "): " + c.Message
}

func (r *statusReport) writePolicies(b *bytes.Buffer, now time.Time) {
	if len(r.Policies) == 0 {
		return
	}
	b.WriteByte('\n')
	rows := [][]string{{"POLICY", "STATE", "NODES", "PODS", "SINCE", "BEHIND"}}
	for _, o := range r.Policies {
		current, behind, latest := o.onNodes()
		rows = append(rows, []string{
			o.Namespace + "/" + o.Name, o.State, fmt.Sprintf("%d/%d", current, len(o.Nodes)), strconv.Itoa(o.Pods), ago(now, latest), behind,
		})
	}
	writeColumns(b, rows)
}

func (r *statusReport) writePods(b *bytes.Buffer, now time.Time) {
	if len(r.Pods) == 0 {
		return
	}
	b.WriteByte('\n')
	rows := [][]string{{"POD", "NODE", "STATE", "SINCE", "INGRESS", "EGRESS", "ADDRESSES"}}
	for _, o := range r.Pods {
		node := "-"
		if len(o.Nodes) > 0 {
			node = o.Nodes[0].Node
		}
		_, _, latest := o.onNodes()
		rows = append(rows, []string{
			o.Namespace + "/" + o.Name, cmp.Or(node, "(this)"), o.State, ago(now, latest),
			o.isolation(o.Ingress), o.isolation(o.Egress), cmp.Or(strings.Join(o.Addresses, " "), "-"),
		})
	}
	writeColumns(b, rows)
}

// isolation names the policies of a direction; those of the Pod's own namespace by their
// name alone.
func (o *objectStatus) isolation(policies []string) string {
	if len(o.Nodes) == 0 {
		return "?"
	}
	if len(policies) == 0 {
		return "open"
	}
	var out []string
	for _, name := range policies {
		out = append(out, strings.TrimPrefix(name, o.Namespace+"/"))
	}
	return strings.Join(out, ",")
}

// onNodes counts the nodes that enforce what the API says, names some that do not, and
// says since when all do that do.
func (o *objectStatus) onNodes() (current int, behind string, latest *time.Time) {
	const most = 3
	var names []string
	for _, n := range o.Nodes {
		if !n.Current {
			names = append(names, cmp.Or(n.Node, "this node"))
			continue
		}
		current++
		if n.Since != nil && (latest == nil || n.Since.After(*latest)) {
			latest = n.Since
		}
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", more))
	}
	return current, strings.Join(names, ", "), latest
}

// ago is how long something is so, for people.
func ago(now time.Time, since *time.Time) string {
	if since == nil {
		return "-"
	}
	return duration.HumanDuration(max(0, now.Sub(*since)))
}

// printable leaves out of a text what could steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(s, "?"))
}
