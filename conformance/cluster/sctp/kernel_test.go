package sctp

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes a process of this test's binary play one of agnhost's
// programs instead of running tests.
const roleVariable = "SLUICE_SCTP_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "porter":
		porter(os.Args[1:])
	case "connect":
		fmt.Println(ask(os.Args[1], os.Args[2]))
	default:
		os.Exit(m.Run())
	}
}

// porter answers "foo" to whoever connects to one of the addresses.
func porter(addresses []string) {
	for _, address := range addresses {
		addr, err := ResolveSCTPAddr("sctp", address)
		if err != nil {
			fmt.Println(err)
			return
		}
		l, err := ListenSCTP("sctp", addr)
		if err != nil {
			fmt.Println(err)
			return
		}
		go func() {
			for {
				c, err := l.AcceptSCTP()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					_, _ = c.Write([]byte("foo"))
				}()
			}
		}()
	}
	fmt.Println("ready")
	select {}
}

// ask connects, says something and reads the answer, for as long as the timeout.
func ask(address, timeout string) string {
	limit, err := time.ParseDuration(timeout)
	if err != nil {
		return err.Error()
	}
	answer := make(chan string, 1)
	go func() {
		addr, err := ResolveSCTPAddr("sctp", address)
		if err != nil {
			answer <- err.Error()
			return
		}
		c, err := DialSCTP("sctp", nil, addr)
		if err != nil {
			answer <- verdict(err)
			return
		}
		buf := make([]byte, 100)
		_, err = c.Write([]byte("hostname\n"))
		n := 0
		if err == nil {
			n, err = c.Read(buf)
		}
		if closing := c.Close(); err == nil {
			err = closing
		}
		if err != nil {
			answer <- verdict(err)
			return
		}
		answer <- string(buf[:n])
	}()
	select {
	case a := <-answer:
		return a
	case <-time.After(limit):
		return "TIMEOUT"
	}
}

func verdict(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return map[syscall.Errno]string{
			syscall.ECONNREFUSED: "REFUSED", syscall.EHOSTUNREACH: "PROHIBITED", syscall.EACCES: "PROHIBITED",
			syscall.ENETUNREACH: "NO ROUTE",
		}[errno] + " " + errno.Error()
	}
	return err.Error()
}

// serve starts a porter, and waits until it listens.
func (n *netns) serve(t *testing.T, addresses ...string) string {
	t.Helper()
	cmd := n.program(t, "porter", addresses...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.start(cmd); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// connect is one client, in a process of its own.
func (n *netns) connect(t *testing.T, address string, timeout time.Duration) (string, time.Duration) {
	t.Helper()
	cmd := n.program(t, "connect", address, timeout.String())
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := n.start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", address, err, out.String())
	}
	return strings.TrimSpace(out.String()), time.Since(began)
}

// routerRules translate a Service's address, drop port 81, reject port 82, lose
// every third packet of port 84, and count what connection tracking calls invalid.
const routerRules = `
table inet router {
	counter invalid {}
	counter asked {}
	counter aborts {}
	counter denied {}
	counter lost {}
	chain services {
		type nat hook prerouting priority dstnat
		ip daddr 10.96.0.1 sctp dport 8080 dnat ip to 10.9.2.2:80
		ip6 daddr fd96::1 sctp dport 8080 dnat ip6 to [fd09:2::2]:80
	}
	chain hairpin {
		type nat hook postrouting priority srcnat
		iifname net2 oifname net2 masquerade
	}
	chain forward {
		type filter hook forward priority filter
		ct state invalid counter name invalid drop
		sctp dport 81 counter name denied drop
		sctp dport 82 reject with icmpx admin-prohibited
		sctp dport 84 numgen inc mod 3 == 2 counter name lost drop
		sctp sport 84 numgen inc mod 3 == 2 counter name lost drop
		sctp dport 90 counter name asked
		sctp sport 90 counter name aborts
	}
}
`

func (w *network) counter(t *testing.T, name string) int {
	t.Helper()
	out := w.router.run(t, "nft", "list", "counter", "inet", "router", name)
	_, after, ok := strings.Cut(out, "packets ")
	number, _, _ := strings.Cut(after, " ")
	count, err := strconv.Atoi(number)
	if !ok || err != nil {
		t.Fatalf("no number of packets in %s", out)
	}
	return count
}

// TestSCTPThroughTheKernel has clients and servers in processes of their own, and
// the kernel's tracking and translation between them. It fails without root.
func TestSCTPThroughTheKernel(t *testing.T) {
	w := newNetwork(t)
	if out, err := w.router.try(routerRules, "nft", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, addresses := range [][]string{{":80", ":81", ":82", ":84"}, {"0.0.0.0:83"}} {
		if said := w.server.serve(t, addresses...); said != "ready" {
			t.Fatal(said)
		}
	}
	// What is to arrive has time on a busy machine.
	const moment, patience = 3 * time.Second, time.Minute
	for _, family := range []struct{ name, server, second, service, router, nowhere string }{
		{"IPv4", "10.9.2.2", "10.9.2.3", "10.96.0.1", "10.9.1.1", "240.0.0.1"},
		{"IPv6", "[fd09:2::2]", "[fd09:2::3]", "[fd96::1]", "[fd09:1::1]", "[fd09:1::99]"},
	} {
		tests := []struct {
			name    string
			from    *netns
			to      string
			want    string
			timeout time.Duration
		}{
			{"allowed", w.client, family.server + ":80", "foo", patience},
			{"another process", w.client, family.server + ":83", "foo", patience},
			{"at the second address", w.client, family.second + ":80", "foo", patience},
			{"through a Service", w.client, family.service + ":8080", "foo", patience},
			{"through a Service to itself", w.server, family.service + ":8080", "foo", patience},
			{"to itself", w.server, family.server + ":80", "foo", patience},
			{"dropped", w.client, family.server + ":81", "TIMEOUT", moment},
			{"rejected", w.client, family.server + ":82", "PROHIBITED", patience},
			{"nobody listens", w.client, family.server + ":90", "REFUSED", patience},
			{"no SCTP there", w.client, family.router + ":80", "REFUSED", patience},
		}
		for _, test := range tests {
			t.Run(family.name+"/"+test.name, func(t *testing.T) {
				got, took := test.from.connect(t, test.to, test.timeout)
				if !strings.HasPrefix(got, test.want) {
					t.Errorf("%s: %q after %v, want %s", test.to, got, took, test.want)
				}
			})
		}
	}
	if denied := w.counter(t, "denied"); denied < 2 {
		t.Errorf("%d packets were dropped", denied)
	}
	// There are two processes that could refuse, and one does.
	if asked, aborts := w.counter(t, "asked"), w.counter(t, "aborts"); asked < 2 || aborts != asked {
		t.Errorf("%d refusals of %d attempts", aborts, asked)
	}
	if invalid := w.counter(t, "invalid"); invalid != 0 {
		t.Errorf("connection tracking calls %d packets invalid", invalid)
	}
}

// TestSCTPManyAtOnce has as many clients as a busy suite, then fewer in a network
// that loses every third packet.
func TestSCTPManyAtOnce(t *testing.T) {
	w := newNetwork(t)
	if out, err := w.router.try(routerRules, "nft", "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if said := w.server.serve(t, ":80", ":84"); said != "ready" {
		t.Fatal(said)
	}
	all := func(address string, clients int) {
		var group sync.WaitGroup
		for range clients {
			group.Go(func() {
				if got, took := w.client.connect(t, address, time.Minute); got != "foo" {
					t.Errorf("%s: %q after %v", address, got, took)
				}
			})
		}
		group.Wait()
	}
	all("10.9.2.2:80", 20)
	if invalid := w.counter(t, "invalid"); invalid != 0 {
		t.Errorf("connection tracking calls %d packets invalid", invalid)
	}
	all("[fd09:2::2]:84", 10)
	if w.counter(t, "lost") == 0 {
		t.Error("no packet was lost")
	}
}

// TestSCTPPortsAreShared has the programs of one network namespace.
func TestSCTPPortsAreShared(t *testing.T) {
	n := newNetns(t)
	if said := n.serve(t, "127.0.0.1:80"); said != "ready" {
		t.Fatal(said)
	}
	for _, address := range []string{":80", "127.0.0.1:80", "[::1]:80"} {
		if said := n.serve(t, address); !strings.Contains(said, syscall.EADDRINUSE.Error()) {
			t.Errorf("%s: %s", address, said)
		}
	}
	if said := newNetns(t).serve(t, ":80"); said != "ready" {
		t.Errorf("in another namespace: %s", said)
	}
}
