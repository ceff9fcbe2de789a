package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy/connectivity"
	"github.com/sluice-net/sluice/policy/connectivity/entries"
	"github.com/sluice-net/sluice/policy/connectivity/inventory"
	"github.com/sluice-net/sluice/policy/connectivity/report"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

// objects are what a command reads: all that says who may reach whom.
type objects struct {
	set manifest.Set
	// outline knows where policies stand; it is nil for a cluster.
	outline  *manifest.Outline
	problems []manifest.Problem
	// under are those that they were applied to, nil for none.
	under *objects
	// only are the namespaces of a cluster that were read, nil for all.
	only []string
}

// onto applies the objects to others.
func (o *objects) onto(under *objects) *objects {
	out := *o
	out.set, out.under = inventory.Apply(&under.set, &o.set), under
	return &out
}

// objectReader yields objects, from manifests or from an API server.
type objectReader interface {
	objects(ctx context.Context) (*objects, error)
}

// cluster is the objects as a question about connectivity.
func (o *objects) cluster() *connectivity.Cluster {
	c := inventory.Cluster(&o.set)
	return &c
}

// ways are the ways in from outside, as a matrix of the same objects judges them.
func (o *objects) ways(c *connectivity.Cluster, m *connectivity.Matrix) *report.Entries {
	if len(o.set.Entries) == 0 {
		return nil
	}
	return report.NewEntries(entries.Judge(&o.set, c, m), m.Ends(), o.entryPlace)
}

// entryPlace is where an entry stands.
func (o *objects) entryPlace(e connectivity.Name) report.Place {
	s := o.find(e.Kind, e.Namespace, e.Name)
	if s == nil {
		return report.Place{}
	}
	return report.Place{File: s.Source, Line: s.Line}
}

// find is where an object stands, nil where that is not known.
func (o *objects) find(kind, namespace, name string) *manifest.Sketch {
	if o.outline != nil {
		if s := o.outline.Find(kind, namespace, name); s != nil {
			return s
		}
	}
	if o.under != nil {
		return o.under.find(kind, namespace, name)
	}
	return nil
}

// place is where a field of a policy stands.
func (o *objects) place(policy types.NamespacedName, path ...any) report.Place {
	s := o.find("NetworkPolicy", policy.Namespace, policy.Name)
	if s == nil {
		return report.Place{}
	}
	return report.Place{File: s.Source, Line: s.Field(path...).Line}
}

// forget drops notices that are among others, wherever they stand.
func (o *objects) forget(others []manifest.Problem) {
	type said struct{ object, field, message string }
	known := map[said]bool{}
	for _, p := range others {
		known[said{p.Object, p.Field, p.Message}] = true
	}
	o.problems = slices.DeleteFunc(o.problems, func(p manifest.Problem) bool {
		return p.Notice && known[said{p.Object, p.Field, p.Message}]
	})
}

func (r fileReader) objects(ctx context.Context) (*objects, error) {
	loader := manifest.Loader{Namespace: r.namespace, Repository: true, Addition: r.addition}
	out := &objects{outline: &manifest.Outline{Namespace: r.namespace, Repository: true}}
	add := func(source string, data []byte) {
		loader.Add(source, data)
		out.outline.Add(source, data)
	}
	var skipped []manifest.Problem
	leaveOut := func(p manifest.Problem) { skipped = append(skipped, p) }
	if err := r.each(ctx, r.in, add, leaveOut); err != nil {
		return nil, unusable(err)
	}
	out.set, out.problems = loader.Finish()
	out.problems = append(out.problems, skipped...)
	if out.outline.Empty() && len(out.problems) == 0 {
		return nil, unusable(errors.New("read manifests: there is no object in them: if another program writes them, see what it says"))
	}
	return out, nil
}

// workloadKinds make Pods.
var workloadKinds = []question.Kind{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "ReplicationController"}

// objects reads the workloads, too: their Pods stand for those that may not be listed.
func (r liveReader) objects(ctx context.Context) (*objects, error) {
	p, err := r.policed(ctx)
	if err != nil {
		return nil, unusable(r.sayWhy(err))
	}
	out := &objects{set: p.set, problems: p.problems, only: p.only}
	if p.only != nil {
		out.problems = append(out.problems, r.unread(p))
	}
	for _, need := range out.needs() {
		found, err := r.fetch(ctx, need)
		switch {
		case apierrors.IsForbidden(err):
			out.problems = append(out.problems, manifest.Problem{Notice: true, Message: fmt.Sprintf("%ss are left out: %v", need.Kind, err)})
		case err != nil:
			return nil, unusable(r.sayWhy(err))
		}
		out.set.Workloads = append(out.set.Workloads, found.Workloads...)
		out.set.Nodes = append(out.set.Nodes, found.Nodes...)
	}
	if err := r.addEntries(ctx, out); err != nil {
		return nil, unusable(r.sayWhy(err))
	}
	return out, nil
}

// unread says what an answer about some namespaces does not tell. What it tells is true
// all the same: policies select Pods of their own namespace alone, so that those of others
// change nothing between Pods of the namespaces that are read, nor between these and
// addresses that are no Pod's.
func (r liveReader) unread(p policed) manifest.Problem {
	return manifest.Problem{Notice: true, Message: fmt.Sprintf(
		"only the namespaces %v are read: who in others reaches them or is reached from them is not known and is left out, with what leads to them from others' Gateways and routes, and an address of another's Pod is taken for one from outside: %v (for all of it: %s)",
		p.only, p.refused, liveReader{}.grants())}
}

// scope are the namespaces to be read, as lists ask for them.
func (o *objects) scope() []string {
	if o.only == nil {
		return []string{metav1.NamespaceAll}
	}
	return o.only
}

// needs are the objects besides those that policies are about.
func (o *objects) needs() []question.Need {
	needs := []question.Need{{Kind: question.KindNode}}
	for _, kind := range workloadKinds {
		for _, namespace := range o.scope() {
			needs = append(needs, question.Need{Kind: kind, Namespace: namespace})
		}
	}
	return needs
}
