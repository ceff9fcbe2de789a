package chaos

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/sluice-net/sluice/conformance/lab"
)

func schemaKind(version, kind string) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(version, kind)
}

// mood is how an API server answers.
type mood uint8

const (
	// serving: as it should.
	serving mood = iota
	// refusing: with 403, to what is new; what it watches goes on until it breaks.
	refusing
	// silent: it takes connections and says nothing, on those it has neither.
	silent
)

// apiServer lists and watches objects in protobuf, as far as an agent asks.
type apiServer struct {
	host *lab.Namespace
	dir  string
	wire *protobuf.Serializer
	raw  *protobuf.RawSerializer

	mu       sync.Mutex
	listener net.Listener
	server   *http.Server
	address  string
	mood     mood
	// version is the last event's. Events up to forgotten are known no more.
	version, forgotten int64
	objects            map[string]map[string]object
	events             []event
	// changed is closed, and replaced, with each change.
	changed chan struct{}
	// watching are the watches that run and were told of all, by resource.
	watching map[string]int
	// cut ends the watches that run.
	cut context.Context
	end context.CancelFunc
}

type event struct {
	version  int64
	kind     string
	resource string
	object   object
}

func newAPIServer(host *lab.Namespace, dir string) (*apiServer, error) {
	s := &apiServer{
		host: host, dir: dir, wire: protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), raw: protobuf.NewRawSerializer(scheme.Scheme, scheme.Scheme),
		version: 1, objects: map[string]map[string]object{}, changed: make(chan struct{}), watching: map[string]int{},
	}
	s.cut, s.end = context.WithCancel(context.Background())
	if err := s.start(); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {server: 'http://%s'}\ncontexts:\n- name: c\n  context: {cluster: c, user: c}\nusers:\n- name: c\n  user: {token: t}\ncurrent-context: c\n", s.address)
	return s, os.WriteFile(filepath.Join(dir, "kubeconfig"), []byte(config), 0o600)
}

func (s *apiServer) flags() []string {
	return []string{"--kubeconfig", filepath.Join(s.dir, "kubeconfig"), "--node-name", nodeName}
}

// start listens in the node's namespace, again at the address it had.
func (s *apiServer) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	address := s.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	err := s.host.Do(func() error {
		var err error
		s.listener, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		return fmt.Errorf("start API server: %w", err)
	}
	s.address = s.listener.Addr().String()
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func(server *http.Server, l net.Listener) { _ = server.Serve(l) }(s.server, s.listener)
	return nil
}

// stop ends all connections, and takes no more.
func (s *apiServer) stop() {
	s.breakWatches()
	s.mu.Lock()
	server := s.server
	s.mu.Unlock()
	_ = server.Close()
}

// breakWatches ends the watches that run.
func (s *apiServer) breakWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
	s.cut, s.end = context.WithCancel(context.Background())
}

func (s *apiServer) setMood(m mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = m
	s.tell()
}

// forget makes the server know no events before now, so that who comes back
// must list anew.
func (s *apiServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.forgotten, s.events = s.version, nil
}

func (s *apiServer) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *apiServer) set(o object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	o = typed(o)
	resource, name := resourceOf(o), o.GetNamespace()+"/"+o.GetName()
	if s.objects[resource] == nil {
		s.objects[resource] = map[string]object{}
	}
	kind := "ADDED"
	if s.objects[resource][name] != nil {
		kind = "MODIFIED"
	}
	s.happen(kind, o)
	s.objects[resource][name] = o
	return nil
}

func (s *apiServer) remove(o object) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects[resourceOf(o)], o.GetNamespace()+"/"+o.GetName())
	s.happen("DELETED", typed(o))
	return nil
}

// happen records an event. The caller holds the lock.
func (s *apiServer) happen(kind string, o object) {
	s.version++
	o.SetResourceVersion(strconv.FormatInt(s.version, 10))
	s.events = append(s.events, event{s.version, kind, resourceOf(o), o})
	if n := len(s.events); n > 2000 {
		s.forgotten, s.events = s.events[n-1001].version, slices.Clone(s.events[n-1000:])
	}
	s.tell()
}

// inStep reports whether all that an agent watches is told of all.
func (s *apiServer) inStep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range []string{"pods", "namespaces", "networkpolicies", "nodes"} {
		if s.watching[r] == 0 {
			return false
		}
	}
	return s.mood == serving
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	for {
		s.mu.Lock()
		m, changed, cut := s.mood, s.changed, s.cut
		s.mu.Unlock()
		if m != silent {
			break
		}
		select {
		case <-changed:
		case <-cut.Done():
			return
		case <-r.Context().Done():
			return
		}
	}
	s.mu.Lock()
	m := s.mood
	s.mu.Unlock()
	switch {
	case m == refusing:
		s.answerStatus(w, http.StatusForbidden, metav1.StatusReasonForbidden, resource+" is forbidden")
	case resourceOfKnown(resource) == "":
		s.answerStatus(w, http.StatusNotFound, metav1.StatusReasonNotFound, "no such resource")
	case r.URL.Query().Get("watch") != "":
		s.serveWatch(w, r, resource)
	default:
		s.serveList(w, r, resource)
	}
}

func (s *apiServer) answerStatus(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) {
	status := &metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	w.WriteHeader(int(code))
	_ = s.wire.Encode(status, w)
}

// selected honours the one field selector that agents use.
func selected(r *http.Request, o object) bool {
	name, ok := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
	return !ok || o.GetName() == name
}

func (s *apiServer) serveList(w http.ResponseWriter, r *http.Request, resource string) {
	s.mu.Lock()
	version := strconv.FormatInt(s.version, 10)
	var items []object
	for _, o := range s.objects[resource] {
		if selected(r, o) {
			items = append(items, o)
		}
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	_ = s.wire.Encode(listOf(resource, version, items), w)
}

func (s *apiServer) serveWatch(w http.ResponseWriter, r *http.Request, resource string) {
	at, err := strconv.ParseInt(r.URL.Query().Get("resourceVersion"), 10, 64)
	s.mu.Lock()
	gone, cut := err != nil || at < s.forgotten, s.cut
	s.mu.Unlock()
	if gone {
		s.answerStatus(w, http.StatusGone, metav1.StatusReasonExpired, "too old resource version")
		return
	}
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf+";stream=watch")
	w.WriteHeader(http.StatusOK)
	seconds, _ := strconv.Atoi(r.URL.Query().Get("timeoutSeconds"))
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(max(seconds, 1))*time.Second)
	defer cancel()
	watcher := &watcher{server: s, out: w, resource: resource, at: at, match: func(o object) bool { return selected(r, o) }}
	watcher.run(ctx, cut)
}

// watcher is one watch.
type watcher struct {
	server   *apiServer
	out      http.ResponseWriter
	resource string
	match    func(object) bool
	at       int64
	counted  bool
}

func (w *watcher) run(ctx, cut context.Context) {
	s := w.server
	frames := protobuf.LengthDelimitedFramer.NewFrameWriter(w.out)
	defer w.count(false)
	for {
		s.mu.Lock()
		changed := s.changed
		var fresh []event
		hushed := s.mood == silent
		if !hushed {
			for _, e := range s.events {
				if e.version > w.at && e.resource == w.resource && w.match(e.object) {
					fresh = append(fresh, e)
				}
			}
			w.at = max(w.at, s.version)
		}
		s.mu.Unlock()
		for _, e := range fresh {
			if s.frame(frames, e) != nil {
				return
			}
		}
		w.out.(http.Flusher).Flush()
		w.count(!hushed)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-cut.Done():
			return
		}
	}
}

func (w *watcher) count(running bool) {
	if w.counted == running {
		return
	}
	w.counted = running
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	if running {
		w.server.watching[w.resource]++
	} else {
		w.server.watching[w.resource]--
	}
}

// frame writes an event as the API does.
func (s *apiServer) frame(w io.Writer, e event) error {
	var object strings.Builder
	if err := s.wire.Encode(e.object, &object); err != nil {
		return err
	}
	return s.raw.Encode(&metav1.WatchEvent{Type: e.kind, Object: runtime.RawExtension{Raw: []byte(object.String())}}, w)
}
