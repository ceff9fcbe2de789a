package enforcer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/door"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// listen opens the addresses for health and metrics at once, so that a wrong
// one fails the start. They are in the process's namespace, whatever the
// agent's is.
func (a *Agent) listen() ([]*door.Server, error) {
	health, metrics := a.cfg.HealthAddress, a.cfg.MetricsAddress
	if health == metrics {
		health = ""
	}
	var out []*door.Server
	var errs []error
	if health != "" {
		s, err := door.Listen(health, a.HealthHandler(), nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("serve health: %w", err))
		} else {
			out = append(out, s)
		}
	}
	if metrics != "" {
		s, err := a.listenForMetrics()
		if err != nil {
			errs = append(errs, fmt.Errorf("serve metrics: %w", err))
		} else {
			out = append(out, s)
		}
	}
	if a.cfg.Socket != "" {
		s, err := door.ListenSocket(a.cfg.Socket, muxOf(a.guardedPaths()))
		if err != nil {
			errs = append(errs, err)
		} else {
			out = append(out, s)
		}
	}
	if err := errors.Join(errs...); err != nil {
		for _, s := range out {
			_ = s.Close()
		}
		return nil, err
	}
	return out, nil
}

// listenForMetrics says everything to whoever is on the node already, and
// elsewhere to those only whom the API server lets read it.
func (a *Agent) listenForMetrics() (*door.Server, error) {
	if door.Loopback(a.cfg.MetricsAddress) {
		s, err := door.Listen(a.cfg.MetricsAddress, a.Handler(), nil)
		if err != nil {
			return nil, err
		}
		// localhost is what the resolver says it is.
		if t, ok := s.Addr().(*net.TCPAddr); !ok || !t.IP.IsLoopback() {
			_ = s.Close()
			return nil, fmt.Errorf("%s is no loopback address: %s", a.cfg.MetricsAddress, s.Addr())
		}
		return s, nil
	}
	if a.cfg.Reviewer == nil {
		return nil, fmt.Errorf("%s is no loopback address, and without an API server nobody says who may read there", a.cfg.MetricsAddress)
	}
	if a.cfg.MetricsAddress == a.cfg.HealthAddress {
		return nil, fmt.Errorf("%s is for health as well, which is not encrypted: give each an address of its own", a.cfg.MetricsAddress)
	}
	certificates, err := a.certificates()
	if err != nil {
		return nil, err
	}
	return door.Listen(a.cfg.MetricsAddress, door.Guarded(a.cfg.Reviewer, a.guardedPaths()), certificates)
}

func (a *Agent) certificates() (door.Certificates, error) {
	if a.cfg.TLSCert != "" {
		return door.Files(a.cfg.TLSCert, a.cfg.TLSKey, a.cfg.Clock)
	}
	return door.SelfSigned(a.cfg.Node, a.cfg.Clock)
}

// HealthHandler is for anybody: /healthz (the sync loop does not hang) and
// /readyz (everything is enforced). It names no object and no address, only
// how many conditions of which kind there are.
func (a *Agent) HealthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", a.healthz)
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		s := a.Status()
		err := s.Ready()
		if err != nil {
			err = errors.New("not ready")
		}
		answer(w, err, s.Kinds()...)
	})
	return mux
}

// Handler says everything: /healthz, /readyz with the conditions by name, and
// /metrics. It asks nobody who they are.
func (a *Agent) Handler() http.Handler {
	return muxOf(a.paths())
}

func muxOf(paths map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	for path, h := range paths {
		mux.Handle(path, h)
	}
	return mux
}

// paths are all that there is to read. /metrics needs a Registerer of New that
// can be read.
func (a *Agent) paths() map[string]http.Handler {
	details := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s := a.Status()
		answer(w, s.Ready(), append(s.Details(), s.start()...)...)
	})
	out := map[string]http.Handler{"/healthz": http.HandlerFunc(a.healthz), "/readyz": details, "/readyz/details": details}
	if g, ok := a.reg.(prometheus.Gatherer); ok {
		out["/metrics"] = promhttp.HandlerFor(g, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	}
	return out
}

// guardedPaths are those for people who proved who they are, be it by being root.
func (a *Agent) guardedPaths() map[string]http.Handler {
	out := a.paths()
	maps.Copy(out, a.statusPaths())
	out[nodestatus.DenialsPath] = a.DenialsHandler()
	out[nodestatus.FlowsPath] = a.FlowsHandler()
	out[diagnosis.Path] = a.doctorPath()
	return out
}

func (a *Agent) healthz(w http.ResponseWriter, _ *http.Request) { answer(w, a.Alive()) }

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

// serveDoors answers until the context ends.
func serveDoors(ctx context.Context, servers []*door.Server, start func(string, func() error)) {
	for _, s := range servers {
		start("serve health and metrics", func() error { return s.Serve(ctx) })
	}
}
