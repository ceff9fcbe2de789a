package agents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents/agentstest"
	"github.com/sluice-net/sluice/enforcer/door"
)

func connect(t *testing.T, s *agentstest.Server, change ...func(*rest.Config)) (kubernetes.Interface, *rest.Config) {
	t.Helper()
	config := &rest.Config{Host: s.URL, QPS: 1000, Burst: 1000}
	for _, c := range change {
		c(config)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client, config
}

func fleet(t *testing.T, s *agentstest.Server, change ...func(*rest.Config)) *Fleet {
	t.Helper()
	client, config := connect(t, s, change...)
	f, err := Find(t.Context(), client, config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// says answers the node's name and the query.
func says(name string) map[string]http.Handler {
	return map[string]http.Handler{"/v1/status": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", name, r.URL.RawQuery)
	})}
}

// ask asks all agents and returns what they said, and who said nothing.
func ask(t *testing.T, f *Fleet) (answers []string, failures []Failure) {
	t.Helper()
	var mu sync.Mutex
	failures = f.Each(t.Context(), func(ctx context.Context, a Agent) error {
		data, err := f.Read(ctx, a, "/v1/status", map[string][]string{"x": {"y"}}, 1000)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		answers = append(answers, string(data))
		return nil
	})
	slices.Sort(answers)
	return answers, failures
}

func TestAgentsAreReachedThroughTheAPIServer(t *testing.T) {
	for _, way := range []string{"websocket", "SPDY"} {
		t.Run(way, func(t *testing.T) {
			s := agentstest.New(t)
			if way == "SPDY" {
				s.OnlySPDY()
			}
			for i := range 3 * atOnce {
				name := fmt.Sprintf("n%02d", i)
				s.Node(name, agentstest.Reviewer{agentstest.ReaderToken}, says(name))
			}
			f := fleet(t, s)
			for range 2 { // the second time by the same connections
				answers, failures := ask(t, f)
				if len(answers) != 3*atOnce || answers[1] != "n01 x=y" || len(failures) > 0 {
					t.Fatalf("%v\n%v", answers, failures)
				}
			}
			want := "GET /api/v1/namespaces/sluice-system/pods/sluice-n00/portforward"
			if way == "SPDY" {
				want = strings.Replace(want, "GET", "POST", 1)
			}
			asked := s.Asked()
			if n := count(asked, want); n != 1 {
				t.Errorf("%d times %s", n, want)
			}
			if n := count(asked, "POST /api/v1/namespaces/sluice-system/serviceaccounts/sluice-reader/token"); n != 1 {
				t.Errorf("%d tokens were asked for", n)
			}
		})
	}
}

func count(list []string, want string) (n int) {
	for _, s := range list {
		if s == want {
			n++
		}
	}
	return n
}

// Who does not answer is named, with the reason, and keeps nobody from being heard.
func TestNodesThatDoNotAnswerAreNamed(t *testing.T) {
	s := agentstest.New(t)
	known := agentstest.Reviewer{agentstest.ReaderToken}
	s.Node("a", known, says("a"))
	s.Node("b", known, says("b"))
	s.Node("c", nil, nil)
	s.Node("d", known, map[string]http.Handler{"/other": says("d")["/v1/status"]})
	s.Node("e", agentstest.Reviewer{}, says("e"))
	s.Node("f", known, map[string]http.Handler{"/v1/status": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 2000))
	})})
	s.Node("g", known, map[string]http.Handler{"/v1/status": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too many \x1b[2J", http.StatusServiceUnavailable)
	})})
	s.Node("h", known, map[string]http.Handler{"/v1/status": http.RedirectHandler("https://evil.example/", http.StatusFound)})
	s.Break("b")
	asked := fleet(t, s)
	if asked.AnyAnswered() {
		t.Error("nobody was asked yet")
	}
	answers, failures := ask(t, asked)
	if !slices.Equal(answers, []string{"a x=y"}) {
		t.Errorf("%v", answers)
	}
	for _, a := range asked.Agents {
		// What f answers is of no use, and it has answered.
		if got := asked.Answered(a); got != (a.Node == "a" || a.Node == "f") {
			t.Errorf("node %s has answered: %v", a.Node, got)
		}
	}
	if !asked.AnyAnswered() {
		t.Error("two have answered")
	}
	want := []string{
		"node b: ask the agent: failed to connect to the port: dial tcp 127.0.0.1:1: connect: connection refused",
		"node c: no agent runs there, so that no policy is enforced",
		"node d: the agent answers 404 Not Found: 404 page not found (it knows no /v1/status: it is of another version)",
		"node e: the agent answers 403 Forbidden: you may not get /v1/status of the agent: bind ClusterRole sluice-reader",
		"node f: read the agent's answer: it has more than 1000 bytes",
		"node g: the agent is busy: the agent answers 503 Service Unavailable: too many  [2J",
		"node h: ask the agent: the agent sends us elsewhere",
	}
	if len(failures) != len(want) {
		t.Fatalf("%v", failures)
	}
	for i, f := range failures {
		if !strings.HasPrefix(f.Error(), want[i]) {
			t.Errorf("%v, want %s", f, want[i])
		}
		if is := errors.Is(f, ErrBusy); is != (f.Node == "g") || errors.Is(f, ErrNoAgent) != (f.Node == "c") {
			t.Errorf("%v is busy: %v", f, is)
		}
	}
}

// A token of the account that can do nothing else goes before the caller's own.
func TestTokens(t *testing.T) {
	noToken := func(_, path string) bool { return !strings.HasSuffix(path, "/token") }
	for _, tt := range []struct {
		name   string
		config func(*rest.Config)
		may    func(method, path string) bool
		want   string
		err    string
	}{
		{"both", func(c *rest.Config) { c.BearerToken = "mine" }, nil, agentstest.ReaderToken, ""},
		{"a certificate", func(*rest.Config) {}, nil, agentstest.ReaderToken, ""},
		{"only one's own", func(c *rest.Config) { c.BearerToken = "mine" }, noToken, "mine", ""},
		{"none", func(*rest.Config) {}, noToken, "", "the kubeconfig has no bearer token, and a client certificate cannot be shown to them, and one of ServiceAccount sluice-system/sluice-reader is not given: "},
		{"a password", func(c *rest.Config) { c.Username, c.Password = "jane", "secret" }, noToken, "", "has no bearer token"},
		{"another's name", func(c *rest.Config) { c.BearerToken, c.Impersonate.UserName = "mine", "jane" }, noToken, "", "not that of whom --as names"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := agentstest.New(t)
			s.Allow(tt.may)
			client, config := connect(t, s, tt.config)
			now := time.Now()
			tokens := &tokens{client: client, config: config, namespace: Namespace, now: func() time.Time { return now }}
			for range 2 {
				got, err := tokens.get(t.Context())
				if got != tt.want || (tt.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("%q, %v", got, err)
				}
				if err != nil && !strings.Contains(err.Error(), "bind Role sluice-reader of namespace sluice-system") {
					t.Errorf("no mend: %v", err)
				}
			}
			before := len(s.Asked())
			if now = now.Add(tokenFor - renewBefore + time.Second); tt.err == "" {
				if _, err := tokens.get(t.Context()); err != nil || len(s.Asked()) != before+1 {
					t.Errorf("an old token is not renewed: %v", err)
				}
			}
		})
	}
}

func TestWhoMayNotFindAgentsIsToldWhatItTakes(t *testing.T) {
	s := agentstest.New(t)
	client, config := connect(t, s)
	if _, err := Find(t.Context(), client, config, Options{Namespace: "elsewhere"}); err == nil || !strings.Contains(err.Error(), "the server could not find") && !strings.Contains(err.Error(), "not found") {
		t.Errorf("no list: %v", err)
	}
	s.Set("/api/v1/namespaces/elsewhere/pods")
	if _, err := Find(t.Context(), client, config, Options{Namespace: "elsewhere"}); err == nil || !strings.Contains(err.Error(), "--agent-namespace") {
		t.Errorf("no agents: %v", err)
	}
	s.Allow(func(string, string) bool { return false })
	if _, err := Find(t.Context(), client, config, Options{}); err == nil || !strings.Contains(err.Error(), "bind Role sluice-reader of namespace sluice-system") {
		t.Errorf("forbidden: %v", err)
	}
	s.Allow(func(_, path string) bool { return path != "/api/v1/nodes" })
	s.Node("a", agentstest.Reviewer{agentstest.ReaderToken}, says("a"))
	f := fleet(t, s)
	if f.WithoutErr == nil {
		t.Error("it is not told that nodes without an agent are not known")
	}
	if answers, failures := ask(t, f); len(answers) != 1 || len(failures) != 0 {
		t.Errorf("%v, %v", answers, failures)
	}
}

// An API server that does not come to an end does not hold the caller.
func TestForwardingEndsWithTheContext(t *testing.T) {
	s := agentstest.New(t)
	reached := make(chan struct{}, 1)
	let := make(chan struct{})
	s.Allow(func(_, path string) bool {
		if strings.HasSuffix(path, "/portforward") {
			reached <- struct{}{}
			<-let
		}
		return true
	})
	defer close(let)
	s.Node("a", agentstest.Reviewer{agentstest.ReaderToken}, says("a"))
	f := fleet(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := f.Read(ctx, f.Agents[0], "/v1/status", nil, 10)
		done <- err
	}()
	<-reached
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAuthorityIsHeld(t *testing.T) {
	s := agentstest.New(t)
	s.Node("a", agentstest.Reviewer{agentstest.ReaderToken}, says("a"))
	client, config := connect(t, s)
	if _, err := Find(t.Context(), client, config, Options{Authority: "/nonexistent"}); err == nil {
		t.Error("a file that is not there is taken")
	}
	f, err := Find(t.Context(), client, config, Options{Authority: filepath.Join("testdata", "authority.pem")})
	if err != nil {
		t.Fatal(err)
	}
	if answers, failures := ask(t, f); len(answers) != 0 || len(failures) != 1 || !strings.Contains(failures[0].Error(), "certificate") {
		t.Errorf("%v, %v", answers, failures)
	}
}

func TestSocketIsAskedWithoutAToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: says("here")["/v1/status"], ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }()
	if answers, failures := ask(t, OnSocket(path)); len(failures) > 0 || !slices.Equal(answers, []string{"here x=y"}) {
		t.Errorf("%v, %v", answers, failures)
	}
	nobody := OnSocket(path + "x")
	if _, failures := ask(t, nobody); len(failures) != 1 || nobody.AnyAnswered() {
		t.Errorf("%v", failures)
	}
}

var _ door.Reviewer = agentstest.Reviewer{}
