package packetpath

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/policy"
)

// agree checks that a cell does what its policies say. Shapes can be compared
// only if they do the same work.
func (s *site) agree(ctx context.Context, c cell, w workload) error {
	index := policy.NewIndex(policy.Options{Node: nodeName})
	for _, o := range w.objects(true) {
		switch o := o.(type) {
		case *corev1.Namespace:
			index.SetNamespace(o.Name, o.Labels)
		case *corev1.Pod:
			p, err := policy.PodFromAPI(o)
			if err != nil {
				return err
			}
			index.SetPod(p)
		case *networkingv1.NetworkPolicy:
			if err := index.SetPolicy(o); err != nil {
				return err
			}
		}
	}
	flows := w.flows()
	reached, err := s.Probe(ctx, flows)
	if err != nil {
		return fmt.Errorf("check %s: %w", c, err)
	}
	var errs []error
	for i, f := range flows {
		verdict := index.Evaluate(policy.Flow{
			Src: index.EndOfAddr(f.Src), Dst: index.EndOfAddr(f.Dst),
			Protocol: policy.Protocol(f.Protocol), Port: f.Port,
		})
		if want := c.shape.open() || verdict.Allowed; reached[i] != want {
			errs = append(errs, fmt.Errorf("check %s: %s: reached is %v, should be %v", c, f, reached[i], want))
		}
	}
	return errors.Join(errs...)
}

// flows ask for each kind of rule: what it allows and what is just beside it.
func (w workload) flows() []lab.Flow {
	server := w.server().addr
	var out []lab.Flow
	add := func(protocol uint8, port uint16) {
		for n := range fillers {
			if n != 1 {
				out = append(out, lab.Flow{Src: localPod(n).addr, Dst: server, Protocol: protocol, Port: port})
			}
		}
		for _, a := range outsiders {
			out = append(out, lab.Flow{Src: a, Dst: server, Protocol: protocol, Port: port})
		}
	}
	for _, port := range []uint16{httpPort, throughputPort, 5210, metricsPort, 10000, 30009, 22} {
		add(lab.TCP, port)
	}
	for _, port := range []uint16{packetPort, 5310, 30003} {
		add(lab.UDP, port)
	}
	if w.load.Elsewhere > 0 {
		another := localPod(fillers).addr
		for _, port := range []uint16{10000, 22} {
			out = append(out, lab.Flow{Src: localPod(3).addr, Dst: another, Protocol: lab.TCP, Port: port},
				lab.Flow{Src: localPod(2).addr, Dst: another, Protocol: lab.TCP, Port: port})
		}
	}
	return out
}
