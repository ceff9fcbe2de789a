package compiler_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/spectest"
)

// parseScript reads objects in short:
//
//	namespace shop team=red
//	pod shop/web-1 on node-a at 10.0.0.1,fd00::1 app=web http:8080/TCP
//	policy shop/web
//	  podSelector: …            (the spec as YAML, indented)
//	delete pod shop/web-1
//
// Lines that begin with # are comments. Later Pods are newer.
func parseScript(t testing.TB, text string) []spectest.Event {
	t.Helper()
	var out []spectest.Event
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if line == "" || line[0] == '#' {
			continue
		}
		var body []string
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], " ") {
			i++
			body = append(body, lines[i])
		}
		e, err := parseEvent(strings.Fields(line), strings.Join(body, "\n"), len(out))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, e)
	}
	return out
}

func parseEvent(words []string, body string, age int) (spectest.Event, error) {
	var e spectest.Event
	if words[0] == "delete" {
		e.Delete = true
		words = words[1:]
	}
	if len(words) < 2 {
		return e, fmt.Errorf("too short")
	}
	namespace, name, _ := strings.Cut(words[1], "/")
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-of-" + name), CreationTimestamp: metav1.NewTime(time.Unix(int64(age), 0))}
	switch words[0] {
	case "namespace":
		e.Namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{corev1.LabelMetadataName: namespace}}}
		_, err := readLabels(words[2:], e.Namespace.Labels)
		return e, err
	case "pod":
		e.Pod = &corev1.Pod{ObjectMeta: meta}
		if e.Delete {
			return e, nil
		}
		return e, readPod(e.Pod, words[2:])
	case "policy":
		e.Policy = &networkingv1.NetworkPolicy{ObjectMeta: meta}
		if err := yaml.UnmarshalStrict([]byte(body), &e.Policy.Spec); err != nil {
			return e, err
		}
		policy.Default(e.Policy)
		return e, policy.Validate(e.Policy).ToAggregate()
	}
	return e, fmt.Errorf("unknown kind")
}

// readLabels takes the words that are labels, and returns the others.
func readLabels(words []string, labels map[string]string) ([]string, error) {
	var rest []string
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			labels[k] = v
		} else {
			rest = append(rest, w)
		}
	}
	return rest, nil
}

func readPod(p *corev1.Pod, words []string) error {
	if len(words) < 4 || words[0] != "on" || words[2] != "at" {
		return fmt.Errorf("want: pod NAME on NODE at ADDRESSES")
	}
	p.Spec.NodeName = words[1]
	p.Status.Phase = corev1.PodRunning
	for _, a := range strings.Split(words[3], ",") {
		if _, err := netip.ParseAddr(a); err != nil {
			return err
		}
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a})
	}
	p.Status.PodIP = p.Status.PodIPs[0].IP
	p.Labels = map[string]string{}
	ports, err := readLabels(words[4:], p.Labels)
	if err != nil {
		return err
	}
	c := corev1.Container{Name: "c"}
	for _, w := range ports {
		portName, number, _ := strings.Cut(w, ":")
		number, proto, _ := strings.Cut(number, "/")
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			return err
		}
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: portName, ContainerPort: int32(n), Protocol: corev1.Protocol(proto)})
	}
	p.Spec.Containers = []corev1.Container{c}
	return nil
}
