package suggest

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// Flow is a connection that passed, as its ends have it: after the translation of the
// destination, before that of the source.
type Flow struct {
	Src, Dst End
	Protocol policy.Protocol
	Port     uint16
}

// End is what is known of one end: an address, a Pod, or both.
type End struct {
	Addr netip.Addr
	// Namespace and Pod are empty where the end is no Pod.
	Namespace, Pod string
	// Labels are the Pod's, where whoever saw the flow knew them: for Pods that are
	// gone since.
	Labels map[string]string
	// Node is the node whose own address it is, where whoever saw the flow knew it.
	Node string
}

// String names the end as people do.
func (e End) String() string {
	if e.Pod != "" {
		return e.Namespace + "/" + e.Pod
	}
	return e.Addr.String()
}

func (f *Flow) String() string {
	return f.Src.String() + " -> " + f.Dst.String() + ":" + portText(f.Protocol, f.Port)
}

func (f Flow) compare(o Flow) int {
	return cmp.Or(f.Src.compare(o.Src), f.Dst.compare(o.Dst), cmp.Compare(f.Protocol, o.Protocol), cmp.Compare(f.Port, o.Port))
}

func (e End) compare(o End) int {
	return cmp.Or(strings.Compare(e.Namespace, o.Namespace), strings.Compare(e.Pod, o.Pod), e.Addr.Compare(o.Addr))
}
