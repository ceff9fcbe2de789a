package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// passed is a line of an agent's about a flow that passed.
type passed struct {
	// line is as it came.
	line []byte
	// flow is nil for a line which says that so many are missing.
	flow   *denials.Denial
	missed uint64
	// trouble is an agent that cannot be read now.
	trouble *agents.Failure
}

// parsePassed reads a line. What passed is shown by what shows denials, with a reason of
// its own.
func parsePassed(line []byte) (passed, error) {
	var l struct {
		Kind string `json:"kind"`
		denials.Denial
		Missed uint64 `json:"missed"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return passed{}, fmt.Errorf("read flows: %w", err)
	}
	out := passed{line: append([]byte(nil), line...), missed: l.Missed}
	if l.Kind == "Flow" {
		l.Reason, l.Packets = denials.Passed, 1
		out.flow = &l.Denial
	}
	return out, nil
}

// flowRetry is how long it takes until an agent is asked anew that broke off.
const flowRetry = 2 * time.Second

// followFlows has what passes on all nodes arrive until the context ends, and closes
// arrived then. What keeps an agent from being read is told once, and it is tried again.
func followFlows(ctx context.Context, fleet *agents.Fleet, query denials.Query, arrived chan<- passed) []agents.Failure {
	defer close(arrived)
	fleet.AtOnce = max(1, len(fleet.Agents)) // each for as long as it takes
	return fleet.Each(ctx, func(ctx context.Context, a agents.Agent) error {
		told := false
		var last error
		for ctx.Err() == nil {
			err := followFlowsOf(ctx, fleet, a, query, func(p passed) {
				told, last = false, nil
				select {
				case arrived <- p:
				case <-ctx.Done():
				}
			})
			if ctx.Err() != nil {
				break
			}
			if err == nil {
				err = errors.New("the agent ended the answer")
			}
			if last = err; !told {
				told = true
				select {
				case arrived <- passed{trouble: &agents.Failure{Node: a.Node, Err: err}}:
				case <-ctx.Done():
				}
			}
			pause(ctx, flowRetry)
		}
		return followed(fleet, a, last)
	})
}

func followFlowsOf(ctx context.Context, fleet *agents.Fleet, a agents.Agent, query denials.Query, visit func(passed)) error {
	body, err := fleet.Open(ctx, a, nodestatus.FlowsPath, query.Values())
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4096), mostDenialLine)
	for lines.Scan() {
		p, err := parsePassed(lines.Bytes())
		if err != nil {
			return err
		}
		visit(p)
	}
	return lines.Err()
}
