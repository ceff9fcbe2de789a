// Package detecttest loads BPF programs and hangs them on interfaces, for the tests of the
// agent and of what it looks for. It needs root.
package detecttest

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/enforcer/netns/netnstest"
)

// Instruction is one of BPF.
type Instruction [8]byte

func instr(code, register byte, value int32) Instruction {
	out := Instruction{0: code, 1: register}
	binary.NativeEndian.PutUint32(out[4:], uint32(value))
	return out
}

// Set puts a number into a register.
func Set(register byte, value int32) Instruction {
	return instr(unix.BPF_ALU64|unix.BPF_MOV|unix.BPF_K, register, value)
}

var (
	// Exit ends a program.
	Exit = instr(unix.BPF_JMP|unix.BPF_EXIT, 0, 0)
	// Redirect is the call of bpf_redirect(interface, flags).
	Redirect = instr(unix.BPF_JMP|unix.BPF_CALL, 0, 23)
)

// LoadProgram loads a BPF program, until the test ends.
func LoadProgram(t testing.TB, kind uint32, name string, code ...Instruction) int {
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
	}{kind: kind, count: uint32(len(code)), code: uintptr(unsafe.Pointer(&code[0])), license: uintptr(unsafe.Pointer(&license[0]))} //nolint:gosec // The kernel reads both; they are pinned.
	copy(attr.name[:15], name)
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr)) //nolint:gosec // The kernel reads it.
	if errno != 0 {
		t.Fatalf("load BPF program %s: %v", name, errno)
	}
	t.Cleanup(func() { _ = unix.Close(int(fd)) })
	return int(fd)
}

// PassAll is a program that lets everything pass.
func PassAll(t testing.TB, kind uint32, verdict int32) int {
	t.Helper()
	return LoadProgram(t, kind, "pass_all", Set(unix.BPF_REG_0, verdict), Exit)
}

// At runs f on an interface of the namespace.
func At(n netnstest.NS, name string, f func(netlink.Link) error) {
	n.T.Helper()
	err := n.Do(func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		return f(link)
	})
	if err != nil {
		n.T.Fatal(err)
	}
}

// Classify has a program see what comes by an interface, at its clsact qdisc.
func Classify(n netnstest.NS, name string, program int, called string) {
	n.T.Helper()
	n.Cmd("tc", "qdisc", "add", "dev", name, "clsact")
	At(n, name, func(l netlink.Link) error {
		return netlink.FilterAdd(&netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
			Fd:          program, Name: called, DirectAction: true,
		})
	})
}
