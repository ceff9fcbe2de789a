package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-net/sluice/policy/manifest"
	"github.com/sluice-net/sluice/policy/question"
)

// addEntries reads what lets connections in from outside, and the Services behind it. What
// may not be read is left out, and said.
func (r liveReader) addEntries(ctx context.Context, out *objects) error {
	var left []string
	for _, namespace := range out.scope() {
		set, refused, err := r.entries(ctx, namespace)
		if err != nil && !apierrors.IsForbidden(err) {
			return err
		}
		left = append(left, refused...)
		out.set.Entries = append(out.set.Entries, set.Entries...)
		out.addClasses(set.EntryClasses)
		if len(set.Entries) == 0 {
			continue
		}
		found, err := r.fetch(ctx, question.Need{Kind: question.KindService, Namespace: namespace})
		switch {
		case apierrors.IsForbidden(err):
			left = append(left, "Services")
		case err != nil:
			return err
		}
		out.set.Services = append(out.set.Services, found.Services...)
	}
	if left = distinct(left); len(left) > 0 {
		out.problems = append(out.problems, manifest.Problem{Notice: true, Message: fmt.Sprintf(
			"%s may not be read, so that entries from outside are left out, or lead nowhere: it takes the verb list for them", strings.Join(left, ", "))})
	}
	return nil
}

// addClasses adds classes, which are of no namespace, and so are found with each.
func (o *objects) addClasses(classes []manifest.EntryClass) {
	for _, c := range classes {
		if !slices.Contains(o.set.EntryClasses, c) {
			o.set.EntryClasses = append(o.set.EntryClasses, c)
		}
	}
}

// distinct leaves out what was there before.
func distinct(list []string) []string {
	var out []string
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// entries reads Ingresses, Gateways and routes of a namespace, or of all, with their
// classes. Left are the kinds that the caller may not read, and the error is that of one
// of these if no kind may be read. A cluster without the Gateway API has none of its kinds.
func (r liveReader) entries(ctx context.Context, namespace string) (set manifest.Set, left []string, err error) {
	var forbidden error
	read := 0
	note := func(kind string, err error) error {
		switch {
		case apierrors.IsForbidden(err):
			left, forbidden = append(left, kind), err
			return nil
		case err == nil:
			read++
		}
		return err
	}
	networking := r.client.NetworkingV1()
	err = list(ctx, "list Ingresses", networking.Ingresses(namespace).List, func(l *networkingv1.IngressList) {
		for i := range l.Items {
			set.Entries = append(set.Entries, manifest.NewIngress(&l.Items[i]))
		}
	})
	if err := note("Ingresses", err); err != nil {
		return set, left, err
	}
	if len(set.Entries) > 0 {
		err = list(ctx, "list IngressClasses", networking.IngressClasses().List, func(l *networkingv1.IngressClassList) {
			for i := range l.Items {
				set.EntryClasses = append(set.EntryClasses, manifest.NewIngressClass(&l.Items[i]))
			}
		})
		if err := note("IngressClasses", err); err != nil {
			return set, left, err
		}
	}
	served, err := r.gatewayResources(ctx)
	if err != nil {
		return set, left, err
	}
	for _, s := range served {
		if err := note(plural(s.kind), r.gatewayObjects(ctx, s, namespace, &set)); err != nil {
			return set, left, err
		}
	}
	if read == 0 && forbidden != nil {
		return set, left, forbidden
	}
	return set, left, nil
}

// gatewayResource is a kind of the Gateway API as the API server serves it.
type gatewayResource struct {
	kind, version, name string
	namespaced          bool
}

// gatewayKinds are those that are read, in the order in which they are asked for.
var gatewayKinds = []string{"Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"}

// gatewayResources finds out which kinds there are, each by the version that the API server
// prefers: whoever may log in may ask that.
func (r liveReader) gatewayResources(ctx context.Context) ([]gatewayResource, error) {
	var group metav1.APIGroup
	err := r.getJSON(ctx, "/apis/"+manifest.GatewayGroup, nil, &group)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the Gateway API: %w", err)
	}
	versions := []string{group.PreferredVersion.Version}
	for _, v := range group.Versions {
		if !slices.Contains(versions, v.Version) {
			versions = append(versions, v.Version)
		}
	}
	var out []gatewayResource
	for _, version := range versions {
		var served metav1.APIResourceList
		err := r.getJSON(ctx, "/apis/"+manifest.GatewayGroup+"/"+version, nil, &served)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("ask for the kinds of the Gateway API: %w", err)
		}
		for _, one := range served.APIResources {
			known := slices.ContainsFunc(out, func(o gatewayResource) bool { return o.kind == one.Kind })
			if slices.Contains(gatewayKinds, one.Kind) && !known && !strings.Contains(one.Name, "/") {
				out = append(out, gatewayResource{one.Kind, version, one.Name, one.Namespaced})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b gatewayResource) int {
		return slices.Index(gatewayKinds, a.kind) - slices.Index(gatewayKinds, b.kind)
	})
	return out, nil
}

func plural(kind string) string {
	if strings.HasSuffix(kind, "s") {
		return kind + "es"
	}
	return kind + "s"
}

// gatewayPage is a page of a list, whose items are read by package manifest.
type gatewayPage struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []json.RawMessage `json:"items"`
}

// DeepCopyObject makes a page an object, which list asks for.
func (p *gatewayPage) DeepCopyObject() runtime.Object {
	out := *p
	out.Items = slices.Clone(p.Items)
	return &out
}

// gatewayObjects lists those of a kind.
func (r liveReader) gatewayObjects(ctx context.Context, of gatewayResource, namespace string, set *manifest.Set) error {
	path := "/apis/" + manifest.GatewayGroup + "/" + of.version
	if of.namespaced && namespace != "" {
		path += "/namespaces/" + namespace
	}
	get := func(ctx context.Context, o metav1.ListOptions) (*gatewayPage, error) {
		page := &gatewayPage{}
		query := map[string]string{"limit": strconv.FormatInt(o.Limit, 10)}
		if o.Continue != "" {
			query["continue"] = o.Continue
		}
		return page, r.getJSON(ctx, path+"/"+of.name, query, page)
	}
	var unread []error
	err := list(ctx, "list "+plural(of.kind), get, func(p *gatewayPage) {
		for _, item := range p.Items {
			entry, class, err := manifest.GatewayObject(of.kind, item)
			switch {
			case err != nil:
				unread = append(unread, err)
			case class.Name != "":
				set.EntryClasses = append(set.EntryClasses, class)
			default:
				set.Entries = append(set.Entries, entry)
			}
		}
	})
	return errors.Join(append(unread, err)...)
}

// getJSON asks for a path in JSON: resources that an API server does not know itself have
// no other form.
func (r liveReader) getJSON(ctx context.Context, path string, query map[string]string, into any) error {
	request := r.client.CoreV1().RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json")
	for k, v := range query {
		request = request.Param(k, v)
	}
	data, err := request.Do(ctx).Raw()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
