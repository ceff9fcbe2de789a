package app

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
)

// right is something that the commands ask of the API server.
type right struct {
	verb, group, resource, subresource, name string
	// ours: in the agents' namespace, otherwise in all.
	ours bool
	// state is how bad it is to be without, so that and mend what follows.
	state      diagnosis.State
	what, mend string
}

const bindReader = "kubectl create rolebinding sluice-reader-YOU -n %s --role=sluice-reader --user=YOU"

// rights are what doctor, status and observe need. The last ones are good to have.
var rights = []right{
	{verb: "list", resource: "pods", ours: true, state: diagnosis.Problem, what: "the agents cannot be found", mend: bindReader},
	{verb: "create", resource: "pods", subresource: "portforward", ours: true, state: diagnosis.Problem, what: "the agents cannot be reached", mend: bindReader},
	{verb: "create", resource: "serviceaccounts", subresource: "token", name: agents.ReaderAccount, ours: true, state: diagnosis.Note, what: "your own token is shown to every node instead, if the kubeconfig has one", mend: bindReader},
	{verb: "list", resource: "nodes", state: diagnosis.Note, what: "nodes without an agent, and startup taints that are left, are not told", mend: "kubectl create clusterrole node-lister --verb=list --resource=nodes; kubectl create clusterrolebinding node-lister-YOU --clusterrole=node-lister --user=YOU"},
	{verb: "list", group: "networking.k8s.io", resource: "networkpolicies", state: diagnosis.Note, what: "policies that cannot be understood are not told", mend: "kubectl create clusterrolebinding view-YOU --clusterrole=view --user=YOU"},
}

// lackingRights asks the API server what the caller may do; nothing is written by that.
func lackingRights(ctx context.Context, client kubernetes.Interface, namespace string) []diagnosis.Finding {
	var out []diagnosis.Finding
	for _, r := range rights {
		attributes := &authorizationv1.ResourceAttributes{Verb: r.verb, Group: r.group, Resource: r.resource, Subresource: r.subresource, Name: r.name}
		run := r.mend
		if r.ours {
			attributes.Namespace = namespace
			run = fmt.Sprintf(r.mend, namespace)
		}
		review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes},
		}, metav1.CreateOptions{})
		if err != nil {
			return append(out, diagnosis.Finding{Check: diagnosis.IDRights, State: diagnosis.Note, Found: "the API server does not say what you may do: " + err.Error(), Consequence: "what is missing elsewhere may be for want of rights", Mend: "ask it yourself", Run: "kubectl auth can-i --list -n " + namespace})
		}
		if !review.Status.Allowed {
			out = append(out, diagnosis.Finding{Check: diagnosis.IDRights, State: r.state, Object: r.String(namespace), Found: "you may not do that", Consequence: r.what, Run: run})
		}
	}
	return out
}

// String is the right as people say it.
func (r right) String(namespace string) string {
	resource := r.resource
	if r.subresource != "" {
		resource += "/" + r.subresource
	}
	if r.name != "" {
		resource += " of " + r.name
	}
	if r.ours {
		return fmt.Sprintf("%s %s in namespace %s", r.verb, resource, namespace)
	}
	return fmt.Sprintf("%s %s of the cluster", r.verb, resource)
}
