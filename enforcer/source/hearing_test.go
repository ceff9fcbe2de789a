package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
)

// impatient is a hundredth or so of what a real source waits.
func impatient(config *rest.Config, node string) *Kube {
	client, err := kubernetes.NewForConfig(KubeClientConfig(config))
	if err != nil {
		panic(err)
	}
	s := NewKube(client, node)
	s.patience = patience{
		hiccup: 200 * time.Millisecond, answer: 300 * time.Millisecond, giveUp: 600 * time.Millisecond,
		// A watch of less than a second is a failed one to the reflector.
		quiet: 1400 * time.Millisecond, proof: 50 * time.Millisecond, tick: 10 * time.Millisecond,
		retryFirst: 400 * time.Millisecond, retryLast: time.Second,
	}
	return s
}

// troubleOf is what was reported of a part, the zero Trouble if nothing was.
func (s *memorySink) troubleOf(part string) Trouble {
	var c Trouble
	errors.As(s.trouble[part], &c)
	return c
}

var deafness = map[string]struct {
	does func(http.ResponseWriter, *http.Request) bool
	// breaks the watches that stand, too.
	breaks bool
	what   string
	says   string
}{
	"forbidden":             {refuse(403, metav1.StatusReasonForbidden), true, "SourceRefused", "said the server"},
	"forbidden to watch":    {onlyWatches(refuse(403, metav1.StatusReasonForbidden)), true, "SourceRefused", "said the server"},
	"token expired":         {refuse(401, metav1.StatusReasonUnauthorized), true, "SourceRefused", "said the server"},
	"gone again and again":  {onlyWatches(say("application/json", `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old resource version"}}`)), true, "SourceSilent", "too old resource version"},
	"too many requests":     {refuse(429, metav1.StatusReasonTooManyRequests), true, "SourceSilent", "429"},
	"internal error":        {refuse(500, metav1.StatusReasonInternalError), true, "SourceSilent", "said the server"},
	"bad gateway":           {func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(502); return true }, true, "SourceSilent", "502"},
	"a portal's page":       {say("text/html", "<html>Please log in</html>"), true, "SourceSilent", "protobuf"},
	"garbage for events":    {onlyWatches(say("application/json", "]]]]]]")), true, "SourceSilent", ""},
	"watches ended at once": {onlyWatches(say("application/json", "")), true, "SourceSilent", "as soon as it was opened"},
	"hangs":                 {hang, true, "SourceSilent", "no answer"},
	"falls silent":          {hang, false, "SourceSilent", "no answer"},
}

// A source that hears no more says so, with the reason, and hears again.
func TestKubeSourceReportsDeafness(t *testing.T) {
	for name, tt := range deafness {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPIServer(t)
			sink := &hearingSink{memorySink: newMemorySink()}
			runSource(t, impatient(&rest.Config{Host: server.URL}, ""), sink)
			sink.until(t, "synced and hearing", func(s *memorySink) bool { return s.synced && len(s.trouble) == 0 && server.watches.Load() >= 3 })
			server.does(tt.does)
			if tt.breaks {
				server.CloseClientConnections()
			}
			sink.until(t, "reported", func(s *memorySink) bool {
				for _, kind := range []string{"pods", "namespaces", "networkpolicies"} {
					c := s.troubleOf("watch of " + kind)
					if c.What != tt.what || c.Object != kind || !strings.Contains(c.Message, tt.says) || c.Mend == "" {
						return false
					}
				}
				return true
			})
			if !sink.holds(func(s *memorySink) bool { return s.has(PodEvent, "shop", "a") }) {
				t.Error("what was known is not in force any more")
			}
			server.works()
			server.CloseClientConnections()
			sink.until(t, "hears again", func(s *memorySink) bool { return len(s.trouble) == 0 })
		})
	}
}

// Before the first sync the reason shows, too.
func TestKubeSourceReportsDeafnessBeforeTheFirstSync(t *testing.T) {
	for name, tt := range deafness {
		if strings.HasPrefix(name, "falls") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPIServer(t)
			server.does(tt.does)
			sink := newMemorySink()
			runSource(t, impatient(&rest.Config{Host: server.URL}, ""), sink)
			sink.until(t, "reported", func(s *memorySink) bool {
				c := s.troubleOf("watch of networkpolicies")
				return c.What == tt.what && strings.Contains(c.Message, tt.says)
			})
			server.works()
			server.CloseClientConnections()
			sink.until(t, "synced, and no trouble", func(s *memorySink) bool { return s.synced && len(s.trouble) == 0 })
		})
	}
}

func TestKubeSourceReportsAServerThatIsNotThere(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	stranger := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	for name, tt := range map[string]struct{ host, says, mend string }{
		"connection refused":     {closed.URL, "refused", "reachable"},
		"unknown certificate":    {stranger.URL, "certificate", "CA"},
		"no TLS":                 {strings.Replace(newAPIServer(t).URL, "http:", "https:", 1), "HTTP", "API server"},
		"another kind of server": {httptest.NewServer(http.NotFoundHandler()).URL, "could not find", "does not serve"},
	} {
		t.Run(name, func(t *testing.T) {
			sink := newMemorySink()
			runSource(t, impatient(&rest.Config{Host: tt.host}, ""), sink)
			sink.until(t, "reported", func(s *memorySink) bool {
				c := s.troubleOf("watch of pods")
				return strings.Contains(c.Message, tt.says) && strings.Contains(c.Mend, tt.mend)
			})
		})
	}
}

// A quiet cluster is not a deaf source, with and without bookmarks.
func TestKubeSourceTellsQuietFromDeaf(t *testing.T) {
	server := newAPIServer(t)
	sink := &hearingSink{memorySink: newMemorySink()}
	runSource(t, impatient(&rest.Config{Host: server.URL}, ""), sink)
	sink.until(t, "watches opened anew", func(*memorySink) bool { return server.watches.Load() >= 9 })
	if sink.holds(func(s *memorySink) bool { return len(s.trouble) > 0 }) {
		t.Errorf("trouble: %v", sink.trouble)
	}
	for _, kind := range []EventKind{PodEvent, NamespaceEvent, PolicyEvent} {
		if at := sink.last[kind].Load(); time.Since(time.Unix(0, at)) > 5*time.Second {
			t.Errorf("%v heard last at %v", kind, time.Unix(0, at))
		}
	}
}

// hearingSink notes when a kind was heard of, and how often.
type hearingSink struct {
	*memorySink
	last [4]atomic.Int64
}

func (s *hearingSink) Heard(kind EventKind, at time.Time) {
	s.last[kind].Store(at.UnixNano())
	s.touch()
}

// Bookmarks count as hearing: such a watch is not opened anew.
func TestKubeSourceHearsBookmarks(t *testing.T) {
	server := newAPIServer(t)
	server.does(onlyWatches(func(w http.ResponseWriter, r *http.Request) bool {
		server.watches.Add(1)
		kind := map[string]string{"pods": "Pod", "namespaces": "Namespace", "networkpolicies": "NetworkPolicy"}[resourceOf(r)]
		version := map[bool]string{true: "networking.k8s.io/v1", false: "v1"}[kind == "NetworkPolicy"]
		w.Header().Set("Content-Type", "application/json")
		for n := 6; r.Context().Err() == nil; n++ {
			_, _ = fmt.Fprintf(w, `{"type":"BOOKMARK","object":{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"%d"}}}`+"\n", kind, version, n)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
		return true
	}))
	source := impatient(&rest.Config{Host: server.URL}, "")
	source.patience.quiet = 4 * time.Second
	sink := &hearingSink{memorySink: newMemorySink()}
	runSource(t, source, sink)
	sink.until(t, "synced", func(s *memorySink) bool { return s.synced })
	before := time.Now()
	sink.until(t, "a bookmark long after", func(*memorySink) bool {
		return time.Unix(0, sink.last[PolicyEvent].Load()).After(before.Add(6 * time.Second))
	})
	if n := server.watches.Load(); n != 3 {
		t.Errorf("%d watches were opened", n)
	}
}

// One request that fails, or a watch that ends in the ordinary way, is no trouble.
func TestEarForgivesAHiccup(t *testing.T) {
	p := defaultPatience()
	e := &ear{resource: "pods", host: "example"}
	e.asks()
	e.fails(errors.New("reset"))
	e.answered()
	if err := e.trouble(time.Now().Add(p.hiccup-time.Second), p); err != nil {
		t.Errorf("reported at once: %v", err)
	}
	if err := e.trouble(time.Now().Add(p.hiccup), p); err == nil {
		t.Error("never reported")
	}
	e.progresses()
	e.answered()
	if err := e.trouble(time.Now().Add(p.hiccup), p); err == nil {
		t.Error("a list that succeeds hides watches that do not")
	}
	e.hears()
	if err := e.trouble(time.Now().Add(time.Hour), p); err != nil {
		t.Errorf("not forgotten: %v", err)
	}
	e.fails(errors.New(strings.Repeat("long ", 100_000)))
	if err := e.trouble(time.Now().Add(p.hiccup), p); err == nil || len(err.Error()) > 2000 {
		t.Errorf("a report of %d bytes", len(errorText(err)))
	}
}

// What the bounds promise: a source that falls silent in any way is told of
// within 30 seconds.
func TestPatienceIsWithinTheBound(t *testing.T) {
	p := defaultPatience()
	if worst := p.quiet*5/4 + p.answer + p.tick; worst > 30*time.Second {
		t.Errorf("a server that does not answer any more is told of after %v", worst)
	}
	if worst := unheardFor + unheardFor/3 + p.hiccup + p.tick; worst > 30*time.Second {
		t.Errorf("a server that is no longer there is told of after %v", worst)
	}
	pauses, longest := p.retries(), time.Duration(0)
	for range 20 {
		longest = max(longest, pauses.Step())
	}
	// Asked for a watch just before it is back, then for the watch that it refuses, then for
	// a list.
	if 2*longest > time.Minute || p.retryLast*4 > time.Minute {
		t.Errorf("a server that is back is asked again after %v", longest)
	}
	if p.giveUp <= p.answer {
		t.Error("requests are dropped before their silence is told")
	}
}

// The kernel gives a connection up whose other end is gone without a word.
func TestKubeClientNoticesAServerThatVanished(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	c, err := KubeClientConfig(&rest.Config{Host: "example"}).Dial(context.Background(), "tcp", l.Addr().String())
	must(t, err)
	defer func() { _ = c.Close() }()
	if timeout := userTimeout(t, c.(*net.TCPConn)); timeout != unheardFor {
		t.Errorf("data may stay unacknowledged for %v", timeout)
	}
	own := &rest.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("own") }}
	if _, err := KubeClientConfig(own).Dial(context.Background(), "", ""); err == nil || err.Error() != "own" {
		t.Error("the operator's way to dial was replaced")
	}
}

// TLS and HTTP/2 are as before.
func TestKubeClientSpeaksHTTP2(t *testing.T) {
	var major atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		major.Store(int64(r.ProtoMajor))
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_, _ = w.Write(encode(t, podList("5", "", "a")))
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	source := impatient(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}, "")
	if _, err := source.client.CoreV1().Pods("").List(context.Background(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if major.Load() != 2 {
		t.Errorf("HTTP/%d", major.Load())
	}
}

// An own Node that is not there makes every Pod another node's.
func TestKubeSourceReportsAnUnknownNode(t *testing.T) {
	node := func(name string) *corev1.Node { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }
	client := fake.NewClientset(node("n1.example.com"))
	sink := newMemorySink()
	runSource(t, NewKube(client, "n1"), sink)
	unknown := func(s *memorySink) bool {
		c := s.troubleOf(ownNode)
		return c.What == "NodeUnknown" && strings.Contains(c.Message, `"n1"`) && strings.Contains(c.Mend, "spec.nodeName")
	}
	sink.until(t, "reported", func(s *memorySink) bool { return s.synced && unknown(s) })
	nodes := client.CoreV1().Nodes()
	_, err := nodes.Create(context.Background(), node("n1"), metav1.CreateOptions{})
	must(t, err)
	sink.until(t, "known", func(s *memorySink) bool { return len(s.trouble) == 0 })
	must(t, nodes.Delete(context.Background(), "n1", metav1.DeleteOptions{}))
	sink.until(t, "reported when it is deleted", unknown)
}

func userTimeout(t *testing.T, c *net.TCPConn) time.Duration {
	t.Helper()
	raw, err := c.SyscallConn()
	must(t, err)
	var ms int
	var failed error
	must(t, raw.Control(func(fd uintptr) { ms, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }))
	must(t, failed)
	return time.Duration(ms) * time.Millisecond
}
