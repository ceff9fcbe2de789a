// Package diagnosis says what is well and what is not on a node, and over a cluster, of
// facts that others saw: a table of checks, each with what it looks at, what follows, and
// what mends it. It looks at nothing itself, so that it builds on every system, and so
// that each check is tested on facts of nodes that nobody has at hand.
package diagnosis

// The path of the agent's door, and the JSON form. Fields are added, never renamed, as
// long as the version stands.
const (
	Path = "/v1/doctor"

	APIVersion = "sluice-net.github.io/v1alpha1"
	// NodeKind is what is found on one node, Kind on a machine or over a cluster.
	NodeKind = "NodeDiagnosis"
	Kind     = "Diagnosis"
)
