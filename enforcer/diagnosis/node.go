package diagnosis

import (
	"encoding/json"
	"fmt"
	"time"
)

// Node is what is found on one node.
type Node struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Node is its name, empty where nobody said it. Version is of who looked.
	Node    string    `json:"node,omitempty"`
	Version string    `json:"version,omitempty"`
	Time    time.Time `json:"time"`
	State   State     `json:"state"`
	// Findings are by each check at least one, Facts what they were made of.
	Findings []Finding `json:"findings"`
	Facts    *Facts    `json:"facts,omitempty"`
	// Ruleset are Sluice's own tables as nft lists them, where that was asked for.
	Ruleset string `json:"ruleset,omitempty"`
}

// NewNode judges facts.
func NewNode(name, version string, now time.Time, f *Facts) *Node {
	n := &Node{APIVersion: APIVersion, Kind: NodeKind, Node: name, Version: version, Time: now.UTC(), Facts: f, Findings: Findings(f)}
	n.State = Worst(n.Findings)
	return n
}

// MaxAnswer bounds what is read of an answer, and MaxRuleset the ruleset in it.
const (
	MaxAnswer  = 40 << 20
	MaxRuleset = 32 << 20
	// maxFindings and maxText bound what is kept of an answer: no agent of ours says more.
	maxFindings = 2000
	maxText     = 4000
)

// ParseNode reads what an agent answered. What is longer than anybody needs is cut.
func ParseNode(data []byte) (*Node, error) {
	var of struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if len(data) > MaxAnswer {
		return nil, fmt.Errorf("read diagnosis: %d bytes are more than %d", len(data), MaxAnswer)
	}
	if err := json.Unmarshal(data, &of); err != nil {
		return nil, fmt.Errorf("read diagnosis: %w", err)
	}
	if of.APIVersion != APIVersion || of.Kind != NodeKind {
		return nil, fmt.Errorf("read diagnosis: %.60q of %.60q is not %s of %s: use the command and the agent of one version", of.Kind, of.APIVersion, NodeKind, APIVersion)
	}
	n := &Node{}
	if err := json.Unmarshal(data, n); err != nil {
		return nil, fmt.Errorf("read diagnosis: %w", err)
	}
	if len(n.Findings) > maxFindings {
		n.Findings = n.Findings[:maxFindings]
	}
	for i := range n.Findings {
		f := &n.Findings[i]
		for _, text := range []*string{&f.Check, &f.Object, &f.Found, &f.Consequence, &f.Mend, &f.Run} {
			if len(*text) > maxText {
				*text = (*text)[:maxText]
			}
		}
	}
	n.State = Worst(n.Findings)
	return n, nil
}

// Report is what is found on a machine, or over a cluster.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Version    string `json:"version,omitempty"`
	// Scope is "node" or "cluster".
	Scope string `json:"scope"`
	// State is the worst of all.
	State State `json:"state"`
	// Findings are those of the checks that are about all nodes.
	Findings []Finding `json:"findings,omitempty"`
	Nodes    []*Node   `json:"nodes"`
}

// Judge makes the report's state.
func (r *Report) Judge() {
	r.State = Worst(r.Findings)
	for _, n := range r.Nodes {
		if !r.State.AtLeast(n.State) {
			r.State = n.State
		}
	}
}
