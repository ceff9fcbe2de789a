package beyond

import (
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
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
