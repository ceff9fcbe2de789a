package attack_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
)

// TestAttackHelperExpectation: a connection that a conntrack helper expects has
// the mark of the connection that announced it, and is judged all the same.
func TestAttackHelperExpectation(t *testing.T) {
	inEach(t, func(t *testing.T, w *world, is6 bool) {
		const announced = 9000
		w.admit(allowedPorts()...)
		w.foreign(t, `
			ct helper ftp { type "ftp" protocol tcp; }
			counter marked { }
			chain pre { type filter hook prerouting priority filter; policy accept; tcp dport 8080 ct helper set "ftp"; }
			chain watch { type filter hook forward priority filter - 20; policy accept; ct state related tcp dport 9000 ct mark != 0 counter name marked; }`)
		control := ftpControl(t, w, is6, announced)
		defer control.Close()
		dial := func(within time.Duration) error {
			return w.pod(friend).Do(func() error {
				c, err := net.DialTimeout("tcp", netip.AddrPortFrom(w.addr(victim, is6), announced).String(), within)
				if err == nil {
					c.Close()
				}
				return err
			})
		}
		if err := dial(300 * time.Millisecond); err == nil {
			t.Error("the announced connection was let through, though no policy allows it")
		}
		if listed := w.nftList(t, "counter", "inet", "foreign", "marked"); strings.Contains(listed, "packets 0 ") {
			t.Errorf("no packet bore the mark of the connection that announced it: this proves nothing\n%s", listed)
		}
		w.admit(append(allowedPorts(), enforced.Port(corev1.ProtocolTCP, announced))...)
		if err := dial(eventually); err != nil {
			t.Errorf("allowed by a policy: %v", err)
		}
	})
}

func (w *world) nftList(t *testing.T, what ...string) string {
	t.Helper()
	var out []byte
	err := w.node.Do(func() error {
		var err error
		out, err = exec.Command("nft", append([]string{"list"}, what...)...).CombinedOutput()
		return err
	})
	if err != nil {
		t.Fatalf("nft list %v: %v\n%s", what, err, out)
	}
	return string(out)
}

// ftpControl is a control connection from friend to the victim, on which the
// victim has announced a port, where it listens.
func ftpControl(t *testing.T, w *world, is6 bool, port int) net.Conn {
	t.Helper()
	address := w.addr(victim, is6)
	listen := func(port int) net.Listener {
		var l net.Listener
		err := w.pod(victim).Do(func() error {
			var err error
			l, err = net.Listen("tcp", netip.AddrPortFrom(address, uint16(port)).String())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	listen(port)
	server := listen(allowedPort)
	announcement := fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)\r\n", port)
	if !is6 {
		a := address.As4()
		announcement = fmt.Sprintf("227 Entering Passive Mode (%d,%d,%d,%d,%d,%d)\r\n", a[0], a[1], a[2], a[3], port>>8, port&0xff)
	}
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		// The helper reads what follows a line that it saw end.
		_, _ = io.WriteString(c, "220 ready\r\n")
		_, _ = io.ReadFull(c, make([]byte, 6))
		_, _ = io.WriteString(c, announcement)
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	}()
	var control net.Conn
	err := w.pod(friend).Do(func() error {
		var err error
		control, err = net.DialTimeout("tcp", netip.AddrPortFrom(address, allowedPort).String(), eventually)
		return err
	})
	if err != nil {
		t.Fatalf("control connection: %v", err)
	}
	lines := bufio.NewReader(control)
	for _, say := range []string{"PASV\r\n", ""} {
		if line, err := lines.ReadString('\n'); err != nil {
			t.Fatalf("the server's line: %q, %v", line, err)
		}
		if _, err := io.WriteString(control, say); err != nil {
			t.Fatal(err)
		}
	}
	return control
}
