package beyond

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// file is a file of the test with a text.
func (s *shop) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	s.must("write "+name, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// lint: of the namespace's objects, read with the caller's rights, it finds the policy that
// selects nobody, and status says of it that it isolates none.
func (s *shop) lint() {
	s.t.Helper()
	s.policy(s.ns, "typo", "podSelector: {matchLabels: {app: servre}}\npolicyTypes: [Ingress]\n")
	defer s.deletePolicy(s.ns, "typo")
	dump := s.mustAsk("", *kubectl, "get", "networkpolicies,pods", "-n", s.ns, "-o", "yaml", "--as", s.limited)
	r, err := s.ask(dump, cluster.sluice, "lint", "-f", "-", "-o", "json")
	s.must("ask", err)
	var found struct {
		Findings []struct {
			ID     string
			Object struct{ Name string }
		}
	}
	s.must("understand lint", json.Unmarshal([]byte(r.out), &found))
	// That the Pod which is bound reaches no DNS is true as well.
	got := map[string]string{}
	for _, f := range found.Findings {
		got[f.ID] = f.Object.Name
	}
	if r.code != 1 || got["policy-selects-nothing"] != "typo" || got["egress-without-dns"] != "bound" || len(found.Findings) != 2 {
		s.t.Errorf("lint: exit code %d:\n%s%s", r.code, r.out, r.err)
	}
	var status struct {
		Policies []struct {
			Name string
			Pods int
		}
	}
	s.mustAsk("", cluster.sluice, "wait", "netpol/typo", "-n", s.ns, "--timeout", "30s")
	s.read(&status, "status", "netpol/typo", "-n", s.ns, "-o", "json")
	if len(status.Policies) != 1 || status.Policies[0].Pods != 0 {
		s.t.Errorf("lint says that typo selects nobody, and status %+v", status)
	}
}

// diagnosis is what the test reads of doctor's report.
type diagnosis struct {
	State    string
	Nodes    []struct{ Node string }
	Findings []struct{ Check, State, Object, Found, Run string }
}

func (s *shop) diagnosis(who string) (d diagnosis, code int) {
	s.t.Helper()
	r, err := s.ask("", cluster.sluice, "doctor", "--agents", "-o", "json", "--as", who)
	s.must("ask", err)
	s.must("understand doctor: "+r.err, json.Unmarshal([]byte(r.out), &d))
	return d, r.code
}

// doctor names each right that somebody is without, and once the commands have been run
// that it names it asks the agents of all nodes.
func (s *shop) doctor() {
	s.t.Helper()
	who := "system:serviceaccount:" + s.elsewhere + ":doctor" // nobody has ever bound anything to it
	before, code := s.diagnosis(who)
	commands := map[string]bool{}
	for _, f := range before.Findings {
		if f.Check == "rights" && f.State != "ok" {
			commands[f.Run] = true
		}
	}
	if code != 1 || before.State != "problem" || len(before.Nodes) > 0 || len(commands) == 0 {
		s.t.Fatalf("doctor for who may do nothing: exit code %d, %+v", code, before)
	}
	for run := range commands {
		for command := range strings.SplitSeq(run, ";") {
			s.give(who, strings.Fields(strings.TrimPrefix(strings.TrimSpace(command), "kubectl ")))
		}
	}
	var after diagnosis
	s.await("what was granted to who asks doctor", func() error {
		after, _ = s.diagnosis(who)
		for _, f := range after.Findings {
			if (f.Check == "rights" || f.Check == "coverage") && f.State != "ok" {
				return fmt.Errorf("%+v", f)
			}
		}
		return nil
	})
	for _, name := range cluster.nodes {
		if !slices.ContainsFunc(after.Nodes, func(n struct{ Node string }) bool { return n.Node == name }) {
			s.t.Errorf("doctor says nothing of %s: %+v", name, after.Nodes)
		}
	}
	if after.State == "problem" {
		s.t.Errorf("packets go as they should, and doctor has a problem: %+v", after.Findings)
	}
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
