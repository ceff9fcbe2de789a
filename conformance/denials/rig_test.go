package denials

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/knftables"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/denials/nflog"
	"github.com/sluice-net/sluice/enforcer/tables"
	"github.com/sluice-net/sluice/policy"
)

const (
	// podCount Pods are on the one node. The kernel logs 20 packets a second of each, and
	// 20 at once.
	podCount   = 24
	logsAtOnce = 20
	logGroup   = 77
	nodeName   = "a"
)

// A rig is a node with Pods, whose rules are made of an index and brought to its kernel
// as an agent does, and a recorder that reads what they log.
type rig struct {
	t        testing.TB
	lab      *lab.Lab
	node     *lab.Namespace
	pods     []*rigPod
	index    *policy.Index
	compiler *compiler.Compiler
	tables   enforcer.Transactor
	links    compiler.Links
	recorder *denials.Recorder
	reader   *nflog.Reader
	epoch    uint32
	// stop ends the reader.
	stop func()
}

type rigPod struct {
	*policy.Pod
	sockets [2]int
}

func newRig(t testing.TB, c compiler.Config, cfg denials.Config) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root (CAP_SYS_ADMIN and CAP_NET_ADMIN)")
	}
	r := &rig{t: t, index: policy.NewIndex(policy.Options{Node: nodeName}), epoch: 1}
	r.build()
	c.Mark, c.LogGroup = compiler.MarkLayout{Mask: compiler.DefaultMask}, logGroup
	var err error
	if r.compiler, err = compiler.New(c); err != nil {
		t.Fatal(err)
	}
	cfg.Node = nodeName
	if r.recorder, err = denials.New(cfg); err != nil {
		t.Fatal(err)
	}
	r.tables = tables.New(r.node)
	r.start()
	return r
}

// build makes the node and the Pods: two namespaces, four apps.
func (r *rig) build() {
	r.t.Helper()
	spec := lab.Spec{Topology: lab.PTP, Nodes: []lab.Node{{Name: nodeName, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:1::1")}}}}
	for i := range podCount {
		p := &policy.Pod{
			NamespacedName: types.NamespacedName{Namespace: []string{"shop", "guests"}[i%2], Name: fmt.Sprintf("p%d", i)}, UID: types.UID(fmt.Sprint("uid-", i)),
			Node: nodeName, NodeAddrs: spec.Nodes[0].Addrs, Labels: map[string]string{"app": []string{"web", "api", "db"}[i/2%3]},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 244, 0, byte(10 + i)}), netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(10 + i)})},
		}
		r.pods = append(r.pods, &rigPod{Pod: p})
		spec.Pods = append(spec.Pods, lab.Pod{Name: p.NamespacedName, Node: nodeName, Addrs: p.Addrs})
	}
	var err error
	if r.lab, err = lab.Build(r.t.Context(), spec); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if err := r.lab.Close(); err != nil {
			r.t.Error(err)
		}
	})
	r.node = r.lab.Node(nodeName)
	r.links.Binds = map[netip.Addr]compiler.Bind{}
	for _, ns := range []string{"shop", "guests"} {
		r.index.SetNamespace(ns, map[string]string{"team": ns})
	}
	for _, p := range r.pods {
		r.index.SetPod(p.Pod)
		r.open(p)
		veth := r.lab.Pod(p.NamespacedName).Veth
		r.links.PodInterfaces = append(r.links.PodInterfaces, veth)
		for _, a := range p.Addrs {
			r.links.Binds[a] = compiler.Bind{Interface: veth, Veth: veth}
		}
	}
}

// open opens the sockets by which a Pod sends.
func (r *rig) open(p *rigPod) {
	r.t.Helper()
	for i, family := range []int{unix.AF_INET, unix.AF_INET6} {
		err := r.lab.Pod(p.NamespacedName).Do(func() (err error) {
			p.sockets[i], err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			return err
		})
		if err != nil {
			r.t.Fatal(err)
		}
		fd := p.sockets[i]
		r.t.Cleanup(func() { _ = unix.Close(fd) })
	}
}

// start brings the rules to the kernel and reads.
func (r *rig) start() {
	r.t.Helper()
	r.compiler.SetEpoch(r.epoch, false)
	r.compiler.Load(r.index, r.index.Changes(), r.links)
	r.transact(r.compiler.Replace())
	r.recorder.Watch(r.index)
	r.reader = &nflog.Reader{Namespace: r.node, Group: logGroup, Take: r.recorder.Log, Lost: r.recorder.Lost}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.reader.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
	}
	r.t.Cleanup(r.stop)
	r.await("the log group is bound", func() bool { return r.reader.Bound() })
}

func (r *rig) transact(ops []compiler.Op) {
	r.t.Helper()
	if err := r.tables.Transact(r.t.Context(), knftables.InetFamily, ops); err != nil {
		r.t.Fatal(err)
	}
}

// change tells the index, and then the kernel as an agent does. It returns between which
// times the kernel switched over.
func (r *rig) change(f func(x *policy.Index)) (began, ended time.Time) {
	r.t.Helper()
	generation := r.recorder.Begin()
	f(r.index)
	plan := r.compiler.Update(r.index, r.index.Changes(), r.links)
	r.transact(plan.Prepare)
	commit := plan.Commit
	if plan.Narrows {
		r.epoch = r.epoch%100 + 1
		commit = append(commit, r.compiler.SetEpoch(r.epoch, false)...)
	}
	began = time.Now()
	r.recorder.Committing(generation)
	r.transact(commit)
	r.recorder.Committed(generation)
	ended = time.Now()
	r.transact(plan.Cleanup)
	return began, ended
}

// policy reads a policy.
func (r *rig) policy(name, spec string) *networkingv1.NetworkPolicy {
	r.t.Helper()
	np := &networkingv1.NetworkPolicy{}
	np.Namespace, np.Name, _ = strings.Cut(name, "/")
	if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
		r.t.Fatal(err)
	}
	return np
}

func (r *rig) set(x *policy.Index, name, spec string) {
	r.t.Helper()
	if err := x.SetPolicy(r.policy(name, spec)); err != nil {
		r.t.Fatal(err)
	}
}

// send sends a datagram from a Pod to an address of its family.
func (r *rig) send(p *rigPod, to netip.AddrPort) {
	r.t.Helper()
	var sa unix.Sockaddr
	fd := p.sockets[0]
	if to.Addr().Is4() {
		sa = &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	} else {
		fd, sa = p.sockets[1], &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())}
	}
	for range 100 {
		err := unix.Sendto(fd, []byte("x"), 0, sa)
		switch {
		case err == nil:
			return
		case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES):
			// An answer to an earlier datagram.
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
			time.Sleep(time.Millisecond)
		default:
			r.t.Fatalf("send from %s to %v: %v", p.NamespacedName, to, err)
		}
	}
	r.t.Fatalf("send from %s to %v: no room", p.NamespacedName, to)
}

// await waits for something that comes soon.
func (r *rig) await(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited 10 s for this: %s; the reader says: %v", what, r.reader.Err())
		}
	}
}

// settle explains all that waits, until nothing has come for a while.
func (r *rig) settle() []*denials.Denial {
	r.t.Helper()
	var last uint64
	for quiet := 0; quiet < 10; {
		for r.recorder.Explain(r.epoch) {
		}
		_, _, all := r.recorder.Store().Held()
		if quiet++; all != last {
			quiet, last = 0, all
		}
		time.Sleep(20 * time.Millisecond)
	}
	return r.recorder.Store().Find(nil, 0)
}

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 13)) }
