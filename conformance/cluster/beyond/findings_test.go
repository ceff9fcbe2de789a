package beyond

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

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
