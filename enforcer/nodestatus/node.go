package nodestatus

import (
	"encoding/json"
	"fmt"
	"time"
)

// Limits on one answer. What is beyond is counted.
const (
	MaxPods       = 1000
	MaxPolicies   = 5000
	MaxConditions = 200
	// MaxPodPolicies bounds the policies that are named of one Pod in one direction.
	MaxPodPolicies = 50
)

// Node is what a node's agent enforces.
type Node struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Node is the node's name, empty where the agent was given none.
	Node string `json:"node,omitempty"`
	// Version is the agent's.
	Version string `json:"version,omitempty"`
	// Time is the node's when it answered.
	Time time.Time `json:"time"`
	// Ready: all that the API says is enforced. Waiting says what has not come to pass
	// yet since the agent's start.
	Ready   bool   `json:"ready"`
	Waiting string `json:"waiting,omitempty"`
	// Generation counts the changes that the agent brought into the kernel since its
	// start, and Since is when the last one was in force. Epoch is what the connections
	// bear that were judged by it.
	Generation uint64     `json:"generation"`
	Since      *time.Time `json:"since,omitempty"`
	Epoch      uint32     `json:"epoch,omitempty"`
	// PodStart says how the first packets of new Pods are dealt with: by the runtime's
	// word (NRI), by inference, or not at all, with the reason.
	PodStart string `json:"podStart,omitempty"`
	// Objects are how many of each kind the agent knows, of the whole cluster.
	Objects Objects `json:"objects"`
	// Conditions stand in the way of policies, or may: those first that make the node not
	// ready. Other policy engines are among them.
	Conditions     []Condition `json:"conditions,omitempty"`
	MoreConditions int         `json:"moreConditions,omitempty"`
	// Pods are the node's own that policies can concern, Policies those that were asked
	// for or that isolate one of the node's Pods.
	Pods         []Pod    `json:"pods,omitempty"`
	MorePods     int      `json:"morePods,omitempty"`
	Policies     []Policy `json:"policies,omitempty"`
	MorePolicies int      `json:"morePolicies,omitempty"`
}

// Objects counts objects.
type Objects struct {
	Pods       int `json:"pods"`
	Namespaces int `json:"namespaces"`
	Policies   int `json:"policies"`
}

// Condition is something about the node that stands in the way of policies, or may.
type Condition struct {
	What     string `json:"what"`
	NotReady bool   `json:"notReady,omitempty"`
	Object   string `json:"object,omitempty"`
	Message  string `json:"message"`
	Mend     string `json:"mend,omitempty"`
}

// Object is an object as a node has it.
type Object struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// UID and ResourceVersion are what the agent was told last, and Enforced whether that
	// is in the kernel, since when.
	UID             string     `json:"uid,omitempty"`
	ResourceVersion string     `json:"resourceVersion,omitempty"`
	Enforced        bool       `json:"enforced"`
	Since           *time.Time `json:"since,omitempty"`
}

// Pod is a Pod of the node.
type Pod struct {
	Object
	// Addresses are those that are enforced, none if they are not known yet.
	Addresses []string `json:"addresses,omitempty"`
	// Ingress and Egress are the policies that isolate it, as namespace/name; none where
	// it is not isolated.
	Ingress      []string `json:"ingress,omitempty"`
	Egress       []string `json:"egress,omitempty"`
	MorePolicies int      `json:"morePolicies,omitempty"`
}

// Policy is a NetworkPolicy.
type Policy struct {
	Object
	// Pods is how many Pods of the node it isolates.
	Pods int `json:"pods"`
	// Invalid says what of it cannot be understood and so allows nothing.
	Invalid string `json:"invalid,omitempty"`
}

// MaxAnswer bounds what is read of an answer: far beyond what the limits above let
// through.
const MaxAnswer = 8 << 20

// ParseNode reads what an agent answered.
func ParseNode(data []byte) (*Node, error) {
	out := &Node{}
	if err := parse(data, "status", Kind, out); err != nil {
		return nil, err
	}
	return out, nil
}

// parse reads a document of one kind.
func parse(data []byte, what, kind string, out any) error {
	var of struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if len(data) > MaxAnswer {
		return fmt.Errorf("read %s: %d bytes are more than %d", what, len(data), MaxAnswer)
	}
	if err := json.Unmarshal(data, &of); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	if of.APIVersion != APIVersion || of.Kind != kind {
		return fmt.Errorf("read %s: %.60q of %.60q is not %s of %s: use the command and the agent of one version", what, of.Kind, of.APIVersion, kind, APIVersion)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
