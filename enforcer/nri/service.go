package nri

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/nri/pkg/api"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// events is what the plugin wants to be told.
const events = 1<<(api.Event_RUN_POD_SANDBOX-1) | 1<<(api.Event_STOP_POD_SANDBOX-1) | 1<<(api.Event_REMOVE_POD_SANDBOX-1)

// Configure is the runtime's first call.
func (s *session) Configure(_ context.Context, r *api.ConfigureRequest) (*api.ConfigureResponse, error) {
	s.mu.Lock()
	first := s.runtime == ""
	s.runtime = fmt.Sprintf("%.64s %.64s", r.GetRuntimeName(), r.GetRuntimeVersion())
	s.mu.Unlock()
	if first {
		close(s.configured)
	}
	return &api.ConfigureResponse{Events: int32(events)}, nil
}

// Synchronize is the second: all sandboxes, in one part or several.
func (s *session) Synchronize(_ context.Context, r *api.SynchronizeRequest) (*api.SynchronizeResponse, error) {
	logger := klog.FromContext(s.ctx)
	s.mu.Lock()
	room := max(maxSandboxes-len(s.pages), 0)
	left := max(len(r.GetPods())-room, 0)
	s.pages = append(s.pages, r.GetPods()[:len(r.GetPods())-left]...)
	if left > 0 {
		logger.Info("The container runtime lists more sandboxes than a node can have", "limit", maxSandboxes, "leftOut", left)
	}
	if r.GetMore() {
		s.mu.Unlock()
		return &api.SynchronizeResponse{More: true}, nil
	}
	list, unread, problem := readList(s.pages)
	chosen := standing(list)
	s.pages, s.ids = nil, map[types.UID]string{}
	all := make([]Sandbox, 0, len(chosen))
	for _, c := range chosen {
		s.ids[c.UID] = c.id
		all = append(all, c.Sandbox)
	}
	runtime := s.runtime
	s.mu.Unlock()
	if unread > 0 {
		logger.Info("Sandboxes that cannot be understood", "number", unread, "oneOfThem", problem.Error())
	}
	s.plugin.sink.SetSandboxes(all)
	s.plugin.heard(s.ctx, runtime, len(all))
	return &api.SynchronizeResponse{}, nil
}

// RunPodSandbox tells of a sandbox that starts.
func (s *session) RunPodSandbox(ctx context.Context, r *api.RunPodSandboxRequest) (*api.RunPodSandboxResponse, error) {
	s.started(ctx, r.GetPod())
	return &api.RunPodSandboxResponse{}, nil
}

// StopPodSandbox tells of one that ends.
func (s *session) StopPodSandbox(_ context.Context, r *api.StopPodSandboxRequest) (*api.StopPodSandboxResponse, error) {
	s.ended(r.GetPod())
	return &api.StopPodSandboxResponse{}, nil
}

// RemovePodSandbox tells of one that has ended, perhaps without StopPodSandbox.
func (s *session) RemovePodSandbox(_ context.Context, r *api.RemovePodSandboxRequest) (*api.RemovePodSandboxResponse, error) {
	s.ended(r.GetPod())
	return &api.RemovePodSandboxResponse{}, nil
}

// StateChange is how runtimes before NRI 0.12 tell of the same.
func (s *session) StateChange(ctx context.Context, e *api.StateChangeEvent) (*api.Empty, error) {
	switch e.GetEvent() {
	case api.Event_RUN_POD_SANDBOX:
		s.started(ctx, e.GetPod())
	case api.Event_STOP_POD_SANDBOX, api.Event_REMOVE_POD_SANDBOX:
		s.ended(e.GetPod())
	}
	return &api.Empty{}, nil
}

// started hands a sandbox on and waits until its Pod is enforced, for as long as
// the runtime may be kept waiting.
func (s *session) started(ctx context.Context, pod *api.PodSandbox) {
	p, logger := s.plugin, klog.FromContext(s.ctx)
	box, err := read(pod)
	switch {
	case errors.Is(err, errNodeNetwork):
		p.metrics.answers.WithLabelValues(onNode).Inc()
		return
	case err != nil:
		p.metrics.answers.WithLabelValues(unreadable).Inc()
		logger.Info("A sandbox that cannot be understood", "why", err.Error())
		return
	}
	s.mu.Lock()
	if len(s.ids) < maxSandboxes {
		s.ids[box.UID] = pod.GetId()
	}
	s.mu.Unlock()
	p.noteAddrs(box)

	ctx, cancel := context.WithTimeout(klog.NewContext(ctx, logger), p.patience.next(ctx))
	defer cancel()
	began := p.clock.Now()
	err = handOn(ctx, p.sink, box)
	waited := p.clock.Since(began)
	outcome := inTime
	switch {
	case err != nil && ctx.Err() != nil:
		outcome = late
	case err != nil:
		outcome = failed
	}
	p.patience.spent(waited, outcome == late)
	p.metrics.wait.Observe(waited.Seconds())
	p.metrics.answers.WithLabelValues(outcome).Inc()
	switch outcome {
	case late:
		logger.V(2).Info("A Pod starts before it is enforced, and so closed", "pod", box.Pod, "uid", box.UID, "waited", waited, "why", err.Error())
	case failed:
		logger.Info("A Pod starts before it is enforced, and so closed", "pod", box.Pod, "uid", box.UID, "waited", waited, "why", err.Error())
	}
}

func handOn(ctx context.Context, sink Sink, box Sandbox) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("panic: %v", what)
		}
	}()
	return sink.SandboxStarted(ctx, box)
}

// ended hands on that a Pod has no sandbox any more, unless it has another.
func (s *session) ended(pod *api.PodSandbox) {
	uid := types.UID(pod.GetUid())
	s.mu.Lock()
	now, known := s.ids[uid]
	if known && now != pod.GetId() {
		s.mu.Unlock()
		return
	}
	delete(s.ids, uid)
	s.mu.Unlock()
	if uid != "" && len(uid) <= maxUID {
		s.plugin.sink.SandboxGone(uid)
	}
}
