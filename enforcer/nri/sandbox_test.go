package nri

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	testclock "k8s.io/utils/clock/testing"
)

func TestRead(t *testing.T) {
	with := func(change func(*api.PodSandbox)) *api.PodSandbox {
		p := box("web", "10.1.0.2")
		change(p)
		return p
	}
	many := make([]string, maxAddrs+1)
	for i := range many {
		many[i] = fmt.Sprint("10.1.0.", i+1)
	}
	good := sandbox("web", "10.1.0.2")
	noPath := good
	noPath.Netns = ""
	for _, c := range []struct {
		name string
		pod  *api.PodSandbox
		want Sandbox
		err  string
	}{
		{"usual", box("web", "10.1.0.2"), good, ""},
		{"both families", box("web", "10.1.0.2", "fd01::2"), sandbox("web", "10.1.0.2", "fd01::2"), ""},
		{"mapped and twice", box("web", "::ffff:10.1.0.2", "10.1.0.2"), good, ""},
		{"as many as may be", box("web", many[:maxAddrs]...), sandbox("web", many[:maxAddrs]...), ""},
		{"no addresses", box("web"), sandbox("web"), ""},
		{"no namespaces, as of a virtual machine", with(func(p *api.PodSandbox) { p.Linux = nil }), noPath, ""},
		{"on the node's network", onTheNode("web"), Sandbox{}, errNodeNetwork.Error()},
		{"nothing", nil, Sandbox{}, "UID"},
		{"no UID", with(func(p *api.PodSandbox) { p.Uid = "" }), Sandbox{}, "UID"},
		{"long UID", with(func(p *api.PodSandbox) { p.Uid = strings.Repeat("a", maxUID+1) }), Sandbox{}, "UID"},
		{"odd UID", with(func(p *api.PodSandbox) { p.Uid = "a\nb" }), Sandbox{}, "UID"},
		{"long name", with(func(p *api.PodSandbox) { p.Name = strings.Repeat("a", 254) }), Sandbox{}, "Pod's name"},
		{"long namespace", with(func(p *api.PodSandbox) { p.Namespace = strings.Repeat("a", 64) }), Sandbox{}, "namespace's name"},
		{"no namespace", with(func(p *api.PodSandbox) { p.Namespace = "" }), Sandbox{}, "namespace's name"},
		{"too many addresses", box("web", many...), Sandbox{}, "17 addresses"},
		{"no address", box("web", "10.1.0.2", "web"), Sandbox{}, "Pod's address"},
		{"a prefix", box("web", "10.1.0.2/24"), Sandbox{}, "Pod's address"},
		{"a zone", box("web", "fe80::1%eth0"), Sandbox{}, "Pod's address"},
		{"link-local", box("web", "169.254.1.1"), Sandbox{}, "Pod's address"},
		{"loopback", box("web", "127.0.0.1"), Sandbox{}, "Pod's address"},
		{"loopback, mapped", box("web", "::ffff:127.0.0.1"), Sandbox{}, "Pod's address"},
		{"multicast", box("web", "ff02::1"), Sandbox{}, "Pod's address"},
		{"unspecified", box("web", "0.0.0.0"), Sandbox{}, "Pod's address"},
		{"broadcast", box("web", "255.255.255.255"), Sandbox{}, "Pod's address"},
		{"empty address", box("web", ""), Sandbox{}, "Pod's address"},
		{"namespace nowhere", with(func(p *api.PodSandbox) { p.Linux.Namespaces[1].Path = "cni-1" }), Sandbox{}, "no path"},
		{"namespace far away", with(func(p *api.PodSandbox) { p.Linux.Namespaces[1].Path = "/" + strings.Repeat("a", maxPath) }), Sandbox{}, "no path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := read(c.pod)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if diff := cmp.Diff(c.want, got, sameAddr); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzRead: what is accepted is within all limits, and says the same when it is
// read again.
func FuzzRead(f *testing.F) {
	for _, p := range []*api.PodSandbox{box("web", "10.1.0.2", "fd01::2"), box("old"), onTheNode("proxy"), box("x", "::ffff:10.1.0.2", "fe80::1%eth0")} {
		data, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var pod api.PodSandbox
		if proto.Unmarshal(data, &pod) != nil {
			return
		}
		s, err := read(&pod)
		if err != nil {
			if diff := cmp.Diff(Sandbox{}, s, sameAddr); diff != "" {
				t.Errorf("refused with %v, and yet %s", err, diff)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if s.UID == "" || len(s.UID) > maxUID || len(s.Pod.Namespace) > 63 || len(s.Pod.Name) > 253 || len(s.Netns) > maxPath || len(s.Addrs) > maxAddrs {
			t.Errorf("beyond the limits: %+v", s)
		}
		if len(s.Addrs) == 0 && s.Netns == "" {
			t.Error("a sandbox on the node's network")
		}
		again := &api.PodSandbox{Uid: string(s.UID), Name: s.Pod.Name, Namespace: s.Pod.Namespace}
		if s.Netns != "" {
			again.Linux = &api.LinuxPodSandbox{Namespaces: []*api.LinuxNamespace{{Type: "network", Path: s.Netns}}}
		}
		for i, a := range s.Addrs {
			if !a.IsGlobalUnicast() || a.Is4In6() || a.Zone() != "" || slices.Contains(s.Addrs[:i], a) {
				t.Errorf("address %v of %v", a, s.Addrs)
			}
			again.Ips = append(again.Ips, a.String())
		}
		if second, err := read(again); err != nil || !cmp.Equal(s, second, sameAddr) {
			t.Errorf("read again: %v, %s", err, cmp.Diff(s, second, sameAddr))
		}
	})
}

func TestReadList(t *testing.T) {
	list, unread, problem := readList([]*api.PodSandbox{box("a", "10.1.0.2"), onTheNode("proxy"), nil, box("b", "all")})
	if len(list) != 1 || unread != 2 || problem == nil || errors.Is(problem, errNodeNetwork) {
		t.Errorf("%d sandboxes, %d unread: %v", len(list), unread, problem)
	}
}

// TestStanding: of what has ended a list says as much as of what runs.
func TestStanding(t *testing.T) {
	entry := func(name, id string, runs bool, addrs ...string) listed {
		return listed{sandbox(name, addrs...), id, runs}
	}
	for _, c := range []struct {
		name string
		list []listed
		want []string
	}{
		{"nothing in doubt", []listed{entry("a", "1", true, "10.1.0.1"), entry("b", "2", true, "10.1.0.2"), entry("c", "3", true)}, []string{"1", "2", "3"}},
		{"a Pod's second sandbox", []listed{entry("a", "1", false, "10.1.0.1"), entry("a", "2", true, "10.1.0.2")}, []string{"2"}},
		{"the other way round", []listed{entry("a", "2", true, "10.1.0.2"), entry("a", "1", false, "10.1.0.1")}, []string{"2"}},
		{"an address with a new owner", []listed{entry("a", "1", false, "10.1.0.1"), entry("b", "2", true, "10.1.0.1")}, []string{"2"}},
		{"without processes, as CRI-O's", []listed{entry("a", "1", false, "10.1.0.1"), entry("b", "2", false, "10.1.0.2")}, []string{"1", "2"}},
		{"two sandboxes without processes", []listed{entry("a", "1", false, "10.1.0.1"), entry("a", "2", false, "10.1.0.2"), entry("b", "3", false, "10.1.0.3")}, []string{"3"}},
		{"one address, no processes", []listed{entry("a", "1", false, "10.1.0.1"), entry("b", "2", false, "10.1.0.1")}, nil},
		{"one address, two that run", []listed{entry("a", "1", true, "10.1.0.1"), entry("b", "2", true, "10.1.0.1"), entry("c", "3", false, "10.1.0.1")}, nil},
		{"one of two addresses", []listed{entry("a", "1", false, "10.1.0.1", "fd01::1"), entry("b", "2", true, "fd01::1")}, []string{"2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, s := range standing(c.list) {
				got = append(got, s.id)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPatience(t *testing.T) {
	c := testclock.NewFakeClock(time.Unix(1000, 0))
	p := newPatience(c)
	expect := func(when string, want time.Duration) {
		t.Helper()
		if got := p.next(t.Context()); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	expect("at first", MaxWait)
	var inVain time.Duration
	for range 1000 {
		wait := p.next(t.Context())
		c.Step(wait)
		p.spent(wait, true)
		if wait > minWait {
			inVain += wait
		}
	}
	if most := fullCredit + fullCredit/creditShare*2; inVain > most {
		t.Errorf("%v were waited in vain, want no more than %v", inVain, most)
	}
	expect("when nothing is left", minWait)
	c.Step(5 * time.Second)
	expect("some time later", 500*time.Millisecond)
	c.Step(time.Hour)
	expect("long after", MaxWait)
	p.spent(fullCredit, true)
	expect("in vain", minWait)
	p.spent(time.Millisecond, false)
	expect("when one was in time", MaxWait)
	c.SetTime(time.Unix(0, 0))
	expect("when the clock was set back", MaxWait)
}
