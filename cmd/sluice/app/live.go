package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

// liveReader reads a cluster from its API server, once: it lists, and watches
// nothing.
type liveReader struct {
	client kubernetes.Interface
	// server is for messages.
	server string
	// namespaces are those that a question names: enough for an answer where
	// no more may be read.
	namespaces []string
	// instead is what else may be asked by who may not read the whole cluster.
	instead string
}

// policed is what policies are about.
type policed struct {
	set      manifest.Set
	problems []manifest.Problem
	// only are the namespaces that were read, nil for all; then refused is why.
	only    []string
	refused error
}

func (r liveReader) read(ctx context.Context) (*cluster, error) {
	p, err := r.policed(ctx)
	if err != nil {
		return nil, unusable(r.sayWhy(err))
	}
	if p.only != nil {
		p.problems = append(p.problems, manifest.Problem{Notice: true, Message: fmt.Sprintf(
			"only the namespaces %v are read, so an address of another's Pod is taken for one from outside: %v", p.only, p.refused)})
	}
	return &cluster{world: question.NewLive(p.set), set: p.set, problems: p.problems, fetch: r.fetch}, nil
}

// policed reads what policies are about, of the whole cluster if allowed.
func (r liveReader) policed(ctx context.Context) (p policed, err error) {
	err = r.addNamespace(ctx, &p.set, metav1.NamespaceAll)
	if !apierrors.IsForbidden(err) || len(r.namespaces) == 0 {
		if err == nil {
			err = r.allNamespaces(ctx, &p.set)
		}
		p.problems = invalid(p.set)
		return p, err
	}
	p = policed{only: r.namespaces, refused: err}
	for _, name := range r.namespaces {
		if err := r.addNamespace(ctx, &p.set, name); err != nil {
			return p, err
		}
		ns, err := r.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return p, fmt.Errorf("get Namespace %s: %w", name, err)
		}
		p.set.Namespaces = append(p.set.Namespaces, ns)
	}
	p.problems = invalid(p.set)
	return p, nil
}

// allNamespaces keeps what verdicts follow from, and what says who gave it.
func (r liveReader) allNamespaces(ctx context.Context, set *manifest.Set) error {
	return list(ctx, "list Namespaces", r.client.CoreV1().Namespaces().List, func(l *corev1.NamespaceList) {
		for i := range l.Items {
			set.Namespaces = append(set.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				Name: l.Items[i].Name, UID: l.Items[i].UID, Labels: l.Items[i].Labels, Annotations: l.Items[i].Annotations,
			}})
		}
	})
}

// addNamespace reads the policies and the Pods of a namespace, or of all.
func (r liveReader) addNamespace(ctx context.Context, set *manifest.Set, namespace string) error {
	err := list(ctx, "list NetworkPolicies", r.client.NetworkingV1().NetworkPolicies(namespace).List, func(l *networkingv1.NetworkPolicyList) {
		for i := range l.Items {
			set.Policies = append(set.Policies, &l.Items[i])
		}
	})
	if err != nil {
		return err
	}
	return list(ctx, "list Pods", r.client.CoreV1().Pods(namespace).List, func(l *corev1.PodList) {
		for i := range l.Items {
			set.Pods = append(set.Pods, manifest.Essence(&l.Items[i]))
		}
	})
}

// invalid says what of a cluster's objects makes no sense to us. The API server
// has accepted them, so these are notices.
func invalid(set manifest.Set) []manifest.Problem {
	var problems []manifest.Problem
	for _, p := range set.Pods {
		if _, err := policy.PodFromAPI(p); err != nil {
			problems = append(problems, manifest.Problem{Notice: true, Message: err.Error()})
		}
	}
	for _, np := range set.Policies {
		for _, err := range policy.Validate(np) {
			problems = append(problems, manifest.Problem{
				Notice: true, Object: "NetworkPolicy " + np.Namespace + "/" + np.Name, Field: err.Field, Message: err.ErrorBody(),
			})
		}
	}
	return problems
}

// pageSize is how many objects are asked for at once, as kubectl does.
const pageSize = 500

// list reads a list page by page.
func list[L runtime.Object](ctx context.Context, what string, get func(context.Context, metav1.ListOptions) (L, error), each func(L)) error {
	options := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := get(ctx, options)
		if err != nil {
			// A list that takes longer than the API server remembers its
			// beginning is told how to go on with what there is by now.
			var status apierrors.APIStatus
			if options.Continue != "" && apierrors.IsResourceExpired(err) && errors.As(err, &status) && status.Status().Continue != "" {
				options.Continue = status.Status().Continue
				continue
			}
			return fmt.Errorf("%s: %w", what, err)
		}
		each(page)
		more, err := meta.ListAccessor(page)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if options.Continue = more.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}

// sayWhy says of an error of the API server what can be done about it.
func (r liveReader) sayWhy(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("read the cluster: %w (a question needs the verb list for pods and networkpolicies, and list or get for namespaces: %s; or %s)",
			err, r.grants(), cmp.Or(r.instead, "give manifests with -f"))
	}
	return fmt.Errorf("read the cluster: %w", unreachable(r.server, err))
}

// grants is how somebody who may gives the caller what a question needs.
func (r liveReader) grants() string {
	if len(r.namespaces) == 0 {
		return "kubectl create clusterrolebinding view-YOU --clusterrole=view --user=YOU"
	}
	var commands []string
	for _, name := range r.namespaces {
		commands = append(commands, fmt.Sprintf("kubectl create rolebinding view-YOU -n %s --clusterrole=view --user=YOU", name))
	}
	return strings.Join(commands, " && ")
}

// unreachable says of an API server that cannot be asked what can be done about it.
func unreachable(server string, err error) error {
	unreached := (*url.Error)(nil)
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server %s does not accept the credentials: %w", server, err)
	case errors.As(err, &unreached):
		return fmt.Errorf("the API server %s cannot be reached: %w (is it the right --context?)", server, unreached.Err)
	}
	return err
}

// named lists the namespaces of ends.
func named(ends ...question.End) []string {
	var list []string
	for _, e := range ends {
		if name := e.Object.Namespace; name != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}
