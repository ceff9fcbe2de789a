package enforcer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/conntrack"
	"github.com/sluice-net/sluice/enforcer/netns"
	"github.com/sluice-net/sluice/enforcer/tables"
)

// ErrAgentRuns is in what Cleanup returns where an agent is at work.
var ErrAgentRuns = errors.New("an agent, or another cleanup, is at work in this network namespace")

// CleanupOptions say what Cleanup cannot find out. The zero value asks the kernel
// for all of it.
type CleanupOptions struct {
	// Mask are the bits of conntrack marks to clear, whatever the rules say and
	// also where there are none any more; zero: those that the rules write.
	Mask uint32
}

// Cleanup removes all that agents left in a namespace: our tables of all
// families and our bits of the conntrack marks. From then on nothing is enforced.
// It may be called again, also where nothing is left; what it could not do it
// does then. It refuses beside a running agent, which would bring all back, and
// keeps one from starting meanwhile. A bridge's nf_call_iptables stays as it is:
// it cannot be known who else relies on it by now. It reports whether there was
// anything to remove.
func Cleanup(ctx context.Context, ns netns.Namespace, options CleanupOptions) (bool, error) {
	ns = netns.OrOwn(ns)
	l, err := takeLock(ns)
	var held *errHeld
	switch {
	case errors.As(err, &held) && held.by.mayBeAgent():
		return false, fmt.Errorf("clean up: %w (%s): stop it first", ErrAgentRuns, held.by)
	case err != nil:
		klog.FromContext(ctx).Error(err, "Failed to take the lock that keeps an agent from starting meanwhile")
	}
	defer l.release()
	found, err := tables.Find(ns)
	if err == nil && (len(found) > 0 || options.Mask != 0) {
		err = cleanup(ctx, ns, found, options.Mask)
	}
	if err != nil {
		return false, fmt.Errorf("clean up: %w", err)
	}
	return len(found) > 0, nil
}

func cleanup(ctx context.Context, ns netns.Namespace, found []byte, mask uint32) error {
	var maskErr error
	if slices.Contains(found, unix.NFPROTO_INET) && mask == 0 {
		mask, maskErr = maskOf(ns)
	}
	if err := tables.Remove(ns, found, mask); err != nil {
		return err
	}
	if maskErr != nil {
		return fmt.Errorf("the tables are removed and nothing is enforced, but which bits of conntrack marks are Sluice's cannot be known, so all of them stay as they are: %w", maskErr)
	}
	n, err := conntrack.Table{Namespace: ns}.Clear(ctx, mask, func(uint32) bool { return true })
	if err != nil {
		return fmt.Errorf("nothing is enforced any more, but connections are still marked: %w", err)
	}
	// Now that the marks are gone, their note may go.
	if found, err = tables.Find(ns); err == nil {
		err = tables.Remove(ns, found, 0)
	}
	if err != nil {
		return err
	}
	klog.FromContext(ctx).Info("Removed all rules; nf_call_iptables and nf_call_ip6tables of bridges stay as they are", "clearedMarks", n)
	return nil
}

// errNoMarkRule: somebody damaged the table.
var errNoMarkRule = errors.New("no rule of chain " + compiler.JudgedChain + " sets the conntrack mark")

// maskOf reads which bits of conntrack marks the rules of our main table write.
func maskOf(ns netns.Namespace) (mask uint32, err error) {
	left, err := tables.ReadPredecessor(ns)
	if err == nil && left.Mask == 0 {
		err = errNoMarkRule
	}
	return left.Mask, err
}
