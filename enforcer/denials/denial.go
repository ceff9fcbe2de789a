package denials

import (
	"net/netip"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
)

// The JSON form of a denial. Fields are added, never renamed, as long as the version
// stands.
const (
	APIVersion = "sluice-net.github.io/v1alpha1"
	// Kind is that of a denial, MissedKind that of the line which says that denials
	// are missing before it.
	Kind       = "Denial"
	MissedKind = "DenialsMissed"
)

// Denial is a flow that was denied, once in an interval. It does not change once it was
// handed over.
type Denial struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Time is when the kernel judged the packet.
	Time time.Time `json:"time"`
	// Node is the node that denied it.
	Node string `json:"node,omitempty"`
	// Direction is that of the policies which decided: those of the destination for
	// "ingress", of the source for "egress". For other reasons it says which end the
	// rule is about.
	Direction string `json:"direction"`
	Reason    Reason `json:"reason"`
	// Message says the reason in a sentence.
	Message string `json:"message"`
	// Src and Dst are the ends of the flow: who opened it, and to whom. A denied reply
	// went from Dst to Src.
	Src End `json:"src"`
	Dst End `json:"dst"`
	// Protocol is TCP, UDP, SCTP, ICMP, ICMPv6 or a number.
	Protocol string `json:"protocol"`
	// Port is the destination's, 0 where the protocol has none.
	Port uint16 `json:"port,omitempty"`
	// Type is ICMP's type and code as "8/0".
	Type string `json:"icmpType,omitempty"`
	// Service is what the client asked for, where that is not Dst.
	Service *Service `json:"service,omitempty"`
	// Policies are those that isolate the Pod in the direction, as namespace/name, and
	// MorePolicies how many there are beyond these.
	Policies     []string `json:"policies,omitempty"`
	MorePolicies int      `json:"morePolicies,omitempty"`
	// Nearest is the rule that came nearest to allowing the flow.
	Nearest *Nearest `json:"nearest,omitempty"`
	// Generation is what the index of the agent had been told when the policies denied
	// the packet. It counts from the agent's start.
	Generation uint64 `json:"generation,omitempty"`
	// Epoch is what the connections bear that were judged by the node when the denial was
	// told of: see sluice_epoch.
	Epoch uint32 `json:"epoch,omitempty"`
	// Approximate: what the agent knew of that time was not complete any more.
	Approximate bool `json:"approximate,omitempty"`
	// Packets is how many packets of the flow were denied since its last denial, this
	// one included, as far as they were counted, and Since is when that was.
	Packets uint64     `json:"packets"`
	Since   *time.Time `json:"since,omitempty"`

	src, dst       netip.Addr
	srcUID, dstUID types.UID
}

// EndKind says what an end of a flow is.
type EndKind string

const (
	PodEnd     EndKind = "Pod"
	NodeEnd    EndKind = "Node"
	OutsideEnd EndKind = "Outside"
)

// End is one end of a denied flow.
type End struct {
	Kind    EndKind `json:"kind"`
	Address string  `json:"address"`
	// Namespace, Pod and Workload are a Pod's. Workload is kind/name of what made it, as
	// far as its labels tell.
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Workload  string `json:"workload,omitempty"`
	// Node is the node that the Pod is on, or that has the address.
	Node string `json:"node,omitempty"`
}

// SubjectUID is that of the Pod that the denial is about, empty where it is not known, as
// of a denial that was read.
func (d *Denial) SubjectUID() types.UID {
	if d.Subject() == &d.Src {
		return d.srcUID
	}
	return d.dstUID
}

// WithUIDs notes the UIDs of the Pods at the ends of a denial that was not handed over yet.
func (d *Denial) WithUIDs(src, dst types.UID) *Denial {
	d.srcUID, d.dstUID = src, dst
	return d
}

// Service is what the client of a flow asked for.
type Service struct {
	Address string `json:"address"`
	Port    uint16 `json:"port,omitempty"`
	// Name is namespace/name, where it is known.
	Name string `json:"name,omitempty"`
}

// Nearest is the rule that came nearest to allowing a flow.
type Nearest struct {
	// Policy is namespace/name, Rule the index of the rule in its list of the
	// direction.
	Policy string `json:"policy"`
	Rule   int    `json:"rule"`
	// Why says what of the rule does not match.
	Why string `json:"why"`
}

// Subject is the end that the denial is about: whose policies decided.
func (d *Denial) Subject() *End {
	if d.Direction == policy.Egress.String() {
		return &d.Src
	}
	return &d.Dst
}

// Target is the destination's port with the protocol, such as 5432/TCP.
func (d *Denial) Target() string {
	switch {
	case d.Port != 0:
		return strconv.Itoa(int(d.Port)) + "/" + d.Protocol
	case d.Type != "":
		return d.Protocol + " " + d.Type
	case d.Protocol != "" && d.Protocol[0] >= '0' && d.Protocol[0] <= '9':
		return "protocol " + d.Protocol
	}
	return d.Protocol
}

// Name is how people call an end: namespace/pod, the node, or the address.
func (e *End) Name() string {
	switch e.Kind {
	case PodEnd:
		return e.Namespace + "/" + e.Pod
	case NodeEnd:
		return "node " + e.Node + " (" + e.Address + ")"
	}
	return e.Address
}

// Group is what the end has in common with others: the workload, the node, or that it
// is outside.
func (e *End) Group() string {
	switch e.Kind {
	case PodEnd:
		return e.Namespace + "/" + e.workload()
	case NodeEnd:
		return "node " + e.Node
	}
	return e.Address
}

func (e *End) workload() string {
	if e.Workload != "" {
		return e.Workload
	}
	return "Pod/" + e.Pod
}

// size is about how many bytes the denial takes in memory.
func (d *Denial) size() int {
	n := 600 + len(d.Message) + len(d.Node)
	for _, e := range []*End{&d.Src, &d.Dst} {
		n += len(e.Namespace) + len(e.Pod) + len(e.Workload) + len(e.Node) + len(e.Address)
	}
	for _, p := range d.Policies {
		n += 16 + len(p)
	}
	if d.Nearest != nil {
		n += 64 + len(d.Nearest.Policy) + len(d.Nearest.Why)
	}
	if d.Service != nil {
		n += 64 + len(d.Service.Address) + len(d.Service.Name)
	}
	return n
}
