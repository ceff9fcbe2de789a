package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// object is one that agents read.
type object interface {
	runtime.Object
	metav1.Object
}

// source is where the agent reads from.
type source interface {
	// set and remove tell the agent of a change, if it listens.
	set(o object) error
	remove(o object) error
	// flags are what the agent needs to find it.
	flags() []string
}

// resourceOf is what the API calls an object's kind.
func resourceOf(o object) string {
	switch o.(type) {
	case *corev1.Pod:
		return "pods"
	case *corev1.Namespace:
		return "namespaces"
	case *corev1.Node:
		return "nodes"
	case *networkingv1.NetworkPolicy:
		return "networkpolicies"
	}
	return ""
}

// typed gives an object the type that it must have on the wire.
func typed(o object) object {
	o = o.DeepCopyObject().(object)
	version, kind := "v1", map[string]string{"pods": "Pod", "namespaces": "Namespace", "nodes": "Node", "networkpolicies": "NetworkPolicy"}[resourceOf(o)]
	if kind == "NetworkPolicy" {
		version = "networking.k8s.io/v1"
	}
	o.GetObjectKind().SetGroupVersionKind(schemaKind(version, kind))
	return o
}

// directory is a source of manifests, a file for each object.
type directory struct {
	path string
	// lost is where it is while it is not in its place.
	lost string
}

func (d *directory) file(o object) string {
	path := d.path
	if d.lost != "" {
		path = d.lost
	}
	return filepath.Join(path, strings.Trim(fmt.Sprintf("%s-%s-%s.yaml", resourceOf(o), o.GetNamespace(), o.GetName()), "-"))
}

func (d *directory) set(o object) error {
	text, err := yaml.Marshal(typed(o))
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	// A file is there as a whole, or as it was.
	part := filepath.Join(filepath.Dir(d.path), "part")
	if err := os.WriteFile(part, text, 0o600); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return os.Rename(part, d.file(o))
}

func (d *directory) remove(o object) error { return os.Remove(d.file(o)) }

// lose takes the directory from its place, and puts a file there if asked to.
func (d *directory) lose(file bool) error {
	if err := os.Rename(d.path, d.path+".lost"); err != nil {
		return err
	}
	d.lost = d.path + ".lost"
	if !file {
		return nil
	}
	return os.WriteFile(d.path, []byte("no manifest"), 0o600)
}

// find brings it back.
func (d *directory) find() error {
	if err := os.RemoveAll(d.path); err != nil {
		return err
	}
	lost := d.lost
	d.lost = ""
	return os.Rename(lost, d.path)
}

// spoil adds a file that is no manifest, mend takes it away.
func (d *directory) spoil() error {
	return os.WriteFile(filepath.Join(d.path, "broken.yaml"), []byte("kind: [NetworkPolicy\n"), 0o600)
}

func (d *directory) mend() error { return os.Remove(filepath.Join(d.path, "broken.yaml")) }

func (d *directory) flags() []string { return []string{"--manifests", d.path} }
