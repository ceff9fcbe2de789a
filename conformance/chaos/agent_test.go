package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-net/sluice/cmd/sluice/app"
	"github.com/sluice-net/sluice/conformance/kerneltest"
	"github.com/sluice-net/sluice/conformance/lab"
)

// asAgent makes this program the command: a test cannot be killed in part.
const asAgent = "SLUICE_CHAOS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) == "" {
		flag.Parse()
		slowDown(*slow)
		os.Exit(kerneltest.Run(m))
	}
	// An agent must not outlive its test, however that ends.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := app.Main(ctx, os.Args[1:], app.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	stop()
	os.Exit(code)
}

// nftDouble is what the agent finds as nft: it does as a file says.
const nftDouble = `#!/bin/sh
while :; do
	case $(cat '%[1]s') in
	fail) echo 'nft: refused by chaos' >&2; exit 1 ;;
	hang) sleep 0.05 ;;
	*) exec '%[2]s' "$@" ;;
	esac
done
`

// agentProcess is a real agent in a namespace. One at a time runs in it, but for
// those that are started beside it to be refused.
type agentProcess struct {
	host  *lab.Namespace
	dir   string
	flags []string
	port  int
	cmd   *exec.Cmd
	ended chan struct{}
	log   string
}

// newAgent prepares one and starts nothing.
func newAgent(host *lab.Namespace, dir string, flags []string, port int) (*agentProcess, error) {
	real, err := exec.LookPath("nft")
	if err != nil {
		return nil, err
	}
	a := &agentProcess{host: host, dir: dir, flags: flags, port: port, log: filepath.Join(dir, fmt.Sprintf("agent-%d.log", port))}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return nil, err
	}
	double := fmt.Sprintf(nftDouble, a.control(), real)
	return a, errors.Join(os.WriteFile(filepath.Join(bin, "nft"), []byte(double), 0o700), a.nft("work"))
}

func (a *agentProcess) control() string { return filepath.Join(a.dir, "nft-does") }

// nft says what nft does from now on: work, fail or hang.
func (a *agentProcess) nft(does string) error {
	part := a.control() + ".part"
	if err := os.WriteFile(part, []byte(does), 0o600); err != nil {
		return err
	}
	return os.Rename(part, a.control())
}

func (a *agentProcess) start() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(a.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	args := append([]string{"agent", "--metrics-address", fmt.Sprintf("127.0.0.1:%d", a.port)}, a.flags...)
	a.cmd = exec.Command(program, args...)
	a.cmd.Env = append(os.Environ(), asAgent+"=1", "NODE_NAME="+nodeName, "PATH="+filepath.Join(a.dir, "bin")+":"+os.Getenv("PATH"))
	a.cmd.Stdout, a.cmd.Stderr = log, log
	if _, err := a.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := a.host.Do(a.cmd.Start); err != nil {
		return fmt.Errorf("start agent: %w", err)
	}
	ended := make(chan struct{})
	a.ended = ended
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait()
		close(ended)
	}(a.cmd)
	return nil
}

func (a *agentProcess) running() bool {
	if a.cmd == nil {
		return false
	}
	select {
	case <-a.ended:
		return false
	default:
		return true
	}
}

func (a *agentProcess) signal(s syscall.Signal) error {
	if !a.running() {
		return nil
	}
	return a.cmd.Process.Signal(s)
}

// kill ends the agent without a word, stop as its operator does.
func (a *agentProcess) kill() error { return a.endBy(syscall.SIGKILL) }
func (a *agentProcess) stop() error { return a.endBy(syscall.SIGTERM) }

func (a *agentProcess) endBy(s syscall.Signal) error {
	if !a.running() {
		return nil
	}
	if err := a.signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-a.ended:
		return nil
	case <-time.After(30 * time.Second):
		_ = a.signal(syscall.SIGKILL)
		<-a.ended
		return fmt.Errorf("the agent did not end by %v in 30 s", s)
	}
}

// lastWords are the end of the agent's log.
func (a *agentProcess) lastWords(lines int) string {
	text, err := os.ReadFile(a.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// sample is one answer of readyz.
type sample struct {
	// from and until are when it was asked and when it answered.
	from, until int64
	ok          bool
	text        string
}

// client asks an agent's readyz in its namespace.
func (a *agentProcess) client() *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		var c net.Conn
		err := a.host.Do(func() error {
			var err error
			c, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return err
		})
		return c, err
	}
	return &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

func (a *agentProcess) ask(ctx context.Context, c *http.Client) sample {
	s := sample{from: time.Now().UnixNano()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/readyz", a.port), nil)
	if err == nil {
		var answer *http.Response
		if answer, err = c.Do(request); err == nil {
			text, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			s.ok, s.text = answer.StatusCode == http.StatusOK, strings.TrimSpace(string(text))
		}
	}
	if err != nil {
		s.text = err.Error()
	}
	s.until = time.Now().UnixNano()
	return s
}

// readiness samples readyz all the time.
type readiness struct {
	mu      sync.Mutex
	samples []sample
}

const sampleEvery = 100 * time.Millisecond

func (r *readiness) run(ctx context.Context, a *agentProcess) {
	c := a.client()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := a.ask(ctx, c)
		r.mu.Lock()
		r.samples = append(r.samples, s)
		r.mu.Unlock()
	}
}

// okSince finds an answer ok that was asked for after a moment.
func (r *readiness) okSince(from int64) (sample, bool) {
	return r.find(from, 1<<62, true)
}

// find is the first answer between two moments that says ok, or does not.
func (r *readiness) find(from, until int64, ok bool) (sample, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.samples {
		if s.from >= from && s.until <= until && s.ok == ok {
			return s, true
		}
	}
	return sample{}, false
}

func (r *readiness) last() sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.samples) == 0 {
		return sample{}
	}
	return r.samples[len(r.samples)-1]
}

func (r *readiness) forget(before int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.samples) > 1 && r.samples[0].until < before {
		r.samples = r.samples[1:]
	}
}
