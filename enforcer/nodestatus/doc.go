// Package nodestatus is what an agent says of its node to those who ask its door: the
// questions, as they travel in a URL, and the answers as JSON. It knows neither agent nor
// command, so that both can share it on every system.
package nodestatus

// The paths of the door, and the JSON form of its answers. Fields are added, never
// renamed, as long as the version stands.
const (
	StatusPath = "/v1/status"
	WaitPath   = "/v1/wait"
	// DenialsPath is where denials are asked for: denials.ParseQuery says how, and
	// denials.ParseLine reads the answer. FlowsPath is the same for flows that pass, but
	// always to follow: an agent keeps none.
	DenialsPath = "/v1/denials"
	FlowsPath   = "/v1/flows"

	APIVersion = "sluice-net.github.io/v1alpha1"
	// Kind is that of what a node enforces, AnswerKind of the answer to a wait.
	Kind       = "NodeStatus"
	AnswerKind = "WaitAnswer"
)
