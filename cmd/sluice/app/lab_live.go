//go:build linux && !nolab

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer/source"
)

// heartbeat is a connection that is never silent for long: it sends a byte
// every millisecond and notes when an answer came.
type heartbeat struct {
	conn net.Conn
	// last is when the last answer came, in Unix nanoseconds.
	last    atomic.Int64
	answers atomic.Int64
}

// newHeartbeat connects from inside a namespace to an echo server.
func newHeartbeat(ctx context.Context, from *lab.PodNamespace, to netip.AddrPort) (*heartbeat, error) {
	h := &heartbeat{}
	err := from.Do(func() error {
		dialer := net.Dialer{Timeout: 5 * time.Second}
		var err error
		h.conn, err = dialer.DialContext(ctx, "tcp", to.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	go h.send()
	go h.receive()
	return h, nil
}

func (h *heartbeat) send() {
	for {
		if _, err := h.conn.Write([]byte{'.'}); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (h *heartbeat) receive() {
	var b [4096]byte
	for {
		n, err := h.conn.Read(b[:])
		if err != nil {
			return
		}
		h.answers.Add(int64(n))
		h.last.Store(time.Now().UnixNano())
	}
}

// quiet waits until no answer has come for a while, and says when the last
// came.
func (h *heartbeat) quiet(ctx context.Context, limit time.Duration) (time.Time, error) {
	const silence = 300 * time.Millisecond
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		if last := time.Unix(0, h.last.Load()); time.Since(last) > silence {
			return last, nil
		}
	}
	return time.Time{}, fmt.Errorf("the connection still lives after %v", limit)
}

// beats waits for an answer that comes after the given time.
func (h *heartbeat) beats(ctx context.Context, after time.Time, limit time.Duration) (time.Time, error) {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return time.Time{}, err
		}
		if last := time.Unix(0, h.last.Load()); last.After(after) {
			return last, nil
		}
	}
	return time.Time{}, fmt.Errorf("nothing came through for %v", limit)
}

// cut takes away the policy under a live connection, and gives it back.
func (d *demo) cut(ctx context.Context) error {
	allowing, err := d.policy("db-from-api")
	if err != nil {
		return err
	}
	from := d.rig.lab.Pod(types.NamespacedName{Namespace: "shop", Name: "api"})
	h, err := newHeartbeat(ctx, from, netip.AddrPortFrom(d.podAddr("shop", "db"), 5432))
	if err != nil {
		return err
	}
	defer h.conn.Close()
	if _, err := h.beats(ctx, time.Now().Add(200*time.Millisecond), 5*time.Second); err != nil {
		return err
	}
	d.say(fmt.Sprintf("   shop/api → shop/db:5432 is open, a byte there and back every millisecond (%d so far)", h.answers.Load()))

	changed := time.Now()
	if err := d.each(func(s *source.Memory) error { return s.Delete(allowing) }); err != nil {
		return err
	}
	last, err := h.quiet(ctx, 10*time.Second)
	if err != nil {
		return err
	}
	d.say(fmt.Sprintf("   policy shop/db-from-api deleted: %s, the last byte came back %s after the change",
		d.palette.red("cut"), inMilliseconds(last.Sub(changed))))

	changed = time.Now()
	if err := d.each(func(s *source.Memory) error { return s.Set(allowing) }); err != nil {
		return err
	}
	first, err := h.beats(ctx, changed, 20*time.Second)
	if err != nil {
		return err
	}
	d.say(fmt.Sprintf("   policy shop/db-from-api is back: %s on the same connection after %s (TCP sends anew)",
		d.palette.green("alive"), inMilliseconds(first.Sub(changed))))
	return d.rig.settle(ctx)
}

// inMilliseconds shows a duration; one that measured nothing is still some.
func inMilliseconds(t time.Duration) string {
	if t < time.Millisecond {
		return "less than 1 ms"
	}
	return fmt.Sprintf("%d ms", t.Milliseconds())
}

// play hands the lab over to the user: agents that watch the manifests.
func (d *demo) play(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "sluice-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, shopFiles); err != nil {
		return err
	}
	manifests := dir + "/shop"
	if err := d.rig.restart(ctx, func(string) source.Source { return source.NewDir(manifests) }); err != nil {
		return err
	}
	enter := func(namespace, name string) string {
		return "nsenter --net=" + d.rig.lab.Pod(types.NamespacedName{Namespace: namespace, Name: name}).Path()
	}
	d.say("")
	d.say(d.palette.bold("The shop is yours until Ctrl-C."))
	d.say("")
	d.say("The manifests, watched by the engine on both nodes. Edit, add or delete any, and try again:")
	d.say("   " + manifests)
	d.say("Be a Pod (a shell in its network), or try one connection:")
	for _, p := range d.rig.lab.Spec().Pods {
		d.say(fmt.Sprintf("   %s %s   # %s", pad(p.Name.String(), 16), enter(p.Name.Namespace, p.Name.Name), p.Addrs[0]))
	}
	d.say("   " + enter("shop", "frontend") + " timeout 1 bash -c '</dev/tcp/" + d.podAddr("shop", "db").String() + "/5432' && echo reached || echo denied")
	d.say("See the rules of a node:")
	for _, n := range d.rig.lab.Spec().Nodes {
		d.say("   nsenter --net=" + d.rig.lab.Node(n.Name).Path() + " nft list table inet sluice")
	}
	d.say("Ask:")
	d.say("   sluice explain shop/frontend shop/db:5432 -f " + manifests)
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.rig.ended:
		d.rig.ended <- err
		return errors.Join(errors.New("an agent ended"), err)
	}
}
