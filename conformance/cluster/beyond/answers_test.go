package beyond

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shop is what the commands are asked about: some Pods of a namespace, and a guest of
// another, and for each pair and port what packets do is compared with what they say.
type shop struct {
	*world
	elsewhere string
	own       []*pod
	guest     *pod
	// limited may read the namespace alone, and stranger nothing.
	limited, stranger string
}

func newShop(t *testing.T) *shop {
	w := newWorld(t)
	s := &shop{world: w, elsewhere: w.namespace(map[string]string{"team": "guests"})}
	pods := w.pods(spec{name: "friend"}, spec{name: "server", node: 1}, spec{name: "open"}, spec{name: "bound", node: 1}, spec{name: "guest", ns: s.elsewhere})
	s.own, s.guest = []*pod{pods["friend"], pods["server"], pods["open"], pods["bound"]}, pods["guest"]
	w.policy(w.ns, "server", fmt.Sprintf(`
podSelector: {matchLabels: {app: server}}
ingress:
- from: [{podSelector: {matchLabels: {app: friend}}}]
  ports: [{port: %d}]
- from: [{namespaceSelector: {matchLabels: {team: guests}}}]
  ports: [{port: %d}]
`, web, other))
	w.policy(w.ns, "bound", fmt.Sprintf(`
podSelector: {matchLabels: {app: bound}}
policyTypes: [Ingress, Egress]
ingress: [{from: [{namespaceSelector: {}}], ports: [{port: %d, protocol: UDP}]}]
egress: [{to: [{podSelector: {matchLabels: {app: open}}}]}]
`, web))
	s.limited, s.stranger = "system:serviceaccount:"+w.ns+":default", "system:serviceaccount:"+s.elsewhere+":default"
	_, err := cluster.client.RbacV1().RoleBindings(w.ns).Create(w.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "view"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.ns, Name: "default"}},
	}, metav1.CreateOptions{})
	w.must("bind view", err)
	w.await("the rights of "+s.limited, func() error {
		r, err := w.ask("", cluster.sluice, "list", "-n", w.ns, "--as", s.limited)
		if err == nil && r.code != 0 {
			err = fmt.Errorf("%s", r.err)
		}
		return err
	})
	return s
}

// stretch is a range of ports in the documents.
type stretch struct {
	Protocol            string
	FirstPort, LastPort uint16
	Answer              string
}

func (s *stretch) covers(c *cell) bool {
	return strings.EqualFold(s.Protocol, c.network) && s.FirstPort <= c.addr.Port() && c.addr.Port() <= s.LastPort
}

func has(list []stretch, c *cell) bool {
	return slices.ContainsFunc(list, func(s stretch) bool { return s.covers(c) && s.Answer == "allowed" })
}

// end is what the documents call a Pod.
type end struct {
	Kind, Namespace string
	Workloads       []struct{ Kind, Namespace, Name string }
}

func (e *end) is(h *hand) bool {
	return slices.ContainsFunc(e.Workloads, func(w struct{ Kind, Namespace, Name string }) bool { return w.Namespace+"/"+w.Name == h.pod })
}

// connections is what the test reads of a list.
type connections struct {
	Ends        []end
	Connections []struct {
		Sources, Destinations []int
		Stretches             []stretch
	}
	Namespaces []string
}

func (l *connections) any(list []int, h *hand) bool {
	return slices.ContainsFunc(list, func(i int) bool { return l.Ends[i].is(h) })
}

// says whether a cell is allowed.
func (l *connections) says(c *cell, to *hand) bool {
	for _, one := range l.Connections {
		if l.any(one.Sources, c.from) && l.any(one.Destinations, to) && has(one.Stretches, c) {
			return true
		}
	}
	return false
}

// pairs are cells of each of some Pods to each other of others, as somebody says. One
// address each: no policy here knows families.
func pairs(from, to []*pod, says func(c *cell, to *hand) bool) []cell {
	var cells []cell
	for _, a := range from {
		for _, b := range to {
			if a == b {
				continue
			}
			for _, port := range []uint16{web, other} {
				for _, c := range a.to(b, port, false)[:2] {
					c.want = says(&c, b.hand)
					cells = append(cells, c)
				}
			}
		}
	}
	return cells
}

// both wants a matrix to hold what is allowed and what is not.
func (s *shop) both(what string, cells []cell) {
	s.t.Helper()
	n := 0
	for _, c := range cells {
		if c.want {
			n++
		}
	}
	if n == 0 || n == len(cells) {
		s.t.Errorf("%s: %d of %d are allowed, want some", what, n, len(cells))
	}
}

// TestAnswers: what list, exposure, diff, lint and doctor say of a live cluster is what
// packets do, also where the caller may read one namespace alone; who may not read what an
// answer takes is told so, with a command that gives the right.
func TestAnswers(t *testing.T) {
	s := newShop(t)
	all := append(slices.Clone(s.own), s.guest)

	var whole, part connections
	s.read(&whole, "list", "-o", "json")
	s.read(&part, "list", "-n", s.ns, "--as", s.limited, "-o", "json")
	if whole.Namespaces != nil || !slices.Equal(part.Namespaces, []string{s.ns}) {
		t.Errorf("the namespaces that were read are %v, and with the rights of one %v", whole.Namespaces, part.Namespaces)
	}
	if slices.ContainsFunc(part.Ends, func(e end) bool { return e.is(s.guest.hand) }) {
		t.Error("who may read one namespace is told of a Pod of another")
	}
	cells := pairs(all, all, whole.says)
	s.both("list", cells)
	s.expect("as list says", cells...)
	for _, c := range pairs(s.own, s.own, func(c *cell, to *hand) bool { return whole.says(c, to) != part.says(c, to) }) {
		if c.want {
			t.Errorf("who may read one namespace is told something else of %s", &c)
		}
	}
	s.exposure()
	s.refusals()
	s.lint()
	s.doctor()
	s.diff()
}

// read asks a command for a document.
func (s *shop) read(into any, args ...string) {
	s.t.Helper()
	s.must("understand sluice "+args[0], json.Unmarshal([]byte(s.mustAsk("", cluster.sluice, args...)), into))
}

// openings is what the test reads of an exposure.
type openings struct {
	Ends   []end
	Groups []struct {
		Ends    []int
		Ingress *struct {
			Isolated bool
			Openings []struct {
				Kind, Namespace         string
				NamespaceLabels, Labels map[string]string
				Except                  []string
				Stretches               []stretch
			}
		}
	}
	Namespaces []string
}

// guests says whether a Pod lets the guest in, whose namespace has one label of its own.
func (o *openings) guests(c *cell, to *hand) bool {
	for _, g := range o.Groups {
		if !slices.ContainsFunc(g.Ends, func(i int) bool { return o.Ends[i].is(to) }) || g.Ingress == nil {
			continue
		}
		if !g.Ingress.Isolated {
			return true
		}
		for _, open := range g.Ingress.Openings {
			team, asks := open.NamespaceLabels["team"]
			guest := asks && team == "guests" && len(open.NamespaceLabels) == 1 && len(open.Labels) == 0
			if (open.Kind == "everyNamespace" || guest || open.Namespace == c.from.namespace()) && has(open.Stretches, c) {
				return true
			}
		}
	}
	return false
}

// namespace is that of a prober's Pod.
func (h *hand) namespace() string {
	ns, _, _ := strings.Cut(h.pod, "/")
	return ns
}

// exposure compares to whom Pods are open, with whoever's rights, and what gets to them
// from a Pod of which the answer with few rights cannot know.
func (s *shop) exposure() {
	s.t.Helper()
	var all, part openings
	s.read(&all, "exposure", "-o", "json", "--focus", "ns/"+s.ns)
	s.read(&part, "exposure", "-o", "json", "-n", s.ns, "--as", s.limited)
	if all.Namespaces != nil || !slices.Equal(part.Namespaces, []string{s.ns}) {
		s.t.Errorf("the namespaces that were read are %v, and with the rights of one %v", all.Namespaces, part.Namespaces)
	}
	cells := pairs([]*pod{s.guest}, s.own, part.guests)
	s.both("exposure", cells)
	s.expect("as exposure says to who may read one namespace", cells...)
	for _, c := range pairs([]*pod{s.guest}, s.own, func(c *cell, to *hand) bool { return all.guests(c, to) != part.guests(c, to) }) {
		if c.want {
			s.t.Errorf("who may read one namespace is told something else of %s", &c)
		}
	}
}

// grant is a command that a message names.
var grant = regexp.MustCompile(`kubectl (create (?:clusterrolebinding|rolebinding|clusterrole) [^;&)\n]*)`)

// refused wants a question to be refused for want of a right, with the command that gives
// it, and returns that.
func (s *shop) refused(who string, right string, args ...string) (command []string) {
	s.t.Helper()
	r, err := s.ask("", cluster.sluice, append(args, "--as", who)...)
	s.must("ask", err)
	found := grant.FindStringSubmatch(r.err)
	if r.code != 2 || r.out != "" || !strings.Contains(r.err, right) || found == nil {
		s.t.Fatalf("sluice %s: exit code %d, %q, want 2, %q and a command that grants it:\n%s", strings.Join(args, " "), r.code, r.out, right, r.err)
	}
	return strings.Fields(strings.TrimSuffix(strings.TrimSpace(found[1]), ";"))
}

// give runs a command that a message names, for somebody, and undoes it in the end.
func (s *shop) give(who string, command []string) {
	s.t.Helper()
	for i := range command {
		command[i] = strings.ReplaceAll(command[i], "YOU", who)
	}
	s.mustAsk("", *kubectl, command...)
	undo := append([]string{"delete"}, command[1:3]...)
	if i := slices.Index(command, "-n"); i >= 0 {
		undo = append(undo, command[i:i+2]...)
	}
	s.t.Cleanup(func() {
		// A namespace takes its own with it.
		if r, err := s.ask("", *kubectl, undo...); err != nil || r.code != 0 && !strings.Contains(r.err, "NotFound") {
			s.t.Errorf("%v: %v %s", undo, err, r.err)
		}
	})
}

// refusals: a part of a cluster does not pass for the whole, and the commands that are
// named are enough.
func (s *shop) refusals() {
	s.t.Helper()
	const right = `cannot list resource "networkpolicies"`
	dump := s.mustAsk("", *kubectl, "get", "networkpolicies,pods", "-n", s.ns, "-o", "yaml", "--as", s.limited)
	for _, args := range [][]string{{"list"}, {"exposure"}, {"diff", "cluster", s.file("own.yaml", dump)}} {
		s.refused(s.limited, right+` in API group "networking.k8s.io" at the cluster scope`, args...)
	}
	for _, args := range [][]string{{"list", "-n", s.ns}, {"exposure", "--focus", s.ns + "/server"}, {"explain", s.ns + "/friend", s.ns + "/server:7000"}} {
		command := s.refused(s.stranger, fmt.Sprintf(right+` in API group "networking.k8s.io" in the namespace %q`, s.ns), args...)
		if args[0] != "explain" {
			continue
		}
		s.give(s.stranger, command)
		s.await("what was granted", func() error {
			e, err := s.explain(s.ns+"/friend", s.ns+"/server:7000", "--as", s.stranger)
			if err == nil && !e.Allowed {
				err = fmt.Errorf("%+v", e)
			}
			return err
		})
	}
}

// file is a file of the test with a text.
func (s *shop) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	s.must("write "+name, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// difference is what the test reads of a diff.
type difference struct {
	Ends    []end
	Changes []struct {
		Sources, Destinations []int
		Stretches             []struct {
			stretch
			Old, New string
		}
	}
}

// says whether a cell is allowed after a change, of which it was said what it was before.
func (d *difference) says(c *cell, to *hand, before bool) bool {
	for _, one := range d.Changes {
		from := slices.ContainsFunc(one.Sources, func(i int) bool { return d.Ends[i].is(c.from) })
		if !from || !slices.ContainsFunc(one.Destinations, func(i int) bool { return d.Ends[i].is(to) }) {
			continue
		}
		for _, s := range one.Stretches {
			if s.covers(c) {
				return s.New == "allowed"
			}
		}
	}
	return before
}

// diff: what list says of the cluster, and diff of a change to it, is what packets do then.
func (s *shop) diff() {
	s.t.Helper()
	all := append(slices.Clone(s.own), s.guest)
	var before connections
	s.read(&before, "list", "-o", "json")
	dump := s.file("before.yaml", s.mustAsk("", *kubectl, "get", "networkpolicies,pods,namespaces", "-A", "-o", "yaml"))
	s.setPolicy(s.ns, "server", fmt.Sprintf("podSelector: {matchLabels: {app: server}}\ningress: [{from: [{podSelector: {matchLabels: {app: open}}}], ports: [{port: %d}]}]\n", web))
	r, err := s.ask("", cluster.sluice, "diff", dump, "cluster", "-o", "json")
	s.must("ask", err)
	if r.code != 1 {
		s.t.Errorf("diff: exit code %d for a policy that changed: %s", r.code, r.err)
	}
	var d difference
	s.must("understand diff", json.Unmarshal([]byte(r.out), &d))
	changed := 0
	cells := pairs(all, s.own[1:2], func(c *cell, to *hand) bool {
		was := before.says(c, to)
		is := d.says(c, to, was)
		if was != is {
			changed++
		}
		return is
	})
	// A friend and a guest lose what they had, and one Pod gets it.
	if changed != 3 {
		s.t.Errorf("diff changes %d cells, want 3:\n%s", changed, r.out)
	}
	s.expect("as diff says", cells...)
}
