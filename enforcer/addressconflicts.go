package enforcer

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-net/sluice/policy"
)

// conflictKind is an address that the objects of several live Pods claim.
const conflictKind = "AddressConflict"

// Of more conflicts than this, and of more Pods to one, only the number is told:
// a cluster that gives every Pod one address must not fill the log.
const (
	mostConflicts = 100
	mostClaims    = 6
)

// tellConflicts says which local Pods share an address with other Pods. It looks
// only after a change.
func (s *syncer) tellConflicts(ctx context.Context) {
	version := s.index.ConflictsVersion()
	if version == s.conflictsTold {
		return
	}
	s.conflictsTold = version
	s.status.setConditions(ctx, "conflicts", conflictConditions(s.where.Disputed(s.index.Conflicts())))
}

func conflictConditions(conflicts []policy.Conflict) []Condition {
	var out []Condition
	for i, c := range conflicts {
		if i == mostConflicts {
			return append(out, Condition{
				What: conflictKind, Object: "other addresses",
				Message: fmt.Sprintf("%d more addresses of local Pods are claimed by several", len(conflicts)-i),
			})
		}
		out = append(out, Condition{
			What: conflictKind, Object: "address " + c.Addr.String(),
			Message: "Pods " + claimants(c.Claims) + " claim it: it is isolated by the policies of each, and allowed only what each allows",
			Mend:    "delete the Pod that does not have the address, or wait until its status is brought up to date",
		})
	}
	return out
}

// claimants are the Pods with their nodes.
func claimants(claims []policy.Claim) string {
	var names []string
	for i, c := range claims {
		if i == mostClaims {
			names = append(names, fmt.Sprintf("%d more", len(claims)-i))
			break
		}
		name := c.Pod.String()
		if c.Node != "" {
			name += " (node " + c.Node + ")"
		}
		names = append(names, name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
