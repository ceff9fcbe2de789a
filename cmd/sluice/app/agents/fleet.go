package agents

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// atOnce is how many nodes are asked at a time if nobody says otherwise.
const atOnce = 16

// Options say where the agents are.
type Options struct {
	// Namespace is the agents', [Namespace] if empty.
	Namespace string
	// Authority is a file with the certificates that vouch for the agents', empty where
	// they make their own and the API server vouches for the way.
	Authority string
}

// Fleet is the agents of a cluster.
type Fleet struct {
	// Agents are sorted by node. Those with a reason in Why cannot be asked.
	Agents []Agent
	// Without are nodes that have no agent, and WithoutErr is why that is not known.
	Without    []string
	WithoutErr error
	// AtOnce is how many are asked at a time, 16 if it is 0.
	AtOnce int

	dial  func(context.Context, Agent) (net.Conn, error)
	token func(context.Context) (string, error)
	// plain: no TLS, and no token.
	plain bool
	roots *x509.CertPool

	mu      sync.Mutex
	clients map[string]*http.Client
	// heard are the nodes whose agents have answered a question.
	heard map[string]bool
}

// Find finds the agents of a cluster.
func Find(ctx context.Context, client kubernetes.Interface, config *rest.Config, o Options) (*Fleet, error) {
	o.Namespace = cmp.Or(o.Namespace, Namespace)
	f := &Fleet{clients: map[string]*http.Client{}}
	if o.Authority != "" {
		data, err := os.ReadFile(o.Authority)
		if err != nil {
			return nil, fmt.Errorf("read the agents' authority: %w", err)
		}
		f.roots = x509.NewCertPool()
		if !f.roots.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("read the agents' authority: %s has no certificate in PEM", o.Authority)
		}
	}
	var err error
	if f.Agents, err = find(ctx, client, o.Namespace); err != nil {
		return nil, err
	}
	f.Without, f.WithoutErr = nodesWithout(ctx, client, f.Agents)
	f.dial = (&forwarder{client, config, o.Namespace}).dial
	f.token = (&tokens{client: client, config: config, namespace: o.Namespace, now: time.Now}).get
	return f, nil
}

// OnSocket is the one agent behind a socket of this machine.
func OnSocket(path string) *Fleet {
	return &Fleet{
		Agents: []Agent{{}}, plain: true, clients: map[string]*http.Client{},
		dial: func(ctx context.Context, _ Agent) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}
}

// Each calls ask for every agent that can be asked, some at a time, and returns the nodes
// that did not answer: those included that have no agent, or none that can be asked.
func (f *Fleet) Each(ctx context.Context, ask func(context.Context, Agent) error) []Failure {
	var mu sync.Mutex
	var failures []Failure
	fail := func(node string, err error) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, Failure{node, err})
	}
	for _, node := range f.Without {
		fail(node, ErrNoAgent)
	}
	var asking sync.WaitGroup
	places := make(chan struct{}, cmp.Or(f.AtOnce, atOnce))
	for _, a := range f.Agents {
		if a.Why != "" {
			fail(a.Node, errors.New(a.Why))
			continue
		}
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			if err := ask(ctx, a); err != nil {
				fail(a.Node, err)
			}
		})
	}
	asking.Wait()
	slices.SortFunc(failures, func(a, b Failure) int { return cmp.Compare(a.Node, b.Node) })
	return failures
}

// ErrNoAgent is of nodes on which nobody enforces anything.
var ErrNoAgent = errors.New("no agent runs there, so that no policy is enforced")

// Read gets a path of an agent, as a whole and no more than most bytes.
func (f *Fleet) Read(ctx context.Context, a Agent, path string, query url.Values, most int64) ([]byte, error) {
	body, err := f.Open(ctx, a, path, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the agent's answer: %w", err)
	case int64(len(data)) > most:
		return nil, fmt.Errorf("read the agent's answer: it has more than %d bytes", most)
	}
	return data, nil
}

// ErrBusy is of an agent that answers as many as it can.
var ErrBusy = errors.New("the agent is busy")

// mostRefusal bounds what is shown of a refusal.
const mostRefusal = 300

// Open gets a path of an agent, whose answer may go on.
func (f *Fleet) Open(ctx context.Context, a Agent, path string, query url.Values) (io.ReadCloser, error) {
	target := url.URL{Scheme: "https", Host: "agent", Path: path, RawQuery: query.Encode()}
	if f.plain {
		target.Scheme = "http"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	if !f.plain {
		token, err := f.token(ctx)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := f.client(a).Do(r)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // the URL is of our own making
		}
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		f.hear(a)
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, mostRefusal))
	err = fmt.Errorf("the agent answers %s: %s", answer.Status, plain(string(text)))
	switch answer.StatusCode {
	case http.StatusServiceUnavailable:
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	case http.StatusNotFound:
		// Of a path that is not there Go's mux says so in these words.
		if strings.HasPrefix(string(text), "404 page not found") {
			err = fmt.Errorf("%w (it knows no %s: it is of another version)", err, path)
		}
	}
	return nil, err
}

func (f *Fleet) hear(a Agent) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.heard == nil {
		f.heard = map[string]bool{}
	}
	f.heard[a.Node] = true
}

// Answered reports whether an agent has answered a question, whatever became of the answer.
func (f *Fleet) Answered(a Agent) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard[a.Node]
}

// AnyAnswered reports whether any agent has: otherwise nothing is known of any node.
func (f *Fleet) AnyAnswered() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.heard) > 0
}

// plain leaves out of a text what could steer a terminal.
func plain(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, s))
}

// client is that of an agent, which keeps its connections.
func (f *Fleet) client(a Agent) *http.Client {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.clients[a.Node]; c != nil {
		return c
	}
	transport := &http.Transport{
		TLSClientConfig: f.tlsConfig(a), TLSHandshakeTimeout: 10 * time.Second,
		// There is no HTTP/2: the agent counts connections.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		DialContext:  func(ctx context.Context, _, _ string) (net.Conn, error) { return f.dial(ctx, a) },
	}
	c := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the agent sends us elsewhere, where a token is not shown")
	}}
	f.clients[a.Node] = c
	return c
}

func (f *Fleet) tlsConfig(a Agent) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.Node, RootCAs: f.roots}
	// Where nobody vouches for the agents' certificates, the API server vouches for the
	// way to them.
	c.InsecureSkipVerify = f.roots == nil
	return c
}

// Close gives up the connections.
func (f *Fleet) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.clients {
		c.CloseIdleConnections()
	}
}

// Only leaves the agent of one node.
func (f *Fleet) Only(node string) error {
	if slices.Contains(f.Without, node) {
		f.Agents, f.Without = nil, []string{node}
		return nil
	}
	at := slices.IndexFunc(f.Agents, func(a Agent) bool { return a.Node == node })
	if at < 0 {
		return fmt.Errorf("there is no agent on a node %q", node)
	}
	f.Agents, f.Without = f.Agents[at:at+1], nil
	return nil
}
