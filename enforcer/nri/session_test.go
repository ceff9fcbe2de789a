package nri

import (
	"context"
	"crypto/rand"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// wire is the runtime's end of one connection, to say what no runtime of today
// says.
type wire struct {
	conn       net.Conn
	mux        multiplex.Mux
	plugin     api.PluginService
	registered chan *api.RegisterPluginRequest
}

func (w *wire) RegisterPlugin(_ context.Context, r *api.RegisterPluginRequest) (*api.Empty, error) {
	w.registered <- r
	return &api.Empty{}, nil
}

func (w *wire) UpdateContainers(context.Context, *api.UpdateContainersRequest) (*api.UpdateContainersResponse, error) {
	return &api.UpdateContainersResponse{}, nil
}

// listener is a socket at which a plugin calls.
func listener(t *testing.T) (string, net.Listener) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "nri.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return socket, l
}

// receive takes the next call up to the plugin's registration.
func receive(t *testing.T, l net.Listener) *wire {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w := &wire{conn: conn, mux: multiplex.Multiplex(conn, multiplex.WithBlockedRead()), registered: make(chan *api.RegisterPluginRequest, 1)}
	out, err := w.mux.Open(multiplex.PluginServiceConn)
	if err != nil {
		t.Fatal(err)
	}
	in, err := w.mux.Listen(multiplex.RuntimeServiceConn)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	api.RegisterRuntimeService(server, w)
	// Not earlier: what comes for a connection that nobody has opened yet is dropped.
	w.mux.Unblock()
	go func() { _ = server.Serve(context.Background(), in) }()
	t.Cleanup(func() { server.Close() })
	w.plugin = api.NewPluginClient(ttrpc.NewClient(out))
	return w
}

func (w *wire) await(t *testing.T) *api.RegisterPluginRequest {
	t.Helper()
	select {
	case r := <-w.registered:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no plugin registers")
		return nil
	}
}

// configure goes as far as an empty list.
func (w *wire) configure(t *testing.T) *api.ConfigureResponse {
	t.Helper()
	w.await(t)
	answer, err := w.plugin.Configure(t.Context(), &api.ConfigureRequest{RuntimeName: "containerd", RuntimeVersion: "v1.7.0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.plugin.Synchronize(t.Context(), &api.SynchronizeRequest{}); err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestOldRuntime: before NRI 0.12 all events of sandboxes are one call, and
// before 0.8 there are no addresses in them.
func TestOldRuntime(t *testing.T) {
	socket, l := listener(t)
	s := &sink{}
	_, _ = plug(t, socket, s)
	w := receive(t, l)
	if r := w.await(t); r.PluginName != "sluice" || api.CheckPluginIndex(r.PluginIdx) != nil {
		t.Errorf("registered as %+v", r)
	} else {
		w.registered <- r
	}
	want := api.MustParseEventMask("RunPodSandbox,StopPodSandbox,RemovePodSandbox")
	if got := api.EventMask(w.configure(t).GetEvents()); got != want {
		t.Errorf("subscribed to %s, want %s", got.PrettyString(), want.PrettyString())
	}
	for _, e := range []api.Event{api.Event_RUN_POD_SANDBOX, api.Event_START_CONTAINER, api.Event_STOP_POD_SANDBOX, api.Event_REMOVE_POD_SANDBOX} {
		if _, err := w.plugin.StateChange(t.Context(), &api.StateChangeEvent{Event: e, Pod: box("web")}); err != nil {
			t.Errorf("%v: %v", e, err)
		}
	}
	if diff := cmp.Diff([]Sandbox{sandbox("web")}, s.started, sameAddr); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}
	if len(s.gone) != 2 {
		t.Errorf("gone: %v", s.gone)
	}
}

// TestUnaskedIsAnswered: an error would refuse the Pod or the container.
func TestUnaskedIsAnswered(t *testing.T) {
	socket, l := listener(t)
	_, _ = plug(t, socket, &sink{})
	w := receive(t, l)
	w.configure(t)
	ctx, p := t.Context(), w.plugin
	for what, call := range map[string]func() error{
		"Shutdown":            func() error { _, err := p.Shutdown(ctx, &api.Empty{}); return err },
		"UpdatePodSandbox":    func() error { _, err := p.UpdatePodSandbox(ctx, &api.UpdatePodSandboxRequest{}); return err },
		"PostUpdatePod":       func() error { _, err := p.PostUpdatePodSandbox(ctx, &api.PostUpdatePodSandboxRequest{}); return err },
		"CreateContainer":     func() error { _, err := p.CreateContainer(ctx, &api.CreateContainerRequest{}); return err },
		"PostCreateContainer": func() error { _, err := p.PostCreateContainer(ctx, &api.PostCreateContainerRequest{}); return err },
		"StartContainer":      func() error { _, err := p.StartContainer(ctx, &api.StartContainerRequest{}); return err },
		"PostStartContainer":  func() error { _, err := p.PostStartContainer(ctx, &api.PostStartContainerRequest{}); return err },
		"UpdateContainer":     func() error { _, err := p.UpdateContainer(ctx, &api.UpdateContainerRequest{}); return err },
		"PostUpdateContainer": func() error { _, err := p.PostUpdateContainer(ctx, &api.PostUpdateContainerRequest{}); return err },
		"StopContainer":       func() error { _, err := p.StopContainer(ctx, &api.StopContainerRequest{}); return err },
		"RemoveContainer":     func() error { _, err := p.RemoveContainer(ctx, &api.RemoveContainerRequest{}); return err },
		"Validate": func() error {
			_, err := p.ValidateContainerAdjustment(ctx, &api.ValidateContainerAdjustmentRequest{})
			return err
		},
		"StateChange":      func() error { _, err := p.StateChange(ctx, &api.StateChangeEvent{Event: 9999}); return err },
		"StopPodSandbox":   func() error { _, err := p.StopPodSandbox(ctx, &api.StopPodSandboxRequest{}); return err },
		"RemovePodSandbox": func() error { _, err := p.RemovePodSandbox(ctx, &api.RemovePodSandboxRequest{}); return err },
		"RunPodSandbox":    func() error { _, err := p.RunPodSandbox(ctx, &api.RunPodSandboxRequest{}); return err },
		"Configure again":  func() error { _, err := p.Configure(ctx, &api.ConfigureRequest{}); return err },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestShortTimeout: a runtime that is configured to give plugins less time than
// usual is not kept until it gives this one up.
func TestShortTimeout(t *testing.T) {
	socket, l := listener(t)
	s := &sink{slow: map[types.UID]bool{"uid-web": true}}
	_, _ = plug(t, socket, s)
	w := receive(t, l)
	w.configure(t)
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	if _, err := w.plugin.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Pod: box("web", "10.1.0.2")}); err != nil {
		t.Errorf("of 600 ms nothing was left: %v", err)
	}
}

// TestStrangeRuntimes: whatever is at the socket, the plugin calls again.
func TestStrangeRuntimes(t *testing.T) {
	for name, greet := range map[string]func(*testing.T, net.Listener){
		"goes away":     func(t *testing.T, l net.Listener) { hear(t, l).Close() },
		"sends garbage": func(t *testing.T, l net.Listener) { babble(hear(t, l)) },
		"sends a huge frame": func(t *testing.T, l net.Listener) {
			_, _ = hear(t, l).Write([]byte{0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff})
		},
		"goes away before it has configured the plugin": func(t *testing.T, l net.Listener) {
			w := receive(t, l)
			w.await(t)
			w.conn.Close()
		},
		"sends garbage when all seems well": func(t *testing.T, l net.Listener) {
			w := receive(t, l)
			w.configure(t)
			babble(w.conn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			socket, l := listener(t)
			s := &sink{}
			p, _ := plug(t, socket, s)
			greet(t, l)
			w := receive(t, l)
			w.configure(t)
			await(t, "connected", func() bool { return p.State().Heard })
			if _, err := w.plugin.RunPodSandbox(t.Context(), &api.RunPodSandboxRequest{Pod: box("web", "10.1.0.2")}); err != nil {
				t.Error(err)
			}
			if started, _, sets, lost := s.count(); started != 1 || sets != lost+1 {
				t.Errorf("%d sandboxes, %d lists and %d losses", started, sets, lost)
			}
		})
	}
}

// TestEndsWhileItWaits: a runtime that says nothing does not keep the agent.
func TestEndsWhileItWaits(t *testing.T) {
	socket, l := listener(t)
	_, _ = plug(t, socket, &sink{})
	hear(t, l) // and the end of the test waits for the plugin's
}

func hear(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func babble(conn net.Conn) {
	garbage := make([]byte, 1<<16)
	_, _ = rand.Read(garbage)
	_, _ = conn.Write(garbage)
	conn.Close()
}
