package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/sluice-net/sluice/policy"
)

// encode is a list as an API server writes it.
func encode(t *testing.T, o runtime.Object) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(o, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func podList(version, next string, names ...string) *corev1.PodList {
	out := &corev1.PodList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"},
		ListMeta: metav1.ListMeta{ResourceVersion: version, Continue: next},
	}
	for _, name := range names {
		out.Items = append(out.Items, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": name}}})
	}
	return out
}

func TestReadListVisitsEveryObject(t *testing.T) {
	var got []string
	meta, err := readList(bytes.NewReader(encode(t, podList("7", "more", "a", "b", "c"))), func(b []byte) error {
		var p corev1.Pod
		err := p.Unmarshal(b)
		got = append(got, p.Name)
		return err
	})
	if err != nil || meta.ResourceVersion != "7" || meta.Continue != "more" {
		t.Errorf("%+v, %v", meta, err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestReadListRefusesWhatIsNotWhole(t *testing.T) {
	whole := encode(t, podList("7", "", "a", "b"))
	none := func([]byte) error { return nil }
	for n := range len(whole) {
		// The envelope's last fields say nothing about the list.
		if _, err := readList(bytes.NewReader(whole[:n]), none); err == nil && n < len(whole)-4 {
			t.Errorf("the first %d of %d bytes pass for a list", n, len(whole))
		}
	}
	for name, bad := range map[string]string{
		"JSON": "{}", "nothing in it": magic, "a size beyond its message": magic + "\x12\x02\x12\x7f" + strings.Repeat("x", 200),
		"a negative size": magic + "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "a group": magic + "\x13",
		"a giant": magic + "\x12\x80\x80\x80\x80\x10\x12\xf0\xff\xff\xff\x0f",
	} {
		if _, err := readList(strings.NewReader(bad), none); err == nil {
			t.Errorf("%s passes for a list", name)
		}
	}
}

func FuzzReadList(f *testing.F) {
	f.Add([]byte(magic + "\x12\x04\x12\x02\x0a\x00"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = readList(bytes.NewReader(b), func(b []byte) error {
			_, err := keptOfPod.prune(nil, b)
			return err
		})
	})
}

func TestPruneKeepsWhatPolicyNeeds(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", UID: "u", Labels: map[string]string{"a": "b"}, CreationTimestamp: metav1.Unix(1e9, 0),
			Annotations:   map[string]string{policy.GuardAnnotation: "off"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
		},
		Spec: corev1.PodSpec{
			NodeName: "n1", HostNetwork: true, Volumes: []corev1.Volume{{Name: "v"}},
			Containers:     []corev1.Container{{Name: "c", Image: "i", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80}}}, {Name: "none"}},
			InitContainers: []corev1.Container{{Name: "s", RestartPolicy: &always, Ports: []corev1.ContainerPort{{Name: "side", ContainerPort: 81}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodSucceeded, HostIP: "192.0.2.1", PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}}, HostIPs: []corev1.HostIP{{IP: "192.0.2.1"}}, Message: "long"},
	}
	want, err := policy.PodFromAPI(pod)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b, err := keptOfPod.prune(nil, whole)
	if err != nil {
		t.Fatal(err)
	}
	var small corev1.Pod
	if err := small.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	got, err := policy.PodFromAPI(&small)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("policy sees another Pod (-want +got):\n%s", diff)
	}
	if small.Spec.Volumes != nil || small.ManagedFields != nil || small.Spec.Containers[0].Image != "" || small.Status.Message != "" {
		t.Errorf("kept too much: %+v", &small)
	}
	if _, err := keptOfPod.prune(nil, []byte{0x0a, 0x7f}); err == nil {
		t.Error("half a message passes")
	}
}

// listServer is an API server that has lists only: of Pods the given answers,
// one after the other, and nothing of all else.
func listServer(t *testing.T, answers ...func(http.ResponseWriter, *http.Request)) kubernetes.Interface {
	t.Helper()
	empty := map[string]runtime.Object{
		"namespaces": &corev1.NamespaceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}},
		"networkpolicies": &networkingv1.NetworkPolicyList{
			TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicyList"}, ListMeta: metav1.ListMeta{ResourceVersion: "1"}},
	}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		switch n := asked.Load(); {
		case r.URL.Query().Get("watch") != "":
			if r.URL.Query().Get("sendInitialEvents") != "" {
				t.Error("a list is streamed as events, which are not compressed")
			}
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case kind != "pods":
			w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
			_, _ = w.Write(encode(t, empty[kind]))
		case int(n) < len(answers):
			asked.Add(1)
			answers[n](w, r)
		}
	}))
	t.Cleanup(server.CloseClientConnections)
	client, err := kubernetes.NewForConfig(KubeClientConfig(&rest.Config{Host: server.URL}))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func answerPods(t *testing.T, list *corev1.PodList) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("the list is not asked for compressed")
		}
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(encode(t, list))
		_ = z.Close()
	}
}

func answerExpired(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusGone)
	_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}`)
}

func TestKubeSourceReadsListsFromAServer(t *testing.T) {
	cut := func(w http.ResponseWriter, _ *http.Request) {
		whole := encode(t, podList("5", "", "a", "gone"))
		w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		_, _ = w.Write(whole[:len(whole)-10])
	}
	tests := map[string]struct {
		answers []func(http.ResponseWriter, *http.Request)
		want    []string
	}{
		"one answer":   {[]func(http.ResponseWriter, *http.Request){answerPods(t, podList("5", "", "a", "b"))}, []string{"shop/a", "shop/b"}},
		"pages":        {[]func(http.ResponseWriter, *http.Request){answerPods(t, podList("5", "x", "a")), answerPods(t, podList("5", "", "b"))}, []string{"shop/a", "shop/b"}},
		"expired page": {[]func(http.ResponseWriter, *http.Request){answerPods(t, podList("5", "x", "a", "gone")), answerExpired, answerPods(t, podList("9", "", "a", "b"))}, []string{"shop/a", "shop/b"}},
		"broken off":   {[]func(http.ResponseWriter, *http.Request){cut, answerPods(t, podList("9", "", "a", "b"))}, []string{"shop/a", "shop/b"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sink := newMemorySink()
			runSource(t, NewKube(listServer(t, tt.answers...), ""), sink)
			sink.until(t, "synced", func(s *memorySink) bool { return s.synced })
			sink.mu.Lock()
			defer sink.mu.Unlock()
			if diff := cmp.Diff(tt.want, sink.names()); diff != "" {
				t.Errorf("Pods (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListErrorsAreTheServers(t *testing.T) {
	client := listServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	_, err := listInPieces(context.Background(), client.CoreV1().RESTClient(), "pods", metav1.ListOptions{}, func([]byte) error { return errors.New("visited") })
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v", err)
	}
}
