package beyond

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"

	"github.com/sluice-net/sluice/conformance/cluster/beyond/probe"
)

// hand is a prober, wherever it runs.
type hand struct {
	name string
	path string // the program, in its Pod
	// What sluice calls it: the Pod, or else by one of its addresses, of each family.
	pod   string
	known []netip.Addr
	in    io.Writer

	mu      sync.Mutex
	last    int
	answers map[int]chan probe.Response
	gone    chan struct{} // closed when it has ended
	why     error
}

func newHand(name string, in io.Writer) *hand {
	return &hand{name: name, in: in, answers: map[int]chan probe.Response{}, gone: make(chan struct{})}
}

// read hands the prober's answers on.
func (h *hand) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r probe.Response
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			h.why = fmt.Errorf("read %q: %w", lines.Text(), err)
			break
		}
		h.mu.Lock()
		answer := h.answers[r.ID]
		delete(h.answers, r.ID)
		h.mu.Unlock()
		if answer != nil {
			answer <- r
		}
	}
	close(h.gone)
}

// task is a request under way.
type task struct {
	hand   *hand
	id     int
	answer chan probe.Response
}

func (h *hand) start(r probe.Request) task {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	r.ID = h.last
	answer := make(chan probe.Response, 1)
	h.answers[r.ID] = answer
	h.send(r)
	return task{h, r.ID, answer}
}

func (h *hand) send(r probe.Request) {
	line, err := json.Marshal(r)
	if err == nil {
		_, err = h.in.Write(append(line, '\n'))
	}
	if err != nil {
		h.why = err
	}
}

func (h *hand) do(r probe.Request) probe.Response { return h.start(r).wait(r.Timeout + 20*time.Second) }

// stop ends a Repeat, a Hold, a Hear or a PathMTU.
func (t task) stop() probe.Response {
	t.hand.mu.Lock()
	t.hand.send(probe.Request{ID: t.id, Op: probe.Stop})
	t.hand.mu.Unlock()
	return t.wait(20 * time.Second)
}

func (t task) wait(patience time.Duration) probe.Response {
	select {
	case r := <-t.answer:
		return r
	case <-t.hand.gone:
		return probe.Response{Outcome: probe.Problem, Detail: fmt.Sprintf("the prober in %s has ended: %v", t.hand.name, t.hand.why)}
	case <-time.After(patience):
		return probe.Response{Outcome: probe.Problem, Detail: "the prober in " + t.hand.name + " does not answer"}
	}
}

// ended says whether a request that is to go on has ended.
func (t task) ended() (probe.Response, bool) {
	select {
	case r := <-t.answer:
		t.answer <- r
		return r, true
	default:
		return probe.Response{}, false
	}
}

// reachInto puts the prober into a container of a Pod and starts it.
func reachInto(t *testing.T, pod *corev1.Pod, container string) *hand {
	t.Helper()
	// A container that runs need not listen yet.
	path, err := upload(pod)
	for end := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(end); path, err = upload(pod) {
		time.Sleep(200 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("put the prober into %s: %v", pod.Name, err)
	}
	request := cluster.client.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: container, Command: []string{path}, Stdin: true, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec)
	session, err := remotecommand.NewWebSocketExecutor(cluster.config, "GET", request.URL().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	in, feed := io.Pipe()
	answers, out := io.Pipe()
	var problem bytes.Buffer
	h := newHand(pod.Name, feed)
	h.path, h.pod = path, pod.Namespace+"/"+pod.Name
	go func() {
		h.why = session.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: in, Stdout: out, Stderr: &problem})
		if problem.Len() > 0 {
			h.why = errors.Join(h.why, errors.New(problem.String()))
		}
		in.Close()
		out.Close()
	}()
	go h.read(answers)
	t.Cleanup(func() {
		feed.Close()
		cancel()
		<-h.gone
	})
	return h
}

// upload hands the prober to netexec, which writes it to a file that can be run.
func upload(pod *corev1.Pod) (path string, err error) {
	local, done, err := forward(pod, netexecPort(pod))
	if err != nil {
		return "", err
	}
	defer done()
	program, err := os.ReadFile(cluster.prober)
	if err != nil {
		return "", err
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "prober")
	if err != nil {
		return "", err
	}
	if _, err := file.Write(program); err != nil {
		return "", err
	}
	if err := form.Close(); err != nil {
		return "", err
	}
	client := http.Client{Timeout: time.Minute}
	answer, err := client.Post(fmt.Sprintf("http://127.0.0.1:%d/upload", local), form.FormDataContentType(), &body)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var result struct{ Output, Error string }
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil {
		return "", err
	}
	if result.Error != "" || !strings.HasPrefix(result.Output, uploads) {
		return "", fmt.Errorf("netexec says %+v", result)
	}
	return result.Output, nil
}

// forward forwards a local port to one of a Pod.
func forward(pod *corev1.Pod, port int32) (local uint16, done func(), err error) {
	url := cluster.client.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(cluster.config)
	if err != nil {
		return 0, nil, err
	}
	stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", url)
	forwarder, err := portforward.New(dialer, []string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return 0, nil, err
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return 0, nil, fmt.Errorf("forward a port: %w", err)
	case <-time.After(time.Minute):
		close(stop)
		return 0, nil, errors.New("forward a port: it takes too long")
	}
	ports, err := forwarder.GetPorts()
	if err != nil || len(ports) != 1 {
		close(stop)
		return 0, nil, fmt.Errorf("forward a port: %v, %w", ports, err)
	}
	return ports[0].Local, func() { close(stop) }, nil
}
