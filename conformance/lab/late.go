package lab

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// StartPod makes a Pod that is Late: its namespace, its veth, its addresses and routes, in
// this order, as a network plug-in does. It returns when all of it is there, and before the
// kernel has to be done with it; Probe and Stream wait for that. On a bridge the Pod knows
// beforehand those that were there before it, if neighbours are permanent in this lab.
func (l *Lab) StartPod(ctx context.Context, name types.NamespacedName) (*PodNamespace, error) {
	l.starting.Lock()
	defer l.starting.Unlock()
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return nil, errStopped
	}
	if l.Pod(name) != nil {
		return nil, fmt.Errorf("start Pod %s: it is there already", name)
	}
	for _, k := range l.links {
		for _, i := range k.lay.pods {
			if l.spec.Pods[i].Name == name {
				p, err := l.startPod(ctx, k, i)
				if err != nil {
					return nil, fmt.Errorf("start Pod %s: %w", name, err)
				}
				return p, nil
			}
		}
	}
	return nil, fmt.Errorf("start Pod %s: it is not in the lab's plan", name)
}

func (l *Lab) startPod(ctx context.Context, k *podLinks, i int) (*PodNamespace, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := l.buildPod(k, i)
	if err != nil {
		return nil, err
	}
	if k.bridge != 0 {
		for _, q := range k.pods {
			static := l.layout.staticNeighbours && !q.Pod.Late
			if err := l.introducePeer(k, p, q, static); err != nil {
				return nil, err
			}
			if err := l.introducePeer(k, q, p, static); err != nil {
				return nil, err
			}
		}
	}
	k.pods = append(k.pods, p)
	return p, l.servePod(p.Pod)
}
