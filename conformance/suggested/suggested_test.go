package suggested

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluice-net/sluice/cmd/sluice/app"
	"github.com/sluice-net/sluice/conformance/lab"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/spectest"
)

// What is suggested of an application's traffic lets all of it through, and of all else
// nothing but DNS by TCP for those who were seen to ask by UDP: by the naive evaluator,
// and by packets.
func TestSuggestedPoliciesAllowWhatWasSeenAndNothingElse(t *testing.T) {
	for _, row := range []struct {
		name string
		make func(*testing.T) *application
		dns  string
		// policies, how many flows of the kind were not seen, and how many of these are denied.
		policies, unseen, denied int
	}{
		{"shop", theShop, "kube-system/dns", 3, 162, 160},
		{"Online Boutique", onlineBoutique, "kube-system/kube-dns", 12, 2890, 2884},
	} {
		for _, topology := range []lab.Topology{lab.Bridge, lab.PTP} {
			t.Run(row.name+"/"+topology.String(), func(t *testing.T) {
				p := play(t, row.make(t), topology)
				policies, said := p.suggest(p.record())
				if len(policies) != row.policies {
					t.Errorf("%d policies are suggested, want %d", len(policies), row.policies)
				}
				t.Logf("sluice suggest says:\n%s", said)

				unseen, allowed := p.unseen(inForce(policies))
				var denied []lab.Flow
				for _, f := range unseen {
					if c := p.flowCall(f); !allowed[f] {
						denied = append(denied, f)
					} else if c.to != row.dns || c.protocol != lab.TCP || c.port != 53 {
						t.Errorf("%+v is allowed, and nobody saw it", c)
					}
				}
				t.Logf("%d policies of %d calls: of %d flows that were not seen, %d are denied (%.1f %%)",
					len(policies), len(p.calls), len(unseen), len(denied), 100*float64(len(denied))/float64(len(unseen)))
				if len(unseen) != row.unseen || len(denied) != row.denied {
					t.Errorf("of %d flows that were not seen %d are denied, want %d of %d", len(unseen), len(denied), row.denied, row.unseen)
				}

				p.tried(policies, denied[0])
				p.enforced(policies, unseen, allowed)
			})
		}
	}
}

// suggest asks the command for policies, of the agents' lines and of manifests.
func (p *played) suggest(lines []string) (policies []*networkingv1.NetworkPolicy, said string) {
	p.t.Helper()
	dir := p.t.TempDir()
	record, objects := filepath.Join(dir, "flows.jsonl"), filepath.Join(dir, "objects.yaml")
	var text bytes.Buffer
	write := func(o any) {
		data, err := json.Marshal(o)
		if err != nil {
			p.t.Fatal(err)
		}
		text.WriteString("---\n" + string(data) + "\n")
	}
	for _, ns := range p.namespaces {
		ns = ns.DeepCopy()
		ns.APIVersion, ns.Kind = "v1", "Namespace"
		write(ns)
	}
	for _, pod := range p.Pods {
		pod = pod.DeepCopy()
		pod.APIVersion, pod.Kind = "v1", "Pod"
		write(pod)
	}
	for path, data := range map[string][]byte{record: []byte(strings.Join(lines, "\n")), objects: text.Bytes()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	var out, errOut bytes.Buffer
	code := app.Main(p.t.Context(), []string{"suggest", "-n", p.namespace, "--flows", record, "-f", objects}, app.IOStreams{Out: &out, ErrOut: &errOut})
	if code != 0 {
		p.t.Fatalf("suggest: exit code %d: %s", code, errOut.String())
	}
	var loader manifest.Loader
	loader.Add("suggested", out.Bytes())
	set, problems := loader.Finish()
	for _, problem := range problems {
		if !problem.Notice {
			p.t.Fatal(problem)
		}
	}
	return set.Policies, errOut.String()
}

// unseen are all flows with an end in the namespace, on all ports that anything was seen
// on and on one that was not, and which of them the naive evaluator allows.
func (p *played) unseen(policies []*networkingv1.NetworkPolicy) (all []lab.Flow, allowed map[lab.Flow]bool) {
	p.t.Helper()
	type target struct {
		protocol uint8
		port     uint16
	}
	targets := map[target]bool{{lab.TCP, 53}: true, {lab.TCP, 9999}: true}
	seen := map[call]bool{}
	for _, c := range p.calls {
		targets[target{c.protocol, c.port}] = true
		seen[c] = true
	}
	twin := spectest.Cluster{Namespaces: p.namespaces, Policies: policies}
	ends := map[netip.Addr]bool{customer: false}
	for _, pod := range p.Pods {
		ends[netip.MustParseAddr(pod.Status.PodIP)] = pod.Namespace == p.namespace
		twin.Pods = append(twin.Pods, pod)
	}
	allowed = map[lab.Flow]bool{}
	for src, inside := range ends {
		for dst, also := range ends {
			for to := range targets {
				f := lab.Flow{Src: src, Dst: dst, Protocol: to.protocol, Port: to.port}
				egress, ingress := twin.Allowed(spectest.Flow{Src: src, Dst: dst, Protocol: to.protocol, Port: to.port})
				switch {
				case src == dst || !inside && !also:
				case !seen[p.flowCall(f)]:
					all = append(all, f)
					allowed[f] = egress && ingress
				case !egress || !ingress:
					p.t.Errorf("%+v was seen, and would be denied", p.flowCall(f))
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b lab.Flow) int { return strings.Compare(a.String(), b.String()) })
	return all, allowed
}

func (p *played) flowCall(f lab.Flow) call { return p.callOf(f.Src, f.Dst, f.Protocol, f.Port) }

// tried applies the policies as they are suggested, audited: the traffic passes, and
// nothing is told of but a flow that is none of it.
func (p *played) tried(policies []*networkingv1.NetworkPolicy, stray lab.Flow) {
	p.t.Helper()
	for _, np := range policies {
		if np.Annotations[policy.ModeKey] != policy.ModeAudit {
			p.t.Errorf("policy %s is suggested with the annotations %v: want it audited", np.Name, np.Annotations)
		}
		p.Set(np)
	}
	p.send("with the policies audited")
	if reached, err := p.Probe(p.t.Context(), []lab.Flow{stray}); err != nil || !reached[0] {
		p.t.Errorf("with the policies audited: %s does not pass (%v)", stray, err)
	}
	told := false
	for deadline := time.Now().Add(time.Minute); !told; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("nobody tells that %s would be denied", stray)
		}
		for _, n := range p.Spec().Nodes {
			for _, d := range p.Agent(n.Name).Denials().Find(nil, 0) {
				if d.Src.Address == stray.Src.String() && d.Dst.Address == stray.Dst.String() && d.Port == stray.Port {
					told = true
				} else {
					p.t.Fatalf("with the policies audited: %s: %s", d.Reason, d.Message)
				}
				if d.Reason != denials.Audit {
					p.t.Fatalf("with the policies audited: %s: %s", d.Reason, d.Message)
				}
			}
		}
	}
}

// inForce are the policies without the annotation by which they are only audited.
func inForce(policies []*networkingv1.NetworkPolicy) (out []*networkingv1.NetworkPolicy) {
	for _, np := range policies {
		np = np.DeepCopy()
		np.Annotations = nil
		out = append(out, np)
	}
	return out
}

// enforced takes the annotation away: the traffic still passes, and of the rest what the
// naive evaluator allows.
func (p *played) enforced(policies []*networkingv1.NetworkPolicy, unseen []lab.Flow, allowed map[lab.Flow]bool) {
	p.t.Helper()
	for _, np := range inForce(policies) {
		p.Set(np)
	}
	p.send("with the policies enforced")
	reached, err := p.Probe(p.t.Context(), unseen)
	if err != nil {
		p.t.Fatal(err)
	}
	for i, f := range unseen {
		if reached[i] != allowed[f] {
			p.t.Errorf("%+v: answered %t, and allowed is %t", p.flowCall(f), reached[i], allowed[f])
		}
	}
}
