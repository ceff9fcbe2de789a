package beyond

import (
	"fmt"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// TestPlugin calls sluice as users of kubectl do, with kubectl's flags.
func TestPlugin(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "friend"}, spec{name: "stranger", node: 1}, spec{name: "server"})
	w.policy(w.ns, "friend", `
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}]}]
`)
	w.expect("as sluice", append(pods["friend"].to(pods["server"], web, true), pods["stranger"].to(pods["server"], web, false)...)...)
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	w.must("read the kubeconfig", err)

	dst := fmt.Sprintf("server:%d", web)
	plain := w.mustAsk("", cluster.sluice, "explain", w.ns+"/stranger", w.ns+"/"+dst, "-o", "json")
	plugin := w.mustAsk("", *kubectl, "sluice", "explain", "-n", w.ns, "stranger", dst, "-o", "json", "--context", config.CurrentContext)
	if plain != plugin || !strings.Contains(plain, `"allowed": false`) {
		t.Errorf("sluice says:\n%s\nand kubectl sluice:\n%s", plain, plugin)
	}
	flows := fmt.Sprintf(`{"src":"friend","dst":"server","port":%d,"expected":true}
{"src":"stranger","dst":"pod/server","port":%[1]d,"expected":false}
`, web)
	if out := w.mustAsk(flows, *kubectl, "sluice", "verify", "-n", w.ns); !strings.Contains(out, "2 flows: 2 with an expectation, 0 mismatches, 0 unusable") {
		t.Errorf("kubectl sluice verify says:\n%s", out)
	}
	if out := w.mustAsk("", *kubectl, "sluice", "explain", "--help"); !strings.Contains(out, "kubectl sluice explain") {
		t.Errorf("kubectl sluice explain --help does not say how to call it:\n%s", out)
	}
	refused := func(what string, want string, args ...string) {
		t.Helper()
		r, err := w.ask("", *kubectl, append([]string{"sluice", "explain", "-n", w.ns, "friend", dst}, args...)...)
		if err != nil || r.code != 2 || !strings.Contains(r.err, want) || r.out != "" {
			t.Errorf("%s: exit code %d, %v\n%s%s\nwant 2 and %q", what, r.code, err, r.out, r.err, want)
		}
	}
	refused("another context", config.CurrentContext, "--context", "nowhere")
	refused("nobody's rights", "list for pods and networkpolicies", "--as", "system:serviceaccount:"+w.ns+":default")
}

// TestRights: who may read one namespace is answered about that.
func TestRights(t *testing.T) {
	w := newWorld(t)
	pods := w.pods(spec{name: "friend"}, spec{name: "stranger", node: 1}, spec{name: "server"})
	w.policy(w.ns, "friend", `
podSelector: {matchLabels: {app: server}}
ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}]}]
`)
	service := w.service("server", "server", nil, web)
	w.expect("as an administrator", append(pods["friend"].at("the Service", parse(service.Spec.ClusterIPs), "tcp", web, true),
		pods["stranger"].at("the Service", parse(service.Spec.ClusterIPs), "tcp", web, false)...)...)
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods", "services"}, Verbs: []string{"list"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"networkpolicies"}, Verbs: []string{"list"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list"}},
	}
	rbac := cluster.client.RbacV1()
	_, err := rbac.Roles(w.ns).Create(w.ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: rules}, metav1.CreateOptions{})
	w.must("create a Role", err)
	_, err = rbac.RoleBindings(w.ns).Create(w.ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.ns, Name: "default"}},
	}, metav1.CreateOptions{})
	w.must("bind the Role", err)

	for src, want := range map[string]bool{"friend": true, "stranger": false} {
		// The API server learns of rights with a delay.
		var e explained
		w.await("the rights", func() (err error) {
			e, err = w.explain("-n", w.ns, src, "svc/server", "--as", "system:serviceaccount:"+w.ns+":default")
			return err
		})
		if e.Allowed != want || len(e.Outcomes) != 1 || e.Outcomes[0].Flow.Dst.Pod != w.ns+"/server" {
			t.Errorf("%s: %+v, want allowed %v", src, e, want)
		}
	}
	r, err := w.ask("", cluster.sluice, "explain", "-n", w.ns, "friend", "svc/server", "--as", "system:serviceaccount:"+w.ns+":default")
	if want := "only the namespaces [" + w.ns + "] are read"; err != nil || !strings.Contains(r.err, want) {
		t.Errorf("explain notes %q, want %q (%v)", r.err, want, err)
	}
}
