package door

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

type reviewer map[string]Access

func (r reviewer) Review(_ context.Context, token, path string) (Access, error) {
	if token == "broken" {
		return Allowed, errors.New("away")
	}
	return r[token+" "+path], nil
}

// serve serves until the test ends.
func serve(t *testing.T, h http.Handler, c Certificates) string {
	t.Helper()
	s, err := Listen("127.0.0.1:0", h, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addr().String()
}

func secret() map[string]http.Handler {
	say := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secret") })
	return map[string]http.Handler{"/metrics": say, "/readyz": say}
}

// Trust in the certificate is not what is tested here.
func client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}}
}

func TestGuardedLetsInWhomTheReviewerAllows(t *testing.T) {
	certificates, err := SelfSigned("node", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	access := reviewer{"good /metrics": Allowed, "poor /metrics": Forbidden}
	address := serve(t, Guarded(access, secret()), certificates)
	for _, tt := range []struct {
		path   string
		header []string
		want   int
	}{
		{"/metrics", []string{"Bearer good"}, 200},
		{"/metrics", []string{"bearer good"}, 200},
		{"/metrics?x=1", []string{"Bearer good"}, 200},
		{"/readyz", []string{"Bearer good"}, 401},
		{"/metrics", []string{"Bearer poor"}, 403},
		{"/metrics", []string{"Bearer who"}, 401},
		{"/metrics", nil, 401},
		{"/metrics", []string{"good"}, 401},
		{"/metrics", []string{"Basic good"}, 401},
		{"/metrics", []string{"Bearer poor", "Bearer good"}, 401},
		{"/metrics", []string{"Bearer broken"}, 503},
		{"/metrics/", []string{"Bearer good"}, 404},
		{"/other", []string{"Bearer good"}, 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+tt.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Authorization"] = tt.header
		resp, err := client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.want || strings.Contains(string(body), "secret") != (tt.want == 200) {
			t.Errorf("%s with %q: %d %s, want %d", tt.path, tt.header, resp.StatusCode, body, tt.want)
		}
	}
	// Nothing is said to who speaks no TLS.
	resp, err := client().Get("http://" + address + "/metrics")
	if err == nil {
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == 200 || strings.Contains(string(body), "secret") {
			t.Errorf("in plain text: %d %s", resp.StatusCode, body)
		}
	}
}

func TestServerRefusesWhatIsNoQuestion(t *testing.T) {
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }), nil)
	for _, tt := range []struct {
		method, header string
		body           io.Reader
		want           int
	}{
		{"GET", "", nil, 200},
		{"HEAD", "", nil, 200},
		{"POST", "", nil, 405},
		{"DELETE", "", nil, 405},
		{"GET", "", strings.NewReader("x"), 413},
		{"GET", "", io.MultiReader(strings.NewReader("in chunks")), 413},
		{"GET", strings.Repeat("x", 2*maxHeader), nil, 431},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+address+"/", tt.body)
		if err != nil {
			t.Fatal(err)
		}
		if tt.header != "" {
			req.Header.Set("X", tt.header)
		}
		resp, err := client().Do(req)
		if err != nil {
			t.Errorf("%s: %v", tt.method, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s with %d bytes of header: %d, want %d", tt.method, len(tt.header), resp.StatusCode, tt.want)
		}
	}
}

// address pretends that a connection came from elsewhere.
type address struct {
	net.Conn
	from  string
	close func()
}

func (a address) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(a.from), Port: 1} }
func (a address) Close() error         { a.close(); return nil }

type arrivals chan address

func (a arrivals) Accept() (net.Conn, error) { return <-a, nil }
func (a arrivals) Close() error              { return nil }
func (a arrivals) Addr() net.Addr            { return &net.TCPAddr{} }

func TestCrowdPushesAsideWhoHasMost(t *testing.T) {
	in := make(arrivals, 1)
	c := newCrowd(in)
	var closed []string
	arrive := func(from string) {
		t.Helper()
		in <- address{from: from, close: func() { closed = append(closed, from) }}
		if _, err := c.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	arrive("192.0.2.1") // who reads metrics
	for range 10 * maxConns {
		arrive("192.0.2.66")
	}
	if len(c.inside) != 1+maxOfASource || slices.Contains(closed, "192.0.2.1") {
		t.Errorf("%d inside, closed %d", len(c.inside), len(closed))
	}
	// The addresses of a link are one source, for a neighbour has 2^64 of them.
	for i := range 10 * maxConns {
		arrive(fmt.Sprintf("2001:db8::%x", i))
	}
	if len(c.inside) != 1+2*maxOfASource || slices.Contains(closed, "192.0.2.1") {
		t.Errorf("%d inside, closed %d", len(c.inside), len(closed))
	}
	for i := range 3 * maxConns {
		arrive(fmt.Sprintf("198.51.100.%d", i/2))
	}
	if len(c.inside) != maxConns {
		t.Errorf("%d inside", len(c.inside))
	}
	for _, g := range slices.Clone(c.inside) {
		_ = g.Close()
	}
	if len(c.inside) != 0 {
		t.Errorf("%d are left", len(c.inside))
	}
}

func TestSelfSignedIsRenewed(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Now())
	c, err := SelfSigned("node", clock)
	if err != nil {
		t.Fatal(err)
	}
	shown := func() []byte {
		cert, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Certificate[0]
	}
	first := shown()
	clock.SetTime(clock.Now().Add(selfSignedFor / 3))
	if !bytes.Equal(first, shown()) {
		t.Error("renewed too soon")
	}
	clock.SetTime(clock.Now().Add(selfSignedFor / 3))
	if bytes.Equal(first, shown()) {
		t.Error("not renewed")
	}
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	dir, clock := t.TempDir(), clocktesting.NewFakePassiveClock(time.Now())
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if _, err := Files(cert, key, clock); err == nil {
		t.Error("files that are not there are no error at the start")
	}
	writePair(t, cert, key, "one", time.Unix(1000, 0))
	c, err := Files(cert, key, clock)
	if err != nil {
		t.Fatal(err)
	}
	shown := func() []byte {
		clock.SetTime(clock.Now().Add(lookEvery))
		cert, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Certificate[0]
	}
	one := shown()
	// Half of a renewal, and then the whole.
	if err := os.WriteFile(key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, shown()) {
		t.Error("half of a renewal counts")
	}
	writePair(t, cert, key, "two", time.Unix(2000, 0))
	if bytes.Equal(one, shown()) {
		t.Error("the renewal was not read")
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "[::ffff:127.0.0.1]:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "localhost.example:1": false, "127.0.0.1": false, "": false,
	} {
		if Loopback(address) != want {
			t.Errorf("%q: %v", address, !want)
		}
	}
}

// An answer that lasts ends when who reads it may not any more, or nobody says so.
func TestGuardedAsksAgain(t *testing.T) {
	for _, then := range []Access{Forbidden, Unknown} {
		reading, ended := make(chan struct{}), make(chan struct{})
		access := &changing{now: Allowed}
		h := guardedEvery(access, 5*time.Millisecond, map[string]http.Handler{"/v1/denials": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(reading)
			<-r.Context().Done()
			close(ended)
		})})
		address := serve(t, h, nil)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/v1/denials", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer good")
		go func() {
			if res, err := client().Do(req); err == nil {
				_ = res.Body.Close()
			}
		}()
		<-reading
		access.become(then)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%v: it goes on", then)
		}
	}
}

// changing is a reviewer of one mind at a time.
type changing struct {
	mu  sync.Mutex
	now Access
}

func (c *changing) become(a Access) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = a
}

func (c *changing) Review(context.Context, string, string) (Access, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, nil
}
