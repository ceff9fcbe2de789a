package conntrack

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/policy"
)

// addressTable is the conntrack table as far as addresses go.
type addressTable interface {
	Delete(ctx context.Context, addrs map[netip.Addr]bool, limit int) (n int, more bool, err error)
}

// Departures knows which local addresses lost their Pod, and deletes the connections
// that they had. Conntrack keeps these for minutes, and whoever sends to them keeps
// them alive: the next Pod with the address would get the "replies" to what it never
// asked, past the policies that isolate it.
//
// The connections of an address that still has its Pod are never touched: to delete
// the entry of a live connection breaks its NAT, and has the next packet taken for
// the first of a new one.
//
// The order is what counts. An address without a Pod is closed, so its connections
// are deleted after the commit that closed it, when nothing waits; and at the latest
// before the commit that gives it to another Pod.
type Departures struct {
	table addressTable
	// pods are the local Pods with their addresses, claims the Pods of an address.
	pods   map[types.NamespacedName]*policy.Subject
	claims map[netip.Addr]map[Tenant]bool
	// left are the addresses whose connections are to be deleted, with the Pods that
	// had them last.
	left map[netip.Addr]map[Tenant]bool
	// maybe are the Pods of which one is presumed to have an address.
	maybe map[netip.Addr]map[Tenant]bool
	// notBefore is when that is due if nobody needs the addresses sooner.
	notBefore time.Time
}

// Tenant is a Pod: a new one may bear an old one's name. Where objects come from
// files they have no UID.
type Tenant struct {
	Pod types.NamespacedName
	UID types.UID
}

func tenantOf(s *policy.Subject) Tenant { return Tenant{s.Pod, s.UID} }

// departureTidy is how long the connections of an address may stay for which nobody waits.
const departureTidy = 100 * time.Millisecond

// departureRetry is the pause after a failed deletion for which nobody waits.
const departureRetry = time.Second

// NewDepartures knows of no Pod yet, and deletes from a table.
func NewDepartures(table addressTable) *Departures {
	return &Departures{
		table: table, pods: map[types.NamespacedName]*policy.Subject{},
		claims: map[netip.Addr]map[Tenant]bool{}, left: map[netip.Addr]map[Tenant]bool{},
	}
}

// unknownTenant stands for a Pod of which it was not known who it is.
var unknownTenant = Tenant{}

// Note takes in which local Pods changed, and which of them may have an address that
// none is known to have. It returns the addresses that keep their Pod, though it goes
// by another name now: it was one of those that were presumed to have them. Handed are
// those that these changes give to another Pod, for [Departures.Clear].
func (d *Departures) Note(changes []policy.SubjectChange, now time.Time, maybe map[netip.Addr]map[Tenant]bool) (kept, handed map[netip.Addr]bool) {
	before := map[netip.Addr]map[Tenant]bool{}
	for _, c := range changes {
		for _, s := range []*policy.Subject{d.pods[c.Pod], c.Now} {
			if s == nil {
				continue
			}
			for _, a := range s.Addrs {
				before[a] = d.lastOf(a)
			}
		}
	}
	for _, c := range changes {
		d.set(c)
	}
	presumed := d.maybe
	d.maybe = maybe
	for a, was := range before {
		if all := presumed[a]; all != nil {
			if haveOneInCommon(all, maybe[a]) || haveOneInCommon(all, d.claims[a]) {
				kept = put(kept, a)
				delete(d.left, a)
				continue
			}
			// Which of them had it will never be known.
			was = map[Tenant]bool{unknownTenant: true}
		}
		switch {
		case len(was) == 0:
			// The first Pod of an address that we know of: its connections are its own.
		case haveOneInCommon(was, d.claims[a]):
			// An address that went for a moment and came back to its Pod.
			delete(d.left, a)
		default:
			d.left[a] = was
			d.notBefore = now.Add(departureTidy)
			if len(d.claims[a]) > 0 {
				handed = put(handed, a)
			}
		}
	}
	return kept, handed
}

func put(set map[netip.Addr]bool, a netip.Addr) map[netip.Addr]bool {
	if set == nil {
		set = map[netip.Addr]bool{}
	}
	set[a] = true
	return set
}

// lastOf are the Pods that have an address, or had it until nobody did.
func (d *Departures) lastOf(a netip.Addr) map[Tenant]bool {
	if was, ok := d.left[a]; ok {
		return was
	}
	out := map[Tenant]bool{}
	for t := range d.claims[a] {
		out[t] = true
	}
	return out
}

func (d *Departures) set(c policy.SubjectChange) {
	if old := d.pods[c.Pod]; old != nil {
		for _, a := range old.Addrs {
			delete(d.claims[a], tenantOf(old))
			if len(d.claims[a]) == 0 {
				delete(d.claims, a)
			}
		}
		delete(d.pods, c.Pod)
	}
	if c.Now == nil {
		return
	}
	d.pods[c.Pod] = c.Now
	for _, a := range c.Now.Addrs {
		if d.claims[a] == nil {
			d.claims[a] = map[Tenant]bool{}
		}
		d.claims[a][tenantOf(c.Now)] = true
	}
}

func haveOneInCommon(a, b map[Tenant]bool) bool {
	for t := range a {
		if b[t] {
			return true
		}
	}
	return false
}

// Handed are all addresses that have another Pod now than their connections are of.
func (d *Departures) Handed() map[netip.Addr]bool {
	var out map[netip.Addr]bool
	for a := range d.left {
		if len(d.claims[a]) > 0 {
			out = put(out, a)
		}
	}
	return out
}

// Clear deletes the connections of addresses that the next commit gives to other Pods.
// Until that commit their forerunners' rules stand, so those of a commit that is not the
// next one must wait for their own. An error must hold up the commit.
func (d *Departures) Clear(ctx context.Context, handed map[netip.Addr]bool) error {
	wanted := map[netip.Addr]bool{}
	for a := range handed {
		if _, is := d.left[a]; is {
			wanted[a] = true
		}
	}
	if _, err := d.remove(ctx, wanted, 0); err != nil {
		return fmt.Errorf("delete connections of addresses that change hands: %w", err)
	}
	return nil
}

// Tidy deletes what is due, or all at once, a bounded number of connections at a
// time. It is for after a commit: what failed is tried again, at the latest by Clear.
func (d *Departures) Tidy(ctx context.Context, now time.Time, all bool) {
	if len(d.left) == 0 || !all && now.Before(d.notBefore) {
		return
	}
	limit := deletedAtOnce
	if all {
		limit = 0
	}
	addrs := map[netip.Addr]bool{}
	for a := range d.left {
		addrs[a] = true
	}
	more, err := d.remove(ctx, addrs, limit)
	if err != nil {
		klog.FromContext(ctx).Error(err, "Failed to delete the connections of addresses without a Pod; trying again", "addresses", len(addrs))
		d.notBefore = now.Add(departureRetry)
	} else if more {
		d.notBefore = now.Add(departureTidy)
	}
}

func (d *Departures) remove(ctx context.Context, addrs map[netip.Addr]bool, limit int) (more bool, err error) {
	if len(addrs) == 0 {
		return false, nil
	}
	n, more, err := d.table.Delete(ctx, addrs, limit)
	if err != nil {
		return more, err
	}
	if !more {
		for a := range addrs {
			delete(d.left, a)
		}
	}
	klog.FromContext(ctx).V(2).Info("Deleted connections of addresses that lost their Pod", "addresses", len(addrs), "connections", n)
	return more, nil
}

// Wait is how long until something is due; negative: nothing is.
func (d *Departures) Wait(now time.Time) time.Duration {
	if len(d.left) == 0 {
		return -1
	}
	return max(0, d.notBefore.Sub(now))
}
