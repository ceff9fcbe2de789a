package source

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// apiServer answers lists with one Pod and watches with silence, until it is told
// to do something else.
type apiServer struct {
	*httptest.Server
	t *testing.T
	// instead answers in place of the server, and says false if it does not.
	instead atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	watches atomic.Int64
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{t: t}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.answer))
	s.Config.ErrorLog = nil
	s.Start()
	t.Cleanup(s.CloseClientConnections)
	return s
}

func (s *apiServer) does(f func(http.ResponseWriter, *http.Request) bool) { s.instead.Store(&f) }

func (s *apiServer) works() { s.instead.Store(nil) }

func (s *apiServer) answer(w http.ResponseWriter, r *http.Request) {
	if f := s.instead.Load(); f != nil && (*f)(w, r) {
		return
	}
	if isWatch(r) {
		s.watches.Add(1)
		if r.URL.Query().Get("allowWatchBookmarks") != "true" {
			s.t.Error("a watch asks for no bookmarks")
		}
		hold(w, r)
		return
	}
	meta := metav1.ListMeta{ResourceVersion: "5"}
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	switch resourceOf(r) {
	case "pods":
		_, _ = w.Write(encode(s.t, podList("5", "", "a")))
	case "namespaces":
		_, _ = w.Write(encode(s.t, &corev1.NamespaceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NamespaceList"}, ListMeta: meta}))
	case "networkpolicies":
		_, _ = w.Write(encode(s.t, &networkingv1.NetworkPolicyList{TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicyList"}, ListMeta: meta}))
	case "nodes":
		_, _ = w.Write(encode(s.t, &corev1.NodeList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "NodeList"}, ListMeta: meta}))
	}
}

func isWatch(r *http.Request) bool { return r.URL.Query().Get("watch") != "" }

func resourceOf(r *http.Request) string { return r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:] }

// hold leaves a watch open and silent.
func hold(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json;stream=watch")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func refuse(code int, reason metav1.StatusReason) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"said the server"}`, reason, code)
		return true
	}
}

// onlyWatches leaves lists as they are.
func onlyWatches(f func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool { return isWatch(r) && f(w, r) }
}

func say(contentType, text string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, text)
		return true
	}
}

// hang never answers.
func hang(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	return true
}
