package enforcer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/enforcer/door"
	"github.com/sluice-net/sluice/enforcer/source"
)

func getFrom(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

func TestHealthForAnybodyNamesNothing(t *testing.T) {
	a, err := New(Config{Node: "worker-1"}, &source.Memory{}, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	const secret = "shop/db"
	a.status.setConditions(t.Context(), "test", []Condition{
		{What: "IPVS", Object: "interface " + secret, Message: secret, Mend: secret},
		{What: "Unheard", Object: "Pod " + secret, Message: secret}, {What: "Unheard", Object: "Pod 2" + secret},
	})
	a.status.setUnguarded(map[string]error{secret: errors.New(secret)})
	a.status.setBridges(errors.New(secret))
	a.status.setSyncError(errors.New(secret))
	a.box.Report(secret, errors.New(secret))
	for _, synced := range []bool{false, true} {
		if synced {
			a.status.setSynced()
		}
		code, body := getFrom(t, a.HealthHandler(), "/readyz")
		if code != http.StatusServiceUnavailable || strings.Contains(body, secret) || strings.Contains(body, "worker-1") {
			t.Errorf("%d %s", code, body)
		}
		for _, want := range []string{"not ready\n", "IPVS 1\n", "Unheard 2\n"} {
			if !strings.Contains(body, want) {
				t.Errorf("%q lacks %q", body, want)
			}
		}
		if _, body := getFrom(t, a.Handler(), "/readyz/details"); !strings.Contains(body, "Pod "+secret) {
			t.Errorf("the details lack the name: %s", body)
		}
	}
	for _, path := range []string{"/metrics", "/readyz/details", "/debug/pprof/", "/"} {
		if code, body := getFrom(t, a.HealthHandler(), path); code != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := getFrom(t, a.HealthHandler(), "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %d %s", code, body)
	}
}

type nobody struct{}

func (nobody) Review(context.Context, string, string) (door.Access, error) { return door.Unknown, nil }

func TestDoorsAreOpenOnLoopbackOnly(t *testing.T) {
	for _, tt := range []struct {
		what            string
		health, metrics string
		reviewer        door.Reviewer
		want            []string // what each listener answers to /metrics
		wrong           string
	}{
		{"one for both", "127.0.0.1:0", "127.0.0.1:0", nil, []string{"200"}, ""},
		{"metrics alone", "", "127.0.0.1:0", nil, []string{"200"}, ""},
		{"health alone", "0.0.0.0:0", "", nil, []string{"404"}, ""},
		{"none", "", "", nil, nil, ""},
		{"elsewhere", "127.0.0.1:0", "0.0.0.0:0", nobody{}, []string{"404", "tls 401"}, ""},
		{"nobody to ask", "127.0.0.1:0", "0.0.0.0:0", nil, nil, "no loopback"},
		{"one for both elsewhere", "0.0.0.0:0", "0.0.0.0:0", nobody{}, nil, "not encrypted"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			a, err := New(Config{HealthAddress: tt.health, MetricsAddress: tt.metrics, Reviewer: tt.reviewer}, &source.Memory{}, nil, prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			servers, err := a.listen()
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("error %v, want %q", err, tt.wrong)
				}
				return
			}
			if err != nil || len(servers) != len(tt.want) {
				t.Fatalf("%d listeners, %v", len(servers), err)
			}
			for i, s := range servers {
				go func() { _ = s.Serve(t.Context()) }()
				if got := metricsOver(t, s.Addr().String()); got != tt.want[i] {
					t.Errorf("listener %d: %s, want %s", i, got, tt.want[i])
				}
			}
		})
	}
}

// metricsOver asks in plain text, and over TLS if that is what is spoken.
func metricsOver(t *testing.T, address string) string {
	t.Helper()
	_, port, _ := strings.Cut(strings.TrimPrefix(address, "[::]"), ":")
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig.InsecureSkipVerify = true
	tr.DisableKeepAlives = true
	client := http.Client{Transport: tr}
	for _, scheme := range []string{"http", "https"} {
		resp, err := client.Get(scheme + "://127.0.0.1:" + port + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		code := resp.Status[:3]
		if scheme == "https" {
			return "tls " + code
		}
		if code != "400" { // "Client sent an HTTP request to an HTTPS server"
			return code
		}
	}
	return ""
}
