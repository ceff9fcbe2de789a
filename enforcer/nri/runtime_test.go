package nri

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
)

// runtime is a container runtime's side of NRI, as containerd and CRI-O have it
// built in, behind a socket that can be taken away as if its process ended.
type runtime struct {
	t      testing.TB
	socket string
	nri    *adaptation.Adaptation
	inner  string

	mu       sync.Mutex
	pods     []*api.PodSandbox
	listener net.Listener
	conns    []net.Conn
}

func newRuntime(t testing.TB, socket string, pods ...*api.PodSandbox) *runtime {
	t.Helper()
	dir := t.TempDir()
	r := &runtime{t: t, socket: socket, inner: filepath.Join(dir, "nri.sock"), pods: pods}
	var err error
	r.nri, err = adaptation.New("containerd", "v2.2.9", r.synchronize,
		func(context.Context, []*api.ContainerUpdate) ([]*api.ContainerUpdate, error) { return nil, nil },
		adaptation.WithSocketPath(r.inner), adaptation.WithPluginPath(dir), adaptation.WithPluginConfigPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.nri.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nri.Stop)
	return r
}

func (r *runtime) synchronize(ctx context.Context, tell adaptation.SyncCB) error {
	r.mu.Lock()
	pods := r.pods
	r.mu.Unlock()
	_, err := tell(ctx, pods, nil)
	return err
}

// listen makes the socket, in place of one that is there.
func (r *runtime) listen() {
	r.t.Helper()
	if err := os.Remove(r.socket); err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	l, err := net.Listen("unix", r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	// A process that ends leaves its socket where it is.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	r.mu.Lock()
	r.listener = l
	r.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.join(conn)
		}
	}()
	r.t.Cleanup(r.hangUp)
}

func (r *runtime) join(conn net.Conn) {
	inside, err := net.Dial("unix", r.inner)
	if err != nil {
		conn.Close()
		return
	}
	r.mu.Lock()
	r.conns = append(r.conns, conn, inside)
	r.mu.Unlock()
	both := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close()
		from.Close()
	}
	go both(conn, inside)
	go both(inside, conn)
}

// hangUp ends all connections and listens no more.
func (r *runtime) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener.Close()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func (r *runtime) setPods(pods ...*api.PodSandbox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pods = pods
}

// run starts a sandbox, which must not be refused.
func (r *runtime) run(pod *api.PodSandbox) {
	r.t.Helper()
	// As runtimes do: no plugin is let in between a sandbox and its announcement.
	defer r.nri.BlockPluginSync().Unblock()
	if err := r.nri.RunPodSandbox(context.Background(), &api.RunPodSandboxRequest{Pod: pod}); err != nil {
		r.t.Errorf("the Pod %s is refused: %v", pod.GetName(), err)
	}
}

func (r *runtime) stop(pod *api.PodSandbox) {
	r.t.Helper()
	if err := r.nri.StopPodSandbox(context.Background(), &api.StopPodSandboxRequest{Pod: pod}); err != nil {
		r.t.Errorf("stop %s: %v", pod.GetName(), err)
	}
}

func (r *runtime) remove(pod *api.PodSandbox) {
	r.t.Helper()
	if err := r.nri.RemovePodSandbox(context.Background(), &api.RemovePodSandboxRequest{Pod: pod}); err != nil {
		r.t.Errorf("remove %s: %v", pod.GetName(), err)
	}
}

// box is a sandbox with a network of its own; its id is the UID's.
func box(name string, ips ...string) *api.PodSandbox {
	return &api.PodSandbox{
		Id: "id-" + name, Uid: "uid-" + name, Name: name, Namespace: "shop", Ips: ips, Pid: 7,
		Linux: &api.LinuxPodSandbox{Namespaces: []*api.LinuxNamespace{{Type: "ipc"}, {Type: "network", Path: "/var/run/netns/cni-" + name}}},
	}
}

// onTheNode is one without.
func onTheNode(name string) *api.PodSandbox {
	p := box(name)
	p.Linux.Namespaces = p.Linux.Namespaces[:1]
	return p
}
