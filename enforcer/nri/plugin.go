package nri

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// DefaultSocket is where runtimes listen if nobody says otherwise.
const DefaultSocket = "/var/run/nri/nri.sock"

// What the runtime knows the plugin by. Of plugins with the same events those
// with lower indexes come first: a Pod is to be enforced last, when no other
// plugin can still refuse it.
const (
	pluginName  = "sluice"
	pluginIndex = "90"
)

const (
	// The first try again comes soon, for runtimes restart in a second and then
	// have much to start. To find nobody there costs nothing; to be received and
	// sent away each time costs the runtime lines in its log.
	pauseMin       = 100 * time.Millisecond
	pauseMaxAbsent = 2 * time.Second
	pauseMaxSent   = 30 * time.Second
	// lasting is when a connection counts as one that worked.
	lasting = 10 * time.Second
	// silentAfter is how long the runtime may say nothing before it is a
	// condition: it may restart in peace.
	silentAfter = 15 * time.Second
)

// Plugin is connected to the runtime at a socket whenever it can be.
type Plugin struct {
	socket   string
	sink     Sink
	clock    clock.WithTicker
	metrics  *metrics
	patience *patience

	mu    sync.Mutex
	state State
	told  string // what was logged last
}

// State is how it stands with the runtime.
type State struct {
	// Heard: the runtime tells of sandboxes as they start.
	Heard bool
	// Since is from when on that is so, or not.
	Since time.Time
	// Runtime is its name and version, of the last connection.
	Runtime string
	// NoAddrs: the last sandbox that it told of came without addresses.
	NoAddrs bool
	// Err is why it is not heard.
	Err error
}

// New makes a plugin and starts nothing.
func New(socket string, sink Sink, reg prometheus.Registerer, c clock.WithTicker) (*Plugin, error) {
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	return &Plugin{
		socket: socket, sink: sink, clock: c, metrics: m, patience: newPatience(c),
		state: State{Since: c.Now(), Err: errors.New("not connected yet")},
	}, nil
}

// Run connects, again and again, until the context ends.
func (p *Plugin) Run(ctx context.Context) {
	var pause time.Duration
	for ctx.Err() == nil {
		began := p.clock.Now()
		most, err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		p.lost(ctx, err)
		if p.clock.Since(began) >= lasting {
			pause = 0
		}
		pause = min(max(2*pause, pauseMin), most)
		select {
		case <-ctx.Done():
		case <-p.clock.After(pause):
		}
	}
}

// once is one connection, from its first packet to its last. It returns why it
// ended, and the longest pause after such an end.
func (p *Plugin) once(ctx context.Context) (most time.Duration, err error) {
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("connection to the runtime: panic: %v", what)
		}
	}()
	conn, err := (&net.Dialer{Timeout: registerWithin}).DialContext(ctx, "unix", p.socket)
	if err != nil {
		return pauseMaxAbsent, err
	}
	s, err := newSession(p, conn)
	if err != nil {
		conn.Close()
		return pauseMaxSent, err
	}
	return pauseMaxSent, s.run(ctx)
}

// heard is called when the runtime has listed its sandboxes.
func (p *Plugin) heard(ctx context.Context, runtime string, sandboxes int) {
	p.mu.Lock()
	if !p.state.Heard {
		p.state.Since = p.clock.Now()
	}
	p.state.Heard, p.state.Err, p.state.Runtime, p.told = true, nil, runtime, ""
	p.mu.Unlock()
	p.metrics.connected.Set(1)
	p.metrics.connections.Inc()
	klog.FromContext(ctx).Info("The container runtime tells of sandboxes", "runtime", runtime, "socket", p.socket, "sandboxes", sandboxes)
}

// lost is called when a connection has ended or could not be made.
func (p *Plugin) lost(ctx context.Context, err error) {
	p.mu.Lock()
	was := p.state.Heard
	if was {
		p.state.Since = p.clock.Now()
	}
	p.state.Heard, p.state.Err = false, err
	news := p.told != err.Error()
	p.told = err.Error()
	p.mu.Unlock()
	p.metrics.connected.Set(0)
	if was {
		p.sink.SandboxesLost()
	}
	if news {
		klog.FromContext(ctx).Info("The container runtime is not heard", "socket", p.socket, "why", err.Error())
	}
}

func (p *Plugin) noteAddrs(s Sandbox) {
	if len(s.Addrs) == 0 {
		p.metrics.noAddrs.Inc()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.NoAddrs = len(s.Addrs) == 0
}

// State is a snapshot.
func (p *Plugin) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Silent says what is the matter if the runtime has not been heard for a while,
// and what to do about it. Policies hold without it: what is lost are first
// packets of Pods that start.
func (p *Plugin) Silent() (message, mend string, silent bool) {
	s := p.State()
	if s.Heard || p.clock.Since(s.Since) < silentAfter {
		return "", "", false
	}
	message = fmt.Sprintf("the container runtime does not tell of sandboxes at %s: %v", p.socket, s.Err)
	switch {
	case errors.Is(s.Err, fs.ErrNotExist):
		mend = "switch NRI on in the runtime, mount the directory of its socket (deploy/nri.yaml), or leave out --nri-socket"
	case errors.Is(s.Err, syscall.ECONNREFUSED):
		mend = "the socket is nobody's: mount its directory (deploy/nri.yaml), not the socket, which is another after each start of the runtime"
	case errors.Is(s.Err, fs.ErrPermission):
		mend = "let the agent connect to the socket: where SELinux is enforced that takes a label that may"
	default:
		mend = "the runtime's log says more"
	}
	return message, mend, true
}
