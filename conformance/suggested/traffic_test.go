package suggested

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-net/sluice/conformance/enforced"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/suggest"
)

// application is Pods and what they say to each other.
type application struct {
	namespace  string
	namespaces []*corev1.Namespace
	pods       []*corev1.Pod
	services   []*corev1.Service
	calls      []call
}

// call is what one workload asks of another: namespace/app, or an address. The port is
// that of the Pod that answers.
type call struct {
	from, to string
	protocol uint8
	port     uint16
}

// theShop is the one of "sluice demo", and the calls that its policies are for.
func theShop(t *testing.T) *application {
	t.Helper()
	const files = "../../cmd/sluice/app/shop/"
	var loader manifest.Loader
	for _, name := range []string{"00-namespaces.yaml", "10-pods.yaml"} {
		data, err := os.ReadFile(files + name)
		if err != nil {
			t.Fatal(err)
		}
		loader.Add(name, data)
	}
	set, problems := loader.Finish()
	for _, p := range problems {
		if !p.Notice {
			t.Fatal(p)
		}
	}
	a := &application{namespace: "shop", namespaces: set.Namespaces, pods: set.Pods}
	const dns = "kube-system/dns"
	a.calls = []call{
		{customer.String(), "shop/frontend", lab.TCP, 80},
		{"shop/frontend", "shop/api", lab.TCP, 8080}, {"shop/frontend", dns, lab.UDP, 53},
		{"shop/api", "shop/db", lab.TCP, 5432}, {"shop/api", dns, lab.UDP, 53}, {"shop/api", customer.String(), lab.TCP, 443},
	}
	return a
}

// appOf is a Pod's name among calls: its app, or its own where it has none.
func appOf(p *corev1.Pod) string {
	if app := p.Labels["app"]; app != "" {
		return p.Namespace + "/" + app
	}
	return p.Namespace + "/" + p.Name
}

// played is an application in the lab, with an agent on each node.
type played struct {
	*enforced.Cluster
	*application
	t *testing.T
}

func play(t *testing.T, a *application, topology lab.Topology) *played {
	t.Helper()
	var objects []any
	for _, ns := range a.namespaces {
		objects = append(objects, ns)
	}
	return &played{t: t, application: a, Cluster: enforced.Start(t, enforced.Options{
		Placement: lab.Placement{Topology: topology, Spread: lab.TwoNodes, Services: a.services, External: []netip.Addr{customer}},
		Pods:      a.pods, Objects: objects,
	})}
}

// ends are the addresses of an end of a call.
func (p *played) ends(name string) (out []netip.Addr) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}
	}
	for _, pod := range p.Pods {
		if appOf(pod) == name {
			out = append(out, netip.MustParseAddr(pod.Status.PodIP))
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// flows are those that the application sends: to Services where there are some, and from
// each node's kubelet to each Pod of it that listens.
func (p *played) flows() (out []lab.Flow) {
	for _, c := range p.calls {
		for _, src := range p.ends(c.from) {
			for _, dst := range p.asked(c) {
				out = append(out, lab.Flow{Src: src, Dst: dst.Addr(), Protocol: c.protocol, Port: dst.Port()})
			}
		}
	}
	for _, pod := range p.Pods {
		for _, port := range pod.Spec.Containers[0].Ports {
			if pod.Namespace == p.namespace {
				out = append(out, lab.Flow{
					Src: netip.MustParseAddr(pod.Status.HostIP), Dst: netip.MustParseAddr(pod.Status.PodIP), Protocol: lab.TCP, Port: uint16(port.ContainerPort),
				})
			}
		}
	}
	return out
}

// asked is what a client of a call sends to: the Service, or from outside the Pods, as
// load balancers do.
func (p *played) asked(c call) (out []netip.AddrPort) {
	for _, s := range p.services {
		if s.Namespace+"/"+s.Name != c.to || c.from == customer.String() {
			continue
		}
		for _, port := range s.Spec.Ports {
			if udp := port.Protocol == corev1.ProtocolUDP; udp == (c.protocol == lab.UDP) {
				return []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(s.Spec.ClusterIPs[0]), uint16(port.Port))}
			}
		}
	}
	for _, a := range p.ends(c.to) {
		out = append(out, netip.AddrPortFrom(a, c.port))
	}
	return out
}

// send plays the whole traffic once and demands that all of it is answered.
func (p *played) send(when string) {
	p.t.Helper()
	flows := p.flows()
	reached, err := p.Probe(p.t.Context(), flows)
	if err != nil {
		p.t.Fatal(err)
	}
	for i, f := range flows {
		if !reached[i] {
			p.t.Errorf("%s: %s is not answered", when, f)
		}
	}
}

// record has the agents tell what passes while the traffic is played, until each call was
// told of, and returns their lines.
func (p *played) record() []string {
	p.t.Helper()
	told := make(chan string, 10_000)
	var followers sync.WaitGroup
	var servers []*httptest.Server
	for _, n := range p.Spec().Nodes {
		server := httptest.NewServer(p.Agent(n.Name).FlowsHandler())
		servers = append(servers, server)
		response, err := http.Get(server.URL + nodestatus.FlowsPath + "?namespace=" + p.namespace) //nolint:noctx // The server's end is its end.
		if err != nil {
			p.t.Fatal(err)
		}
		followers.Go(func() {
			defer response.Body.Close()
			for s := bufio.NewScanner(response.Body); s.Scan(); {
				told <- s.Text()
			}
		})
	}
	p.send("without any policy")
	missing := map[call]bool{}
	for _, c := range p.calls {
		missing[c] = true
	}
	var lines []string
	for deadline := time.After(time.Minute); len(missing) > 0; {
		select {
		case line := <-told:
			lines = append(lines, line)
			if f, err := suggest.ParseRecord([]byte(line)); err != nil {
				p.t.Errorf("%v: %s", err, line)
			} else {
				delete(missing, p.callOf(f.Src.Addr, f.Dst.Addr, uint8(f.Protocol), f.Port))
			}
		case <-deadline:
			p.t.Fatalf("%d lines, and nobody told of %v", len(lines), missing)
		}
	}
	for _, s := range servers {
		s.CloseClientConnections()
		s.Close()
	}
	followers.Wait()
	close(told)
	for line := range told {
		lines = append(lines, line)
	}
	return lines
}

// callOf is what a flow was for.
func (p *played) callOf(src, dst netip.Addr, protocol uint8, port uint16) call {
	name := func(a netip.Addr) string {
		for _, pod := range p.Pods {
			if pod.Status.PodIP == a.String() {
				return appOf(pod)
			}
		}
		return a.String()
	}
	return call{name(src), name(dst), protocol, port}
}
