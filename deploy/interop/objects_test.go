package interop

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// kinds are those that our manifests may hold, to read them strictly.
var kinds = map[string]func() any{
	"Namespace":          func() any { return &corev1.Namespace{} },
	"ServiceAccount":     func() any { return &corev1.ServiceAccount{} },
	"Secret":             func() any { return &corev1.Secret{} },
	"Role":               func() any { return &rbacv1.Role{} },
	"ClusterRole":        func() any { return &rbacv1.ClusterRole{} },
	"ClusterRoleBinding": func() any { return &rbacv1.ClusterRoleBinding{} },
	"DaemonSet":          func() any { return &appsv1.DaemonSet{} },
	"PodMonitor":         func() any { return &monitoringv1.PodMonitor{} },
}

// objects reads a stream of documents by kind, namespace and name. A field that
// does not exist is an error, and so is a second object of a name.
func objects(t *testing.T, stream []byte) map[string]any {
	t.Helper()
	out := map[string]any{}
	for docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream))); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var any unstructured.Unstructured
		if err := yaml.Unmarshal(doc, &any.Object); err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		if len(any.Object) == 0 {
			continue
		}
		name := fmt.Sprintf("%s %s/%s", any.GetKind(), any.GetNamespace(), any.GetName())
		make, known := kinds[any.GetKind()]
		if !known || out[name] != nil {
			t.Fatalf("a second or unexpected %s", name)
		}
		object := make()
		if err := yaml.UnmarshalStrict(doc, object); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, doc)
		}
		out[name] = object
	}
}

func file(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// agent is the agents' DaemonSet.
func agent(t *testing.T, objects map[string]any) *appsv1.DaemonSet {
	t.Helper()
	for name, o := range objects {
		if ds, ok := o.(*appsv1.DaemonSet); ok && strings.HasSuffix(name, "/sluice") {
			return ds
		}
	}
	t.Fatal("no DaemonSet sluice")
	return nil
}

// subjects are those of a binding.
func subjects(object any) ([]rbacv1.Subject, bool) {
	b, ok := object.(*rbacv1.ClusterRoleBinding)
	if !ok {
		return nil, false
	}
	return b.Subjects, true
}
