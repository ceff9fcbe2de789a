package enforcer

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
	"github.com/sluice-net/sluice/enforcer/source"
)

func denialAgent(t *testing.T, cfg DenialsConfig) *Agent {
	t.Helper()
	a, err := New(Config{Node: "worker-1", Denials: cfg}, &source.Memory{}, nil, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func denialTo(pod string) *denials.Denial {
	return &denials.Denial{
		APIVersion: denials.APIVersion, Kind: denials.Kind, Time: time.Now(), Direction: "ingress", Reason: denials.Policy,
		Src: denials.End{Kind: denials.OutsideEnd, Address: "192.0.2.1"},
		Dst: denials.End{Kind: denials.PodEnd, Address: "10.0.0.1", Namespace: "shop", Pod: pod}, Protocol: "TCP", Port: 80,
	}
}

// Whoever asks gets what is kept, as lines that can be read, and errors that say what to
// ask.
func TestDenialsAreAskedFor(t *testing.T) {
	a := denialAgent(t, DenialsConfig{})
	for i := range 5 {
		a.Denials().Add(denialTo(fmt.Sprintf("db-%d", i)))
	}
	for _, tt := range []struct {
		query string
		code  int
		// lines are how many there are, says is in the answer.
		lines int
		says  string
	}{
		{"", http.StatusOK, 5, "db-0"},
		{"?tail=2", http.StatusOK, 2, "db-4"},
		{"?to=shop/db-3", http.StatusOK, 1, "db-3"},
		{"?namespace=other", http.StatusOK, 0, ""},
		{"?reason=mid-stream", http.StatusOK, 0, ""},
		{"?reason=weather", http.StatusBadRequest, 1, "no reason of a denial"},
		{"?pods=x", http.StatusBadRequest, 1, `there is no "pods"`},
	} {
		code, body := getFrom(t, a.DenialsHandler(), nodestatus.DenialsPath+tt.query)
		if code != tt.code || strings.Count(body, "\n") != tt.lines || !strings.Contains(body, tt.says) {
			t.Errorf("%q: %d\n%s", tt.query, code, body)
		}
		for line := range strings.Lines(body) {
			if _, _, err := denials.ParseLine([]byte(line)); (err == nil) != (code == http.StatusOK) {
				t.Errorf("%q: %v", tt.query, err)
			}
		}
	}
	if code, body := getFrom(t, denialAgent(t, DenialsConfig{Off: true}).DenialsHandler(), nodestatus.DenialsPath); code != http.StatusNotFound || !strings.Contains(body, "--denials=off") {
		t.Errorf("off: %d %s", code, body)
	}
	if code, body := getFrom(t, a.Handler(), nodestatus.DenialsPath); code != http.StatusNotFound {
		t.Errorf("everybody on the node: %d %s", code, body)
	}
	if a.guardedPaths()[nodestatus.DenialsPath] == nil {
		t.Error("the guarded door does not have them")
	}
}

// Who follows gets what comes, past the time that the server leaves other answers, until
// they have enough.
func TestDenialsAreFollowed(t *testing.T) {
	a := denialAgent(t, DenialsConfig{})
	a.Denials().Add(denialTo("before"))
	server := httptest.NewUnstartedServer(a.DenialsHandler())
	server.Config.ReadTimeout, server.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	server.Start()
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+nodestatus.DenialsPath+"?follow=true", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the answer ends before %s: %v", want, lines.Err())
		}
		if d, _, err := denials.ParseLine(lines.Bytes()); err != nil || d.Dst.Pod != want {
			t.Fatalf("%+v, %v, want %s", d, err, want)
		}
	}
	next("before")
	for i := range 4 {
		<-time.After(200 * time.Millisecond) // past both limits
		name := fmt.Sprintf("after-%d", i)
		a.Denials().Add(denialTo(name))
		next(name)
	}
}

func TestDenialsConfigIsChecked(t *testing.T) {
	for _, tt := range []struct {
		cfg  DenialsConfig
		says string
	}{
		{DenialsConfig{}, ""},
		{DenialsConfig{Off: true}, ""},
		{DenialsConfig{Off: true, PerPod: true}, "denials are off"},
		{DenialsConfig{Rate: denials.MaxRate + 1}, "rate"},
	} {
		cfg := Config{Denials: tt.cfg}
		cfg.Defaults()
		if err := cfg.Validate(); (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v", tt.cfg, err)
		}
	}
}
