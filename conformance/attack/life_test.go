package attack_test

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/conformance/lab"
)

// life is what goes on in a cluster under attack, and must not suffer: allowed
// streams, and the node's probes of isolated Pods.
type life struct {
	streams []*lab.Stream
	cancel  context.CancelFunc
	probing sync.WaitGroup

	mu     sync.Mutex
	probes int
	failed []error
}

// probedPort is where the kubelet would ask; no policy allows it.
const probedPort = 9090

// patience is how long allowed traffic may stand still on a machine that is
// busy with other tests.
const patience = 5 * time.Second

func startLife(t *testing.T, w *world) *life {
	t.Helper()
	l := &life{}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	t.Cleanup(l.stop)
	for _, is6 := range []bool{false, true} {
		for _, s := range []struct {
			from, to string
			kind     lab.StreamKind
		}{
			{friend, victim, lab.TCPSend}, {friend, victim, lab.TCPPush}, {friend, victim, lab.UDPExchange},
			{caged, open, lab.TCPPush}, {attacker, open, lab.UDPExchange},
		} {
			l.stream(t, w, lab.Flow{Src: w.addr(s.from, is6), Dst: w.addr(s.to, is6), Port: allowedPort}, s.kind)
		}
		l.stream(t, w, lab.Flow{Src: w.nodeAddr(is6), Dst: w.addr(victim, is6), Port: probedPort}, lab.TCPSend)
		address := w.addr(victim, is6)
		l.probing.Go(func() { l.probe(ctx, w.node, address) })
	}
	for _, s := range l.streams {
		if err := s.Await(timeout(t), 1); err != nil {
			t.Fatalf("allowed before any attack: %v", err)
		}
	}
	return l
}

func timeout(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (l *life) stream(t *testing.T, w *world, f lab.Flow, kind lab.StreamKind) {
	t.Helper()
	s, err := w.Stream(f, kind, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	l.streams = append(l.streams, s)
}

// probe connects as the kubelet does, again and again.
func (l *life) probe(ctx context.Context, node *lab.Namespace, to netip.Addr) {
	address := net.JoinHostPort(to.String(), strconv.Itoa(probedPort))
	for ctx.Err() == nil {
		err := node.Do(func() error {
			c, err := net.DialTimeout("tcp", address, patience)
			if err == nil {
				c.Close()
			}
			return err
		})
		l.mu.Lock()
		l.probes++
		if err != nil {
			l.failed = append(l.failed, err)
		}
		l.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

func (l *life) stop() {
	l.cancel()
	l.probing.Wait()
	for _, s := range l.streams {
		s.Stop()
	}
	l.streams = nil
}

func (l *life) check(t *testing.T) {
	t.Run("allowed traffic and probes went on", func(t *testing.T) {
		for _, s := range l.streams {
			r := s.Report()
			if r.Err != nil || r.Lost > 0 || r.Stall > patience || r.Received == 0 {
				t.Errorf("%s %s: %d received, %d lost, %v without any, %v", s.Kind(), s.Flow(), r.Received, r.Lost, r.Stall, r.Err)
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.probes == 0 || len(l.failed) > 0 {
			t.Errorf("%d of %d probes failed: %v", len(l.failed), l.probes, l.failed)
		}
	})
}
