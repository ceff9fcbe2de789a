package denials

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/denials/nflog"
	"github.com/sluice-net/sluice/policy"
)

// A group that another reads is told of, and taken as soon as it is free.
func TestGroupIsTakenWhenItIsFree(t *testing.T) {
	r := newRig(t, compiler.Config{}, denials.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	second := &nflog.Reader{Namespace: r.node, Group: logGroup, Take: r.recorder.Log, Lost: r.recorder.Lost}
	done := make(chan struct{})
	go func() {
		defer close(done)
		second.Run(ctx)
	}()
	r.await("the second reader says that the group is taken", func() bool { return second.Err() != nil })
	if err := second.Err(); !strings.Contains(err.Error(), "another program reads it") || second.Bound() {
		t.Errorf("%v", err)
	}
	r.stop()
	r.await("the second reader has the group", second.Bound)
	r.change(func(x *policy.Index) { r.set(x, "shop/default-deny", "podSelector: {}\npolicyTypes: [Ingress]\n") })
	r.send(r.pods[1], netip.AddrPortFrom(r.pods[0].Addrs[0], 80))
	if list := r.settle(); len(list) != 1 {
		t.Errorf("%d denials by the second reader", len(list))
	}
	cancel()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("a reader does not end with its context")
	}
}

// Where the kernel says what a connection was opened to, the Service is told, and nothing
// is made up where it does not. TestService and TestParsePacket hold the rest of the way.
func TestServiceOfADeniedFlow(t *testing.T) {
	r := newRig(t, compiler.Config{}, denials.Config{ServiceAt: func(a netip.Addr, p policy.Protocol, port uint16) (string, bool) {
		return "shop/svc", a == netip.MustParseAddr("10.96.0.1") && p == policy.UDP && port == 8000
	}})
	r.change(func(x *policy.Index) { r.set(x, "shop/default-deny", "podSelector: {}\npolicyTypes: [Ingress]\n") })
	db := r.pods[0].Addrs[0]
	r.nft("add table ip services\nadd chain ip services translate { type nat hook prerouting priority dstnat; }\n" +
		"add rule ip services translate ip daddr 10.96.0.1 udp dport 8000 dnat to " + db.String() + ":80\n")
	r.send(r.pods[1], netip.MustParseAddrPort("10.96.0.1:8000"))
	r.send(r.pods[1], netip.AddrPortFrom(db, 81))
	list := r.settle()
	if len(list) != 2 {
		t.Fatalf("%d denials, want 2: %+v", len(list), list)
	}
	s := list[0].Service
	told := s != nil && *s == denials.Service{Address: "10.96.0.1", Port: 8000, Name: "shop/svc"}
	if told != r.reader.Connections() || s != nil && !told || list[0].Port != 80 {
		t.Errorf("%+v, through %+v; the kernel describes connections: %v", list[0], s, r.reader.Connections())
	}
	if list[1].Service != nil {
		t.Errorf("a flow that came through no Service came through %+v", list[1].Service)
	}
}

// next is the next denial. What is ready may be nothing, if it was explained already.
func (r *rig) next(sub *denials.Subscription) *denials.Denial {
	r.t.Helper()
	late := time.After(5 * time.Second)
	for {
		select {
		case <-r.recorder.Ready():
			r.recorder.Explain(r.epoch)
		case d := <-sub.C():
			return d
		case <-late:
			r.t.Fatalf("nothing is read; the reader says: %v; left out: %v", r.reader.Err(), r.recorder.LeftOut())
		}
	}
}

// A log carries the time of the packet, and the denial is there at once.
func TestDenialsAreThereAtOnce(t *testing.T) {
	r := newRig(t, compiler.Config{}, denials.Config{})
	r.change(func(x *policy.Index) { r.set(x, "shop/default-deny", "podSelector: {}\npolicyTypes: [Ingress]\n") })
	r.send(r.pods[1], netip.AddrPortFrom(r.pods[0].Addrs[0], 79)) // whose neighbours are looked for first
	r.settle()
	sub, _, err := r.recorder.Store().Follow(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	var worst time.Duration
	for i := range 15 {
		before := time.Now()
		r.send(r.pods[1], netip.AddrPortFrom(r.pods[0].Addrs[0], uint16(100+i)))
		d := r.next(sub)
		worst = max(worst, time.Since(before))
		if d.Time.Before(before.Add(-time.Millisecond)) || d.Time.After(time.Now()) {
			t.Errorf("judged at %v, sent at %v", d.Time, before)
		}
		time.Sleep(60 * time.Millisecond)
	}
	t.Logf("a denial is there %v after the packet was sent at worst", worst)
	if worst > time.Second {
		t.Errorf("a denial took %v", worst)
	}
}
