package source

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
)

const (
	// connectWithin bounds the wait for a server that does not answer at all.
	connectWithin = 10 * time.Second
	// unheardFor is when a connection is given up whose other end no longer
	// answers the kernel: a server that lost its power says nothing, and client-go's
	// own pings take 45 s to notice, on HTTP/2 only.
	unheardFor = 15 * time.Second
)

// KubeClientConfig returns a copy of a client configuration that asks for
// protobuf, which costs the API server and us a fraction of JSON, and that
// notices within seconds when the server is gone.
func KubeClientConfig(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	c.ContentType = runtime.ContentTypeProtobuf
	if c.Dial == nil && c.Transport == nil {
		c.Dial = (&net.Dialer{
			Timeout:         connectWithin,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: unheardFor / 3, Interval: unheardFor / 3, Count: 3},
			Control:         giveUpUnheard,
		}).DialContext
	}
	c.Wrap(func(rt http.RoundTripper) http.RoundTripper { return telltale{rt} })
	return c
}

// giveUpUnheard bounds how long data may stay without acknowledgement.
func giveUpUnheard(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unheardFor.Milliseconds()))
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT: %w", err)
	}
	return nil
}

// statusError is an answer whose text nobody reads.
func statusError(code int) error {
	if code == http.StatusTooManyRequests {
		return apierrors.NewTooManyRequestsError("try again later")
	}
	return fmt.Errorf("it answers %d %s", code, http.StatusText(code))
}

type earKey struct{}

func withEar(ctx context.Context, e *ear) context.Context { return context.WithValue(ctx, earKey{}, e) }

// telltale tells the ear of a request why it fails. client-go tries some
// requests again by itself, and makes of some errors a watch without events.
type telltale struct{ next http.RoundTripper }

func (t telltale) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	e, ok := req.Context().Value(earKey{}).(*ear)
	switch {
	case !ok || req.Context().Err() != nil:
	case err != nil:
		e.fails(err)
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError:
		e.fails(statusError(resp.StatusCode))
	}
	return resp, err
}

// WrappedRoundTripper lets client-go find the transport beneath.
func (t telltale) WrappedRoundTripper() http.RoundTripper { return t.next }
