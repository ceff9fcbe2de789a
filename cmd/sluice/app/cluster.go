package app

import (
	"context"
	"errors"
	"io"

	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

// clusterReader yields the objects that questions are asked about: from
// manifests, or from a live cluster's API server.
type clusterReader interface {
	read(ctx context.Context) (*cluster, error)
}

// cluster is a set of objects that can be asked.
type cluster struct {
	world *question.World
	set   manifest.Set
	// problems are what is wrong with the objects, in the order found.
	problems []manifest.Problem
	// fetch gets what a live cluster's world lacks.
	fetch func(context.Context, question.Need) (manifest.Set, error)
}

// newCluster is one of manifests.
func newCluster(set manifest.Set, problems []manifest.Problem) *cluster {
	return &cluster{world: question.New(set), set: set, problems: problems}
}

// ask answers a question. Most need nothing of a live cluster that was not read
// at first, so it is asked only for what one does need.
func (c *cluster) ask(ctx context.Context, q question.Question) (question.Answer, error) {
	for {
		a, err := c.world.Ask(q)
		var missing *question.Missing
		if c.fetch == nil || !errors.As(err, &missing) {
			return a, err
		}
		for _, n := range missing.Needs {
			found, err := c.fetch(ctx, n)
			c.world.Supply(n, found, err)
		}
	}
}

// report prints the problems and says whether one of them is an error.
func (c *cluster) report(w io.Writer) (bad bool) { return reportProblems(w, c.problems) }
