//go:build linux && !nolab

package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer/source"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

// DemoOptions show the engine at work on a small cluster.
type DemoOptions struct {
	IOStreams
	keep bool
}

func newDemoCommand(streams IOStreams) *cobra.Command {
	o := &DemoOptions{IOStreams: streams}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: demoShort,
		Long: `Demo builds a small cluster out of network namespaces on this machine: a shop
with a frontend, an api and a database, a stranger in another namespace, DNS, and
the internet, on two nodes. The engine runs on both. It shows who reaches whom
before there is any policy and after each, cuts a live connection by taking away
the policy that allowed it, and explains two denied flows. All verdicts are those
of real packets. It needs root and nft, changes nothing outside of its
namespaces, and leaves nothing behind.

With --keep the cluster stays up until Ctrl-C, with its manifests in a directory
that the engine watches: edit them and see.

Exit codes:
  0  all packets did what the policies say
  1  some did not, or the demonstration failed
  2  root or nft is missing`,
		Example: `  sudo sluice demo
  sudo sluice demo --keep`,
		Args:    cobra.NoArgs,
		PreRunE: check(o),
		RunE:    run(o),
	}
	o.addColour(cmd.Flags())
	cmd.Flags().BoolVar(&o.keep, "keep", false, "keep the cluster up to play in, until Ctrl-C")
	return cmd
}

// Complete has nothing to fill in.
func (o *DemoOptions) Complete(*cobra.Command, []string) error { return nil }

// Validate refuses to start without what it takes.
func (o *DemoOptions) Validate() error { return needLab() }

// Run builds the shop and shows it.
func (o *DemoOptions) Run(ctx context.Context) (err error) {
	started := time.Now()
	set, err := readShop()
	if err != nil {
		return err
	}
	d := &demo{options: o, palette: o.IOStreams.palette(), set: set}
	d.say("A shop on two nodes, in network namespaces of this machine. Every mark below is")
	d.say("what became of a real packet.")
	if err := d.build(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.rig.close()) }()
	if err := d.acts(ctx); err != nil {
		return err
	}
	d.say("")
	d.say(fmt.Sprintf("That took %.0f seconds.", time.Since(started).Seconds()))
	if o.keep {
		return d.play(ctx)
	}
	d.say("Play in it: sluice demo --keep. Ask about your own policies: sluice verify, sluice explain.")
	return nil
}

// demo is one showing.
type demo struct {
	options *DemoOptions
	palette palette
	set     manifest.Set
	rig     *rig
	// pods are those of the set, with what the lab filled in.
	pods    []*corev1.Pod
	sources []*source.Memory
	applied []*networkingv1.NetworkPolicy
	last    map[lab.Flow]bool
	wrong   int
}

func (d *demo) say(line string) { fmt.Fprintln(d.options.Out, line) }

func (d *demo) title(number int, text string) {
	d.say("")
	d.say(d.palette.bold(fmt.Sprintf("%d  %s", number, text)))
	d.say("")
}

// build makes the lab and starts an agent on each node, without any policy.
func (d *demo) build(ctx context.Context) error {
	spec, pods, err := lab.SpecFromObjects(d.set.Pods, lab.Placement{Topology: lab.PTP, External: []netip.Addr{internet}})
	if err != nil {
		return err
	}
	d.pods = pods
	d.rig, err = newRig(ctx, spec, func(string) source.Source {
		s := &source.Memory{}
		d.sources = append(d.sources, s)
		return s
	})
	if err != nil {
		return err
	}
	var objects []any
	for _, n := range d.set.Namespaces {
		objects = append(objects, n)
	}
	for _, p := range pods {
		objects = append(objects, p)
	}
	if err := d.each(func(s *source.Memory) error { return s.Set(objects...) }); err != nil {
		return errors.Join(err, d.rig.close())
	}
	if err := d.rig.settle(ctx); err != nil {
		return errors.Join(err, d.rig.close())
	}
	return nil
}

func (d *demo) each(f func(*source.Memory) error) error {
	for _, s := range d.sources {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// acts is the showing itself.
func (d *demo) acts(ctx context.Context) error {
	d.title(1, "No policy: everyone reaches everyone")
	if err := d.matrix(ctx); err != nil {
		return err
	}
	d.title(2, "The first policy, shop/db-from-api, selects the database: what it does not allow\n   is denied there from now on")
	if err := d.apply(ctx, "db-from-api"); err != nil {
		return err
	}
	d.title(3, "The other policies: deny by default in the shop, then open what each part needs")
	if err := d.apply(ctx, "default-deny", "dns", "frontend", "api"); err != nil {
		return err
	}
	d.title(4, "A live connection from the api to the database, and its policy goes")
	if err := d.cut(ctx); err != nil {
		return err
	}
	d.title(5, "Why? (sluice explain)")
	if err := d.explain(); err != nil {
		return err
	}
	if d.wrong > 0 {
		return fmt.Errorf("%d packets did not do what the policies say", d.wrong)
	}
	return nil
}

// apply adds policies by name and shows what that changed.
func (d *demo) apply(ctx context.Context, names ...string) error {
	for _, name := range names {
		p, err := d.policy(name)
		if err != nil {
			return err
		}
		if err := d.each(func(s *source.Memory) error { return s.Set(p) }); err != nil {
			return err
		}
		d.applied = append(d.applied, p)
	}
	if err := d.rig.settle(ctx); err != nil {
		return err
	}
	return d.matrix(ctx)
}

func (d *demo) policy(name string) (*networkingv1.NetworkPolicy, error) {
	for _, p := range d.set.Policies {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("the shop has no policy %s", name)
}

// world is the shop as it is at the moment, on paper.
func (d *demo) world() *question.World {
	set := d.set
	set.Pods, set.Policies = d.pods, d.applied
	return question.New(set)
}

// explain answers two denied flows through the renderer of sluice explain.
func (d *demo) explain() error {
	world := d.world()
	for i, target := range []struct{ src, dst string }{
		{"guests/stranger", "shop/db:5432"},
		{"shop/frontend", "shop/db:5432"},
	} {
		q, err := question.Parse(target.src, target.dst, "")
		if err != nil {
			return err
		}
		a, err := world.Ask(q)
		if err != nil {
			return err
		}
		world.Explain(&a)
		var page bytes.Buffer
		if i > 0 {
			page.WriteByte('\n')
		}
		writeAnswer(&page, d.palette, &a)
		if _, err := d.options.Out.Write(page.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) podAddr(namespace, name string) netip.Addr {
	for _, p := range d.rig.lab.Spec().Pods {
		if p.Name == (types.NamespacedName{Namespace: namespace, Name: name}) {
			return p.Addrs[0]
		}
	}
	return netip.Addr{}
}
