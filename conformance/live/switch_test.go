package live

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/lab"
)

// BenchmarkSwitch says why compiler.Plan has Prepare: it switches 100 allowed
// flows from one interval set to another, both of which hold them, once with
// the new set made in the transaction that switches and once with it made
// before. What is lost is lost between a rule that is new and a set whose
// content is not there yet.
func BenchmarkSwitch(b *testing.B) {
	for _, kind := range []setKind{rbtree, pipapo, hash} {
		for _, transactions := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/%d-transactions", kind, transactions), func(b *testing.B) {
				benchmarkSwitch(b, kind, transactions)
			})
		}
	}
}

// setKind is how the kernel keeps a set.
type setKind string

const (
	rbtree setKind = "rbtree"
	pipapo setKind = "pipapo"
	hash   setKind = "hash"

	switchElements = 2000
)

// declare makes a set that holds the senders of 10.1.0.0/24 to ports 7000 to
// 7009, and others.
func (k setKind) declare(name string) string {
	r := rand.New(rand.NewPCG(1, 2))
	var elements []string
	seen := map[string]bool{}
	for len(elements) < switchElements {
		e := fmt.Sprintf("172.%d.%d", 16+r.IntN(16), r.IntN(256))
		if seen[e] {
			continue
		}
		seen[e] = true
		switch k {
		case rbtree:
			e += ".0/24"
		case pipapo:
			e += fmt.Sprintf(".0/24 . %d-%d", 1000+r.IntN(1000), 3000+r.IntN(1000))
		case hash:
			e += ".1"
		}
		elements = append(elements, e)
	}
	switch k {
	case rbtree:
		elements = append(elements, "10.1.0.0/24")
	case pipapo:
		elements = append(elements, "10.1.0.0/24 . 7000-7009")
	case hash:
		for i := range 5 {
			elements = append(elements, fmt.Sprintf("10.1.0.%d", 10+i))
		}
	}
	kind := map[setKind]string{
		rbtree: "type ipv4_addr; flags interval;", pipapo: "type ipv4_addr . inet_service; flags interval;", hash: "type ipv4_addr;",
	}[k]
	return fmt.Sprintf("add set inet switch %s { %s }\nadd element inet switch %s { %s }\n", name, kind, name, strings.Join(elements, ", "))
}

// use is what makes the chain ask another set.
func (k setKind) use(name string) string {
	key := "ip saddr"
	if k == pipapo {
		key = "ip saddr . udp dport"
	}
	return fmt.Sprintf("flush chain inet switch judge\nadd rule inet switch judge %s @%s accept\nadd rule inet switch judge udp dport 7000-7009 counter name lost drop\n", key, name)
}

func benchmarkSwitch(b *testing.B, kind setKind, transactions int) {
	sink := pod("t", "sink", "a", "10.3.0.10", "fd00:3::10")
	all := []*corev1.Pod{sink}
	for i := range 5 {
		all = append(all, pod("t", fmt.Sprint("sender-", i), "a", fmt.Sprintf("10.1.0.%d", 10+i), fmt.Sprintf("fd00:1::%x", 0x10+i)))
	}
	spec, _, err := lab.SpecFromObjects(all, lab.Placement{Topology: lab.PTP})
	if err != nil {
		b.Fatal(err)
	}
	l, err := lab.Build(b.Context(), spec)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	node := l.Node("a")
	nft(b, node, "add table inet switch\nadd counter inet switch lost\nadd chain inet switch judge\n"+
		"add chain inet switch forward { type filter hook forward priority 0; }\nadd rule inet switch forward jump judge\n"+
		kind.declare("set0")+kind.use("set0"))
	f := newFlood(b, l)
	for _, p := range all[1:] {
		for i := range 20 {
			f.add(netip.AddrPortFrom(addrs(p)[0], uint16(7000+i)), netip.AddrPortFrom(addrs(sink)[0], uint16(7000+i%10)))
		}
	}
	f.receive()
	f.send(0, f.flows[:50]...)
	f.send(0, f.flows[50:]...)
	f.alive(f.flows)
	before := lostBy(b, node)
	n := 0
	for b.Loop() {
		now, next := fmt.Sprint("set", n%2), fmt.Sprint("set", (n+1)%2)
		make, use, remove := kind.declare(next), kind.use(next), "delete set inet switch "+now+"\n"
		if transactions == 1 {
			nft(b, node, make+use+remove)
		} else {
			nft(b, node, make)
			nft(b, node, use)
			nft(b, node, remove)
		}
		n++
	}
	b.ReportMetric(float64(lostBy(b, node)-before)/float64(n), "lost-packets/op")
	f.end()
}

// lostBy is the count of packets that neither set knew.
func lostBy(b *testing.B, node *lab.Namespace) int {
	b.Helper()
	fields := strings.Fields(nft(b, node, "list counter inet switch lost\n"))
	for i, word := range fields {
		if word == "packets" && i+1 < len(fields) {
			n, err := strconv.Atoi(fields[i+1])
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("no count in %v", fields)
	return 0
}

// nft runs a script on a node.
func nft(t testing.TB, node *lab.Namespace, script string) (out string) {
	t.Helper()
	err := node.Do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		text, err := cmd.CombinedOutput()
		out = string(text)
		return err
	})
	if err != nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	return out
}
