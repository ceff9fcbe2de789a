package deploy_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/door"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
	"github.com/sluice-net/sluice/enforcer/source"
)

func TestAccountIsTheAgentsAlone(t *testing.T) {
	m := read(t, "sluice.yaml")
	spec := m.daemonSet.Spec.Template.Spec
	if spec.ServiceAccountName != m.account.Name || spec.AutomountServiceAccountToken == nil || !*spec.AutomountServiceAccountToken {
		t.Errorf("the agent has the account %q", spec.ServiceAccountName)
	}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Name: m.account.Name, Namespace: m.account.Namespace}}
	if diff := cmp.Diff(subjects, m.binding.Subjects); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: m.role.Name}, m.binding.RoleRef); diff != "" {
		t.Errorf("role (-want +got):\n%s", diff)
	}
	cleanup := read(t, "cleanup.yaml").daemonSet.Spec.Template.Spec
	if cleanup.AutomountServiceAccountToken == nil || *cleanup.AutomountServiceAccountToken {
		t.Error("cleanup is given a token that it does not use")
	}
}

// What the agent asks the API server for is what its role allows, no less and
// no more.
func TestRoleIsWhatTheAgentAsksFor(t *testing.T) {
	allowed := map[string]bool{}
	for _, rule := range read(t, "sluice.yaml").role.Rules {
		if len(rule.NonResourceURLs)+len(rule.ResourceNames) > 0 {
			t.Errorf("unexpected in rule %+v", rule)
		}
		for _, group := range rule.APIGroups {
			for _, res := range rule.Resources {
				for _, verb := range rule.Verbs {
					allowed[fmt.Sprintf("%s %s/%s", verb, group, res)] = true
				}
			}
		}
	}
	asked := askedFor(t)
	maps.Copy(asked, reviewed(t))
	if diff := cmp.Diff(allowed, asked); diff != "" {
		t.Errorf("(-allowed +asked for):\n%s", diff)
	}
}

func askedFor(t *testing.T) map[string]bool {
	t.Helper()
	client := fake.NewClientset()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- source.NewKube(client, "node").Run(ctx, nothing{}) }()
	asked := map[string]bool{}
	for len(asked) < 8 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
		for _, a := range client.Actions() {
			asked[fmt.Sprintf("%s %s/%s", a.GetVerb(), a.GetResource().Group, a.GetResource().Resource)] = true
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return asked
}

// reviewed is what the agent asks for when somebody wants to read metrics.
func reviewed(t *testing.T) map[string]bool {
	t.Helper()
	client := fake.NewClientset()
	client.PrependReactor("create", "tokenreviews", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, &authenticationv1.TokenReview{Status: authenticationv1.TokenReviewStatus{Authenticated: true}}, nil
	})
	client.PrependReactor("create", "subjectaccessreviews", func(k8stesting.Action) (bool, runtime.Object, error) {
		return true, &authorizationv1.SubjectAccessReview{}, nil
	})
	if _, err := door.NewReviews(client, clock.RealClock{}).Review(t.Context(), "token", "/metrics"); err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, a := range client.Actions() {
		asked[fmt.Sprintf("%s %s/%s", a.GetVerb(), a.GetResource().Group, a.GetResource().Resource)] = true
	}
	return asked
}

// Whoever may read is named by the cluster's owner, and may read nothing else.
func TestReaderMayReadWhatTheAgentShows(t *testing.T) {
	m := read(t, "sluice.yaml")
	want := []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics", "/readyz", "/readyz/details"}}}
	if diff := cmp.Diff(want, m.reader.Rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if m.binding.RoleRef.Name == m.reader.Name {
		t.Error("the role is bound")
	}
}

// The account whose tokens the commands show to the agents may do nothing else, and who
// may have such a token is for the cluster's owner to say.
func TestAskingTakesLittle(t *testing.T) {
	m := read(t, "sluice.yaml")
	a := m.asking
	want := []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{nodestatus.StatusPath, nodestatus.WaitPath, nodestatus.DenialsPath, nodestatus.FlowsPath, diagnosis.Path}}}
	if diff := cmp.Diff(want, a.role.Rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Name: agents.ReaderAccount, Namespace: agents.Namespace}}
	if diff := cmp.Diff(subjects, a.binding.Subjects); diff != "" || a.binding.RoleRef.Name != a.role.Name || a.binding.RoleRef.Kind != "ClusterRole" {
		t.Errorf("%s is bound to (-want +got):\n%s", a.binding.RoleRef.Name, diff)
	}
	if a.account.Namespace != agents.Namespace || a.account.AutomountServiceAccountToken == nil || *a.account.AutomountServiceAccountToken {
		t.Errorf("account %+v", a.account)
	}
	way := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}},
		{APIGroups: []string{""}, Resources: []string{"pods/portforward"}, Verbs: []string{"get", "create"}},
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{a.account.Name}, Verbs: []string{"create"}},
	}
	if diff := cmp.Diff(way, a.way.Rules); diff != "" || a.way.Namespace != agents.Namespace {
		t.Errorf("in %s (-want +got):\n%s", a.way.Namespace, diff)
	}
	if got := labels.Set(m.daemonSet.Spec.Template.Labels); !labels.SelectorFromSet(agents.Labels).Matches(got) {
		t.Errorf("the commands do not find Pods with the labels %v", got)
	}
	if port := m.daemonSet.Spec.Template.Spec.Containers[0].Ports[0].Name; port != agents.PortName {
		t.Errorf("the door is port %q", port)
	}
}
