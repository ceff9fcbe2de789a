package enforcer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// healthServer answers the kubelet and Prometheus.
type healthServer struct {
	listener net.Listener
	server   *http.Server
}

// listen opens the address at once, so that a wrong one fails the start. It is
// in the process's namespace, whatever the agent's is.
func (a *Agent) listen() (*healthServer, error) {
	l, err := net.Listen("tcp", a.cfg.HealthAddress)
	if err != nil {
		return nil, fmt.Errorf("listen for health checks: %w", err)
	}
	return &healthServer{l, &http.Server{Handler: a.Handler(), ReadHeaderTimeout: 5 * time.Second}}, nil
}

// Handler serves /healthz (the sync loop does not hang), /readyz (everything is
// enforced, or why not) and /metrics (if the Registerer of New can be read).
func (a *Agent) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.Alive()) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := a.Status()
		answer(w, s.Ready(), s.Details()...)
	})
	if g, ok := a.reg.(prometheus.Gatherer); ok {
		mux.Handle("/metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	}
	return mux
}

// answer says ok and what else there is to say, or what is wrong.
func answer(w http.ResponseWriter, err error, details ...string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	text := "ok\n"
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		text = err.Error() + "\n"
	}
	for _, d := range details {
		text += d + "\n"
	}
	// A client that hung up needs no answer.
	_, _ = w.Write([]byte(text))
}

func (h *healthServer) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = h.server.Close() })
	defer stop()
	if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
