package nri

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// registerWithin is how long the runtime may take until it configures us. It
// receives one plugin after the other, and some need their time. That it lists
// its sandboxes may take longer: it waits until none is in the making.
const registerWithin = 30 * time.Second

// session is one connection to a runtime. Both sides ask and answer on it: the
// runtime calls the methods of the plugin's service, see service.go. The
// library's own stub is not used because it waits without end, and with its lock
// held, for a runtime that receives it and goes away before it has configured it.
type session struct {
	plugin *Plugin
	mux    multiplex.Mux
	client *ttrpc.Client
	server *ttrpc.Server
	// accept gives the server its one connection.
	accept net.Listener

	ctx        context.Context //nolint:containedctx // the session's own, for what the runtime calls
	configured chan struct{}
	closed     chan struct{}

	mu sync.Mutex
	// over: nothing is handed on any more, and answering counts who still does.
	over      bool
	answering sync.WaitGroup
	runtime   string
	// pages are what came of a list that comes in parts.
	pages []*api.PodSandbox
	// ids are the sandboxes that Pods have now: an older one of the same Pod
	// may still end.
	ids map[types.UID]string
}

// newSession takes the connection over.
func newSession(p *Plugin, conn net.Conn) (*session, error) {
	s := &session{
		plugin: p, configured: make(chan struct{}), closed: make(chan struct{}), ids: map[types.UID]string{},
	}
	var err error
	if s.server, err = ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(s.answer)); err != nil {
		return nil, fmt.Errorf("make a server for the runtime: %w", err)
	}
	api.RegisterPluginService(s.server, s)
	s.mux = multiplex.Multiplex(conn)
	if s.accept, err = s.mux.Listen(multiplex.PluginServiceConn); err != nil {
		return nil, errors.Join(err, s.mux.Close())
	}
	out, err := s.mux.Open(multiplex.RuntimeServiceConn)
	if err != nil {
		return nil, errors.Join(err, s.mux.Close())
	}
	s.client = ttrpc.NewClient(out, ttrpc.WithOnClose(sync.OnceFunc(func() { close(s.closed) })))
	return s, nil
}

// run returns when the connection has ended, or the context, and says why.
func (s *session) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	s.ctx = ctx
	var serving sync.WaitGroup
	// The other way round than they come: the server ends when the connection
	// does, and whoever waits in it when the context does.
	defer s.finish()
	defer serving.Wait()
	defer s.mux.Close()
	defer s.client.Close()
	defer s.server.Close()
	defer s.accept.Close()
	defer cancel()
	serving.Go(func() { _ = s.server.Serve(ctx, s.accept) })
	if err := s.register(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return errors.New("the runtime closed the connection")
	}
}

// register returns when the runtime has taken the plugin up.
func (s *session) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, registerWithin)
	defer cancel()
	_, err := api.NewRuntimeClient(s.client).RegisterPlugin(ctx, &api.RegisterPluginRequest{PluginName: pluginName, PluginIdx: pluginIndex})
	if err != nil {
		return fmt.Errorf("register with the runtime: %w", err)
	}
	select {
	case <-s.configured:
		return nil
	case <-s.closed:
		return errors.New("the runtime closed the connection before it configured the plugin")
	case <-ctx.Done():
		return fmt.Errorf("wait for the runtime to configure the plugin: %w", ctx.Err())
	}
}

// answer is around every call of the runtime. It keeps a mistake of ours from
// ending the agent, and from refusing a Pod: of the answers only the one to
// Configure has a content that matters.
func (s *session) answer(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (answer any, err error) {
	s.mu.Lock()
	over := s.over
	if !over {
		s.answering.Add(1)
	}
	s.mu.Unlock()
	if over {
		return &api.Empty{}, nil
	}
	defer s.answering.Done()
	defer func() {
		if what := recover(); what != nil {
			klog.FromContext(s.ctx).Error(fmt.Errorf("panic: %v", what), "Answering the container runtime", "method", info.FullMethod)
			answer, err = &api.Empty{}, nil
		}
	}()
	return method(ctx, unmarshal)
}

// finish returns when nothing of this connection is handed on any more, so that
// the next one's list has the last word.
func (s *session) finish() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.answering.Wait()
}
