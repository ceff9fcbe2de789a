package attack_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/conformance/lab"
)

// forgetNeighbours empties what a namespace learned of its neighbours.
func forgetNeighbours(t *testing.T, n *lab.Namespace, family int) {
	t.Helper()
	err := n.Do(func() error {
		list, err := netlink.NeighList(0, family)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0 {
				continue
			}
			if err := netlink.NeighDel(&list[i]); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNeighboursAreFound: ARP and neighbour discovery work between isolated
// Pods, other Pods and the node.
func TestNeighboursAreFound(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		family := netlink.FAMILY_V4
		if is6 {
			family = netlink.FAMILY_V6
		}
		flow := func(from, to netip.Addr, port uint16) lab.Flow {
			return lab.Flow{Src: from, Dst: to, Protocol: lab.TCP, Port: port}
		}
		flows := []lab.Flow{
			flow(w.addr(friend, is6), w.addr(victim, is6), allowedPort),
			flow(w.addr(caged, is6), w.addr(open, is6), allowedPort),
			flow(w.addr(attacker, is6), w.addr(open, is6), deniedPort),
			flow(w.addr(victim, is6), w.addr(open, is6), deniedPort),
			flow(w.nodeAddr(is6), w.addr(victim, is6), probedPort),
			flow(w.nodeAddr(is6), w.addr(caged, is6), probedPort),
		}
		for range 3 {
			forgetNeighbours(t, w.node, family)
			for _, name := range podNames {
				forgetNeighbours(t, w.pod(name).Namespace, family)
			}
			reached, err := w.Probe(timeout(t), flows)
			if err != nil {
				t.Fatal(err)
			}
			for i, ok := range reached {
				if !ok {
					t.Errorf("%s does not get through once neighbours were forgotten", flows[i])
				}
			}
		}
	})
}

// TestDuplicateAddressDetection: an isolated Pod and others detect duplicates
// when they come up, their neighbours hear it, and nobody objects.
func TestDuplicateAddressDetection(t *testing.T) {
	for _, topology := range topologies {
		t.Run(topology.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, topology, true)
			for _, name := range []string{victim, friend, caged} {
				t.Run(name, func(t *testing.T) { detectDuplicates(t, w, name) })
			}
			flow := lab.Flow{Src: w.addr(friend, true), Dst: w.addr(victim, true), Protocol: lab.TCP, Port: allowedPort}
			if reached, err := w.Probe(timeout(t), []lab.Flow{flow}); err != nil || !reached[0] {
				t.Errorf("%s afterwards: %v, %v", flow, reached, err)
			}
		})
	}
}

func detectDuplicates(t *testing.T, w *world, name string) {
	pod, address := w.pod(name), w.addr(name, true)
	// On ptp nobody but the node is on the link.
	listener, link := w.pod(fan).Namespace, "eth0"
	if w.topology == lab.PTP {
		listener, link = w.node, pod.Veth
	}
	heard, err := listener.Capture(link, func(frame []byte) bool { return isDetection(frame, address) })
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Stop()
	err = errors.Join(
		pod.Sysctl("ipv6/conf/eth0/accept_dad", "1"),
		pod.Sysctl("ipv6/conf/eth0/dad_transmits", "1"),
		pod.Do(func() error { return renewAddress(address) }))
	if err != nil {
		t.Fatal(err)
	}
	if heard.First(t.Context(), eventually) == nil {
		t.Error("the neighbours did not hear it")
	}
	flags := unix.IFA_F_TENTATIVE
	for deadline := time.Now().Add(patience); flags&unix.IFA_F_TENTATIVE != 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if flags, err = addressFlags(pod, address); err != nil {
			t.Fatal(err)
		}
	}
	if flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
		t.Errorf("address %s has flags %#x: it is not usable", address, flags)
	}
}

// isDetection recognises a solicitation from nobody for an address.
func isDetection(frame []byte, address netip.Addr) bool {
	return len(frame) >= 14+40+24 && frame[14+6] == unix.IPPROTO_ICMPV6 && frame[14+40] == layers.ICMPv6TypeNeighborSolicitation &&
		bytes.Equal(frame[14+8:14+24], make([]byte, 16)) && bytes.Equal(frame[14+48:14+64], address.AsSlice())
}

// renewAddress takes the Pod's address away and gives it back, as one to be
// checked.
func renewAddress(address netip.Addr) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list, func(a netlink.Addr) bool { return a.IP.Equal(address.AsSlice()) })
	if at < 0 {
		return fmt.Errorf("the Pod has no address %s", address)
	}
	if err := netlink.AddrDel(link, &list[at]); err != nil {
		return err
	}
	return netlink.AddrAdd(link, &netlink.Addr{IPNet: list[at].IPNet})
}

func addressFlags(pod *lab.PodNamespace, address netip.Addr) (int, error) {
	flags := -1
	err := pod.Do(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		list, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err != nil {
			return err
		}
		for _, a := range list {
			if a.IP.Equal(address.AsSlice()) {
				flags = a.Flags
			}
		}
		if flags < 0 {
			return fmt.Errorf("address %s is gone", address)
		}
		return nil
	})
	return flags, err
}
