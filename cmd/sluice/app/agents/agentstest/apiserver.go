// Package agentstest is an API server that forwards to agents' doors, for tests of
// commands that ask agents. The doors are real ones.
package agentstest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/utils/clock"

	"github.com/sluice-net/sluice/enforcer/door"
)

// ReaderToken is what the server gives out for the reader's account.
const ReaderToken = "reader-token"

// Server is an API server.
type Server struct {
	*httptest.Server
	t testing.TB

	mu sync.Mutex
	// objects are what lists and gets answer, by path.
	objects map[string][]runtime.Object
	// doors are where agents answer, by the name of their Pods.
	doors map[string]string
	// May says which paths are answered; nil: all of them.
	may func(method, path string) bool
	// Asked are the requests, as "GET /path".
	asked []string
	// texts are what other paths answer, such as logs.
	texts map[string]string
	// lacks are rights that the caller is told not to have, as "verb resource".
	lacks []string
	// NoWebsocket is of a server that knows only SPDY.
	noWebsocket bool
}

// New starts a server that has no objects.
func New(t testing.TB) *Server {
	s := &Server{t: t, objects: map[string][]runtime.Object{}, doors: map[string]string{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// Set has a list of a path below /api/v1 or /apis answer objects.
func (s *Server) Set(path string, objects ...runtime.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[path] = objects
}

// SetText has a path answer a text, such as a Pod's log.
func (s *Server) SetText(path, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	s.texts[path] = text
}

// Lack has the server say, to who asks what it may do, that it may not do these: "list nodes".
func (s *Server) Lack(rights ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lacks = rights
}

// Allow says who may do what from now on.
func (s *Server) Allow(may func(method, path string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.may = may
}

// OnlySPDY has the server refuse websockets, as old ones do.
func (s *Server) OnlySPDY() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noWebsocket = true
}

// Asked are the requests so far.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// Reviewer lets bearers of some tokens in.
type Reviewer []string

// Review is of [door.Reviewer].
func (r Reviewer) Review(_ context.Context, token, _ string) (door.Access, error) {
	if slices.Contains(r, token) {
		return door.Allowed, nil
	}
	if token == "stranger" {
		return door.Unknown, nil
	}
	return door.Forbidden, nil
}

// Node adds a node; with paths, it has an agent that answers them to those whom the
// reviewer lets in.
func (s *Server) Node(name string, reviewer door.Reviewer, paths map[string]http.Handler) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}}
	s.objects["/api/v1/nodes"] = append(s.objects["/api/v1/nodes"], node)
	if paths == nil {
		return
	}
	certificates, err := door.SelfSigned(name, clock.RealClock{})
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := door.Listen("127.0.0.1:0", door.Guarded(reviewer, paths), certificates)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = d.Serve(ctx) })
	s.t.Cleanup(func() { cancel(); serving.Wait() })
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "sluice-system", Name: "sluice-" + name, Labels: map[string]string{"app.kubernetes.io/name": "sluice"}},
		Spec: corev1.PodSpec{NodeName: name, Containers: []corev1.Container{{
			Name: "agent", Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 9471}},
		}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	const pods = "/api/v1/namespaces/sluice-system/pods"
	s.objects[pods] = append(s.objects[pods], pod)
	s.doors[pod.Name] = d.Addr().String()
}

// Break has connections to a node's agent refused.
func (s *Server) Break(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doors["sluice-"+node] = "127.0.0.1:1"
}

// ServeHTTP is of [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	may, objects, noWebsocket := s.may, s.objects[r.URL.Path], s.noWebsocket
	_, known := s.objects[r.URL.Path]
	text := s.texts[r.URL.Path]
	s.mu.Unlock()
	switch {
	case may != nil && !may(r.Method, r.URL.Path):
		status(w, http.StatusForbidden, metav1.StatusReasonForbidden, fmt.Sprintf("%s %s is forbidden: you may not", r.Method, r.URL.Path))
	case strings.HasSuffix(r.URL.Path, "/portforward"):
		s.forward(w, r, noWebsocket)
	case strings.HasSuffix(r.URL.Path, "/token"):
		answer(w, http.StatusCreated, map[string]any{
			"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
			"status": map[string]any{"token": ReaderToken, "expirationTimestamp": time.Now().Add(10 * time.Minute).UTC().Format(time.RFC3339)},
		})
	case strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews"):
		s.review(w, r)
	case text != "":
		_, _ = io.WriteString(w, text)
	case known:
		answer(w, http.StatusOK, map[string]any{"metadata": map[string]any{"resourceVersion": "1"}, "items": objects})
	default:
		s.get(w, r.URL.Path)
	}
}

// review says what the caller may do.
func (s *Server) review(w http.ResponseWriter, r *http.Request) {
	// Clients write in Protobuf, or in JSON.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	decoded, _, _ := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	review, ok := decoded.(*authorizationv1.SelfSubjectAccessReview)
	if !ok || review.Spec.ResourceAttributes == nil {
		status(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, "no review")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := review.Spec.ResourceAttributes
	asked := strings.TrimSuffix(a.Verb+" "+a.Resource+"/"+a.Subresource, "/")
	review.Status.Allowed = !slices.Contains(s.lacks, asked)
	review.APIVersion, review.Kind = "authorization.k8s.io/v1", "SelfSubjectAccessReview"
	answer(w, http.StatusCreated, review)
}

// get answers one object of a list.
func (s *Server) get(w http.ResponseWriter, path string) {
	at := strings.LastIndexByte(path, '/')
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.objects[path[:at]] {
		if m, ok := o.(metav1.Object); ok && m.GetName() == path[at+1:] {
			answer(w, http.StatusOK, o)
			return
		}
	}
	status(w, http.StatusNotFound, metav1.StatusReasonNotFound, path+" not found")
}

func status(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	answer(w, code, metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	})
}

func answer(w http.ResponseWriter, code int, o any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(o)
}

// forward is what the API server and the kubelet do together.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, noWebsocket bool) {
	parts := strings.Split(r.URL.Path, "/")
	s.mu.Lock()
	to := s.doors[parts[len(parts)-2]]
	s.mu.Unlock()
	streams := make(chan httpstream.Stream, 2)
	accept := func(stream httpstream.Stream, _ <-chan struct{}) error {
		streams <- stream
		return nil
	}
	var conn httpstream.Connection
	if websocket.IsWebSocketUpgrade(r) {
		if noWebsocket {
			http.Error(w, "websockets are not known here", http.StatusBadRequest)
			return
		}
		up := websocket.Upgrader{Subprotocols: []string{"SPDY/3.1+" + portforward.PortForwardProtocolV1Name}}
		socket, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		if conn, err = spdy.NewServerConnection(portforward.NewTunnelingConnection("server", socket), accept); err != nil {
			return
		}
	} else {
		if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
			return
		}
		if conn = spdy.NewResponseUpgrader().UpgradeResponse(w, r, accept); conn == nil {
			return
		}
	}
	defer func() { _ = conn.Close() }()
	carry(conn, streams, to)
}

// carry carries one connection to a door.
func carry(conn httpstream.Connection, streams <-chan httpstream.Stream, to string) {
	of := map[string]httpstream.Stream{}
	for range 2 {
		select {
		case s := <-streams:
			of[s.Headers().Get(corev1.StreamType)] = s
		case <-conn.CloseChan():
			return
		}
	}
	data, complaints := of[corev1.StreamTypeData], of[corev1.StreamTypeError]
	door, err := net.Dial("tcp", to)
	if err != nil {
		_, _ = fmt.Fprintf(complaints, "failed to connect to the port: %v", err)
		_ = complaints.Close()
		_ = data.Close()
		<-conn.CloseChan()
		return
	}
	_ = complaints.Close()
	defer func() { _ = door.Close() }()
	go func() {
		_, _ = io.Copy(door, data)
		_ = door.Close()
	}()
	_, _ = io.Copy(data, door)
	_ = data.Close()
}
