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
// of these if no kind may be read. A cluster without the Gateway API, or that is none of
// OpenShift, has none of its kinds.
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
	for _, group := range []string{manifest.GatewayGroup, manifest.RouteGroup} {
		served, err := r.servedKinds(ctx, group)
		if err != nil {
			return set, left, err
		}
		for _, s := range served {
			if err := note(plural(s.kind), r.entryObjects(ctx, s, namespace, &set)); err != nil {
				return set, left, err
			}
		}
	}
	if read == 0 && forbidden != nil {
		return set, left, forbidden
	}
	return set, left, nil
}

// servedKind is a kind of entries that is no part of Kubernetes, as the API server serves it.
type servedKind struct {
	kind, group, version, name string
	namespaced                 bool
}

// servedEntries are those that are read, by their group and in the order in which they are
// asked for.
var servedEntries = map[string][]string{
	manifest.GatewayGroup: {"Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"},
	manifest.RouteGroup:   {"Route"},
}

// servedKinds finds out which kinds of a group there are, each by the version that the API
// server prefers: whoever may log in may ask that.
func (r liveReader) servedKinds(ctx context.Context, name string) ([]servedKind, error) {
	var group metav1.APIGroup
	err := r.getJSON(ctx, "/apis/"+name, nil, &group)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the API %s: %w", name, err)
	}
	versions := []string{group.PreferredVersion.Version}
	for _, v := range group.Versions {
		if !slices.Contains(versions, v.Version) {
			versions = append(versions, v.Version)
		}
	}
	kinds := servedEntries[name]
	var out []servedKind
	for _, version := range versions {
		var served metav1.APIResourceList
		err := r.getJSON(ctx, "/apis/"+name+"/"+version, nil, &served)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("ask for the kinds of the API %s: %w", name, err)
		}
		for _, one := range served.APIResources {
			known := slices.ContainsFunc(out, func(o servedKind) bool { return o.kind == one.Kind })
			if slices.Contains(kinds, one.Kind) && !known && !strings.Contains(one.Name, "/") {
				out = append(out, servedKind{one.Kind, name, version, one.Name, one.Namespaced})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b servedKind) int {
		return slices.Index(kinds, a.kind) - slices.Index(kinds, b.kind)
	})
	return out, nil
}

func plural(kind string) string {
	if strings.HasSuffix(kind, "s") {
		return kind + "es"
	}
	return kind + "s"
}

// entryPage is a page of a list, whose items are read by package manifest.
type entryPage struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []json.RawMessage `json:"items"`
}

// DeepCopyObject makes a page an object, which list asks for.
func (p *entryPage) DeepCopyObject() runtime.Object {
	out := *p
	out.Items = slices.Clone(p.Items)
	return &out
}

// entryObjects lists those of a kind.
func (r liveReader) entryObjects(ctx context.Context, of servedKind, namespace string, set *manifest.Set) error {
	path := "/apis/" + of.group + "/" + of.version
	if of.namespaced && namespace != "" {
		path += "/namespaces/" + namespace
	}
	get := func(ctx context.Context, o metav1.ListOptions) (*entryPage, error) {
		page := &entryPage{}
		query := map[string]string{"limit": strconv.FormatInt(o.Limit, 10)}
		if o.Continue != "" {
			query["continue"] = o.Continue
		}
		return page, r.getJSON(ctx, path+"/"+of.name, query, page)
	}
	var unread []error
	err := list(ctx, "list "+plural(of.kind), get, func(p *entryPage) {
		for _, item := range p.Items {
			entry, class, err := manifest.EntryObject(of.kind, item)
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
