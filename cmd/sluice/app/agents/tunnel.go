package agents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	streaming "k8s.io/streaming/pkg/httpstream"
)

// forwarder makes connections to ports of Pods through the API server. The server's HTTP
// proxy is no way: it takes the Authorization away that the agent wants to see.
type forwarder struct {
	client    kubernetes.Interface
	config    *rest.Config
	namespace string
}

// dial returns a connection to an agent's door.
func (f *forwarder) dial(ctx context.Context, a Agent) (net.Conn, error) {
	dialer, err := f.dialer(a)
	if err != nil {
		return nil, err
	}
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		streams, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		if err != nil {
			done <- result{nil, fmt.Errorf("forward to Pod %s/%s: %w", f.namespace, a.Pod, err)}
			return
		}
		conn, err := openTunnel(streams, a.Port)
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		// The dialer knows no context. What it still brings is given up.
		go func() {
			if r := <-done; r.conn != nil {
				_ = r.conn.Close()
			}
		}()
		return nil, fmt.Errorf("forward to Pod %s/%s: %w", f.namespace, a.Pod, ctx.Err())
	}
}

// dialer speaks SPDY through a websocket, or by itself to API servers that know no other
// way, as kubectl does.
func (f *forwarder) dialer(a Agent) (httpstream.Dialer, error) {
	target := f.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(f.namespace).Name(a.Pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(f.config)
	if err != nil {
		return nil, fmt.Errorf("prepare to forward: %w", err)
	}
	old := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	socket, err := portforward.NewSPDYOverWebsocketDialer(target, f.config)
	if err != nil {
		return nil, fmt.Errorf("prepare to forward: %w", err)
	}
	return portforward.NewFallbackDialer(socket, old, func(err error) bool {
		return streaming.IsUpgradeFailure(err) || streaming.IsHTTPSProxyError(err)
	}), nil
}

// tunnel is a connection to a port of a Pod.
type tunnel struct {
	net.Conn
	streams httpstream.Connection
	// complaint is what the far end of the tunnel said went wrong, once it is known.
	complaint chan string
}

// complaintWithin is how long a complaint may come after the connection broke off.
const complaintWithin = time.Second

// openTunnel opens the two streams that are a connection, and ends them with it.
func openTunnel(streams httpstream.Connection, port int) (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	complaints, err := streams.CreateStream(headers)
	if err == nil {
		_ = complaints.Close() // nothing is written to it
		headers.Set(corev1.StreamType, corev1.StreamTypeData)
		var data httpstream.Stream
		if data, err = streams.CreateStream(headers); err == nil {
			return join(streams, complaints, data), nil
		}
	}
	_ = streams.Close()
	return nil, fmt.Errorf("open a stream to port %d: %w", port, err)
}

// mostComplaint bounds what is read of a complaint.
const mostComplaint = 4096

// join makes a connection of streams. A pipe has the deadlines that streams lack.
func join(streams httpstream.Connection, complaints, data httpstream.Stream) net.Conn {
	near, far := net.Pipe()
	t := &tunnel{near, streams, make(chan string, 1)}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		text, err := io.ReadAll(io.LimitReader(complaints, mostComplaint))
		if err == nil {
			t.complaint <- strings.TrimSpace(string(text))
		}
		close(t.complaint)
	}()
	go func() {
		_, _ = io.Copy(far, data)
		_ = far.Close()
	}()
	go func() {
		_, _ = io.Copy(data, far)
		_ = data.Close()
		select {
		case <-heard:
		case <-time.After(complaintWithin):
		}
		_ = streams.Close()
	}()
	return t
}

// Read is of [net.Conn]. Of a connection that broke off it says why.
func (t *tunnel) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	return n, t.why(n, err)
}

// Write is of [net.Conn], and says why as well.
func (t *tunnel) Write(b []byte) (int, error) {
	n, err := t.Conn.Write(b)
	return n, t.why(n, err)
}

// why is the far end's complaint where there is one.
func (t *tunnel) why(n int, err error) error {
	if n > 0 || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	select {
	case text := <-t.complaint:
		if text != "" {
			return errors.New(text)
		}
	case <-time.After(complaintWithin):
	}
	return err
}

// Close is of [net.Conn].
func (t *tunnel) Close() error {
	err := t.Conn.Close()
	_ = t.streams.Close()
	return err
}
