package enforcer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/source"
)

// instruction is one of BPF.
type instruction [8]byte

func instr(code, register byte, value int32) instruction {
	out := instruction{0: code, 1: register}
	binary.NativeEndian.PutUint32(out[4:], uint32(value))
	return out
}

func set(register byte, value int32) instruction {
	return instr(unix.BPF_ALU64|unix.BPF_MOV|unix.BPF_K, register, value)
}

var (
	exit = instr(unix.BPF_JMP|unix.BPF_EXIT, 0, 0)
	// redirect is the call of bpf_redirect(interface, flags).
	redirect = instr(unix.BPF_JMP|unix.BPF_CALL, 0, 23)
)

// loadProgram loads a BPF program.
func loadProgram(t *testing.T, kind uint32, name string, code ...instruction) int {
	t.Helper()
	var pins runtime.Pinner
	defer pins.Unpin()
	license := []byte("GPL\x00")
	pins.Pin(&code[0])
	pins.Pin(&license[0])
	attr := struct {
		kind, count   uint32
		code, license uintptr
		_             [24]byte
		name          [16]byte
		_             [56]byte
	}{kind: kind, count: uint32(len(code)), code: uintptr(unsafe.Pointer(&code[0])), license: uintptr(unsafe.Pointer(&license[0]))}
	copy(attr.name[:15], name)
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		t.Fatalf("load BPF program %s: %v", name, errno)
	}
	t.Cleanup(func() { _ = unix.Close(int(fd)) })
	return int(fd)
}

// passAll lets everything pass.
func passAll(t *testing.T, kind uint32, verdict int32) int {
	t.Helper()
	return loadProgram(t, kind, "pass_all", set(unix.BPF_REG_0, verdict), exit)
}

// at runs f on an interface of the namespace.
func (n testNS) at(name string, f func(netlink.Link) error) {
	n.t.Helper()
	err := n.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		return f(link)
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// classify has a program see what comes by an interface, at its clsact qdisc.
func (n testNS) classify(name string, program int, called string) {
	n.t.Helper()
	n.cmd("tc", "qdisc", "add", "dev", name, "clsact")
	n.at(name, func(l netlink.Link) error {
		return netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
			Fd:          program, Name: called, DirectAction: true,
		})
	})
}

// datagrams receives at a Pod, and says whether one with a word came.
type datagrams struct{ conn net.PacketConn }

func (p testPod) datagrams(port int) datagrams {
	p.t.Helper()
	var conn net.PacketConn
	err := p.Do(func() error {
		var err error
		conn, err = net.ListenPacket("udp4", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return datagrams{conn}
}

// come sends one and reports whether it came. Whatever came before is not it.
func (d datagrams) come(from testNS, to testPod, word string, wait time.Duration) bool {
	from.t.Helper()
	err := from.Do(func() error {
		c, err := net.Dial("udp4", netip.AddrPortFrom(to.addr(0), uint16(d.conn.LocalAddr().(*net.UDPAddr).Port)).String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		_, err = c.Write([]byte(word))
		return err
	})
	if err != nil {
		from.t.Fatal(err)
	}
	if err := d.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		from.t.Fatal(err)
	}
	buf := make([]byte, 64)
	for {
		n, _, err := d.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		if err != nil {
			from.t.Fatal(err)
		}
		if string(buf[:n]) == word {
			return true
		}
	}
}

// A program that redirects, as eBPF network plug-ins have them, does take packets past
// the policies, and the node is not ready as long as it is there.
func TestAgentIsNotReadyWhereAProgramRedirects(t *testing.T) {
	for topology := range topologies {
		t.Run(topology, func(t *testing.T) {
			c := newCluster(t, topology)
			a := startAgent(t, c.node, &source.Memory{}, func(cfg *Config) { cfg.AuditInterval = 20 * time.Millisecond })
			a.set(append(c.objects(), allow("web", "web", "front", 80))...)
			at := c.web.datagrams(9000)
			if at.come(c.bad.testNS, c.web, "before", 300*time.Millisecond) {
				t.Fatal("the policy does not hold")
			}
			var web int
			c.node.at(c.web.veth, func(l netlink.Link) error { web = l.Attrs().Index; return nil })
			program := loadProgram(t, unix.BPF_PROG_TYPE_SCHED_CLS, "from_container", set(unix.BPF_REG_1, int32(web)), set(unix.BPF_REG_2, 0), redirect, exit)
			c.node.classify(c.bad.veth, program, "from_container")
			if topology == "ptp" {
				// A routed Pod sends to its gateway's hardware address, which the other one's
				// end would not take for its own.
				c.bad.ip("neigh replace %s lladdr %s dev eth0 nud permanent\nroute replace %s/32 dev eth0", c.web.addr(0), c.web.mac, c.web.addr(0))
			}
			eventually(t, "a forbidden packet gets through", func() bool { return at.come(c.bad.testNS, c.web, "redirected", 300*time.Millisecond) })
			told := func() bool {
				err := a.Ready()
				return err != nil && strings.Contains(err.Error(), "TrafficBypass (interface "+c.bad.veth+")") && strings.Contains(err.Error(), "from_container")
			}
			eventually(t, "the program is told", told)
			c.node.cmd("tc", "qdisc", "del", "dev", c.bad.veth, "clsact")
			eventually(t, "its end is told", func() bool { return a.Ready() == nil })
			if at.come(c.bad.testNS, c.web, "after", 300*time.Millisecond) {
				t.Error("the policy does not hold any more")
			}
		})
	}
}

// A program on the interface itself has no qdisc, and is seen all the same. That is of
// Linux 6.6.
func TestDetectNamesProgramsWithoutAQdisc(t *testing.T) {
	node := newNS(t)
	node.ip("link add vtcx type veth peer name ptcx")
	program := passAll(t, unix.BPF_PROG_TYPE_SCHED_CLS, -1)
	for _, at := range []struct {
		kind uint32
		want string
	}{{bpfTCXEgress, "TrafficProgram interface vtcx"}, {bpfTCXIngress, "TrafficBypass interface vtcx"}} {
		node.at("vtcx", func(l netlink.Link) error {
			attach := struct {
				ifindex, program, kind, flags uint32
				_                             [16]byte
			}{ifindex: uint32(l.Attrs().Index), program: uint32(program), kind: at.kind}
			_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_ATTACH, uintptr(unsafe.Pointer(&attach)), unsafe.Sizeof(attach))
			if errno != 0 {
				return fmt.Errorf("attach: %w", errno)
			}
			return nil
		})
		found, got := detected(t, node)
		if len(got) == 0 || got[0] != at.want || !strings.Contains(found[0].Message, "pass_all") {
			t.Errorf("%v, want %s first", found, at.want)
		}
	}
}

// Whatever is not known to carry none may carry packets of Pods.
func TestPodWaysLeaveOutOthersInterfaces(t *testing.T) {
	node := newBridgeNode(t)
	bridgePod(node, "a", "10.1.0.2")
	node.ip("link add docker0 type bridge\nlink add vd type veth peer name pd\nlink set vd master docker0\nlink add ifb9 type ifb\nlink add eth9 type veth peer name far")
	l := testLinks(t, node)
	got := map[string]bool{}
	for index := range l.PodWays() {
		got[l.Interfaces()[index].Name] = true
	}
	want := map[string]bool{"cni0": true, "va": true, "eth9": true, "far": true, "pd": true}
	for name := range got {
		if !want[name] {
			t.Errorf("%s carries packets of Pods", name)
		}
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s carries none: %s", name, cmp.Diff(want, got))
		}
	}
}
