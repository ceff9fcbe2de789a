package beyond

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// askers is what deploy/sluice.yaml has for those who ask what is enforced.
const (
	askersRole      = "sluice-reader"
	askersNamespace = "sluice-system"
)

// asker is an account that may do what the documentation says that it takes to ask, and
// nothing else.
func (w *world) asker() (as string) {
	w.t.Helper()
	rbac := cluster.client.RbacV1()
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.ns, Name: "default"}}
	reach, err := rbac.RoleBindings(askersNamespace).Create(w.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "beyond-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: askersRole},
		Subjects:   subjects,
	}, metav1.CreateOptions{})
	w.must("bind "+askersRole, err)
	role, err := rbac.ClusterRoles().Create(w.ctx, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "beyond-"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"pods", "nodes", "namespaces"}, Verbs: []string{"get", "list"}},
			{APIGroups: []string{networkingv1.GroupName}, Resources: []string{"networkpolicies"}, Verbs: []string{"get", "list"}},
		},
	}, metav1.CreateOptions{})
	w.must("create a role", err)
	compare, err := rbac.ClusterRoleBindings().Create(w.ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "beyond-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   subjects,
	}, metav1.CreateOptions{})
	w.must("bind the role", err)
	w.t.Cleanup(func() {
		for what, err := range map[string]error{
			"RoleBinding":        rbac.RoleBindings(askersNamespace).Delete(w.ctx, reach.Name, metav1.DeleteOptions{}),
			"ClusterRoleBinding": rbac.ClusterRoleBindings().Delete(w.ctx, compare.Name, metav1.DeleteOptions{}),
			"ClusterRole":        rbac.ClusterRoles().Delete(w.ctx, role.Name, metav1.DeleteOptions{}),
		} {
			if err != nil {
				w.t.Errorf("delete the %s: %v", what, err)
			}
		}
	})
	return "system:serviceaccount:" + w.ns + ":default"
}

// setPolicy brings a policy into the API, whether it is there or not.
func (w *world) setPolicy(ns, name, spec string) {
	w.t.Helper()
	policies := cluster.client.NetworkingV1().NetworkPolicies(ns)
	p, err := policies.Get(w.ctx, name, metav1.GetOptions{})
	if err != nil {
		w.policy(ns, name, spec)
		return
	}
	p.Spec = networkingv1.NetworkPolicySpec{}
	w.must("parse policy "+name, yaml.UnmarshalStrict([]byte(spec), &p.Spec))
	_, err = policies.Update(w.ctx, p, metav1.UpdateOptions{})
	w.must("update policy "+name, err)
}

// waitChanges is how often the policy changes.
const waitChanges = 40

// TestWaitIsNeverEarly: as soon as wait returns, packets go as the policy has it, at both
// ends and on both nodes; with no more rights than the documentation asks for.
func TestWaitIsNeverEarly(t *testing.T) {
	w := newWorld(t)
	as := w.asker()
	pods := w.pods(spec{name: "server"}, spec{name: "near"}, spec{name: "far", node: 1})
	server := pods["server"]
	sluice := func(args ...string) string {
		t.Helper()
		return w.mustAsk("", cluster.sluice, append(args, "-n", w.ns, "--as", as)...)
	}
	var took time.Duration
	for i := range waitChanges {
		open := "near"
		if i%2 == 1 {
			open = "far"
		}
		w.setPolicy(w.ns, "server", fmt.Sprintf("podSelector: {matchLabels: {app: server}}\ningress: [{from: [{podSelector: {matchLabels: {app: %s}}}]}]\n", open))
		began := time.Now()
		sluice("wait", "netpol/server", "--timeout", "30s")
		took += time.Since(began)
		tasks := map[string]task{}
		for _, from := range []string{"near", "far"} {
			timeout := unanswered
			if from == open {
				timeout = 5 * time.Second
			}
			tasks[from] = pods[from].start(probe.Request{Op: probe.Dial, Network: "tcp", Address: netip.AddrPortFrom(server.addrs()[0], web).String(), Timeout: timeout})
		}
		for from, task := range tasks {
			r := task.wait(settle)
			if (r.Outcome == probe.OK) != (from == open) {
				t.Errorf("change %d: only %s is allowed, and a connection of %s is %s: %s", i, open, from, r.Outcome, r.Detail)
			}
		}
	}
	t.Logf("%d changes, a wait took %s", waitChanges, (took / waitChanges).Round(time.Millisecond))

	var status struct {
		Policies []struct {
			Name, State string
			Pods        int
		}
	}
	w.must("understand the status", json.Unmarshal([]byte(sluice("status", "netpol/server", "-o", "json")), &status))
	if len(status.Policies) != 1 || status.Policies[0].State != "Enforced" || status.Policies[0].Pods != 1 {
		t.Errorf("status: %+v", status)
	}
	if text := sluice("status", "pod/server"); !strings.Contains(text, w.ns+"/server") || !strings.Contains(text, "Enforced") {
		t.Errorf("status of the Pod:\n%s", text)
	}
	denied := sluice("observe", "--to", w.ns+"/server", "--last", "5m")
	if !strings.Contains(denied, "Policy") || !strings.Contains(denied, w.ns+"/") {
		t.Errorf("observe does not tell of what was denied:\n%s", denied)
	}

	w.deletePolicy(w.ns, "server")
	sluice("wait", "netpol/server", "--for", "deleted", "--timeout", "30s")
	w.expect("without the policy", append(pods["near"].to(server, web, true), pods["far"].to(server, web, true)...)...)
}
