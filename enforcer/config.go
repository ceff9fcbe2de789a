package enforcer

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/knftables"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/door"
	"github.com/sluice-net/sluice/enforcer/links"
)

// Config is what the operator decides about an agent. The zero value becomes
// usable by Defaults.
type Config struct {
	// Node is the name of the Node whose Pods are enforced; empty: every Pod
	// is local.
	Node string
	// Version is the agent's, for those who ask.
	Version string
	// Compiler configures the ruleset.
	Compiler compiler.Config
	// PodInterfaces are patterns (as of path.Match) of interfaces that carry
	// Pods, besides those that are found.
	PodInterfaces []string
	// Uplinks are patterns of ports of bridges that lead out of the node, and
	// OtherInterfaces of bridges and veths that carry no Pods. All other veths do,
	// and ports that are no veths lead out. Nil: [links.DefaultUplinks] and
	// [links.DefaultOtherInterfaces].
	Uplinks, OtherInterfaces []string
	// HarmlessPrograms are patterns of names of BPF programs at interfaces that send no
	// packet elsewhere, as the operator knows; an XDP program is xdp@INTERFACE. All
	// others may, where packets of Pods come by.
	HarmlessPrograms []string
	// MinInterval is the least time from one sync to the next. A change after
	// a quiet time is never held back. Negative: none.
	MinInterval time.Duration
	// Grace is how long after a first install TCP connections that are met
	// mid-stream are judged as new ones, rather than reset. Negative: none.
	Grace time.Duration
	// KeepBridgeNetfilter leaves nf_call_iptables and nf_call_ip6tables of
	// bridges as they are: they are only checked.
	KeepBridgeNetfilter bool
	// HealthAddress serves /healthz and /readyz to anybody, without names;
	// empty: none.
	HealthAddress string
	// MetricsAddress serves these with names, and /metrics: in plain text on a
	// loopback address, over TLS to those whom Reviewer lets in on any other.
	// Empty: none. If it is HealthAddress, and loopback, it serves both.
	MetricsAddress string
	// Reviewer says who may read at MetricsAddress.
	Reviewer door.Reviewer
	// TLSCert and TLSKey are files of the certificate to show there; empty: one
	// that nobody vouches for.
	TLSCert, TLSKey string

	// Socket is the path of a socket that serves all that there is to read to root on the
	// node; empty: none.
	Socket string

	// Denials is how it tells of what is denied.
	Denials DenialsConfig

	// Nodes, if it is set, is used to take StartupTaint from the agent's own Node.
	Nodes corev1client.NodeInterface

	// RetryMin and RetryMax bound the pause after a failed sync.
	RetryMin, RetryMax time.Duration
	// InspectInterval is how often what has no notifications is looked at:
	// sysctls, other programs' tables, conflicts of addresses.
	InspectInterval time.Duration
	// Clock is for tests.
	Clock clock.WithTicker
	// Transactor changes nftables; nil: nft in the agent's namespace.
	Transactor Transactor
}

// Defaults fills in what is not set.
func (c *Config) Defaults() {
	if c.Compiler.Mark.Mask == 0 {
		c.Compiler.Mark.Mask = compiler.DefaultMask
	}
	if c.Uplinks == nil {
		c.Uplinks = links.DefaultUplinks
	}
	if c.OtherInterfaces == nil {
		c.OtherInterfaces = links.DefaultOtherInterfaces
	}
	orDefault(&c.MinInterval, 50*time.Millisecond)
	orDefault(&c.Grace, time.Minute)
	orDefault(&c.RetryMin, 100*time.Millisecond)
	orDefault(&c.RetryMax, 30*time.Second)
	orDefault(&c.InspectInterval, 10*time.Second)
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
}

// orDefault leaves negative durations for those that mean "none" by them.
func orDefault(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

// Validate names everything that is wrong.
func (c *Config) Validate() error {
	var errs []error
	if err := c.Compiler.Mark.Validate(); err != nil {
		errs = append(errs, err)
	}
	for _, p := range slices.Concat(c.PodInterfaces, c.Uplinks, c.OtherInterfaces) {
		if _, err := path.Match(p, ""); err != nil {
			errs = append(errs, fmt.Errorf("interface pattern %q: %w", p, err))
		}
	}
	for _, p := range c.HarmlessPrograms {
		if _, err := path.Match(p, ""); err != nil {
			errs = append(errs, fmt.Errorf("program pattern %q: %w", p, err))
		}
	}
	if c.RetryMin <= 0 || c.RetryMax < c.RetryMin {
		errs = append(errs, fmt.Errorf("retry from %v to %v: must be positive and rising", c.RetryMin, c.RetryMax))
	}
	if c.InspectInterval <= 0 {
		errs = append(errs, fmt.Errorf("inspect interval %v: must be positive", c.InspectInterval))
	}
	if err := c.Denials.Validate(); err != nil {
		errs = append(errs, err)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, errors.New("a certificate without its key, or a key without its certificate"))
	}
	return errors.Join(errs...)
}

// Transactor runs operations on our table of one family as one transaction:
// all of them take effect, or none.
type Transactor interface {
	Transact(ctx context.Context, family knftables.Family, ops []compiler.Op) error
}
