package door

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

// Guarded serves paths to those who may get them. What is none of the paths
// costs no question to anybody.
func Guarded(r Reviewer, paths map[string]http.Handler) http.Handler {
	return guardedEvery(r, allowedFor, paths)
}

func guardedEvery(r Reviewer, every time.Duration, paths map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	g := &guarded{reviewer: r, every: every}
	for path, h := range paths {
		mux.Handle(path, g.wrap(path, h))
	}
	return mux
}

type guarded struct {
	reviewer Reviewer
	mu       sync.Mutex
	said     time.Time
	// every is how often it is asked whether one who reads still may.
	every time.Duration
}

func (g *guarded) wrap(path string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := bearer(r)
		if token == "" {
			unauthorized(w)
			return
		}
		access, err := g.reviewer.Review(r.Context(), token, path)
		switch {
		case err != nil:
			g.say(r, err)
			http.Error(w, "the API server does not say who may read this", http.StatusServiceUnavailable)
		case access == Allowed:
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			go g.again(ctx, cancel, token, path)
			h.ServeHTTP(w, r.WithContext(ctx))
		case access == Forbidden:
			http.Error(w, "you may not get "+path+" of the agent: bind ClusterRole sluice-reader (what is enforced and denied) or sluice-metrics-reader (metrics), or another with that nonResourceURL", http.StatusForbidden)
		default:
			unauthorized(w)
		}
	})
}

// again asks whether somebody may still read for as long as they do, for an answer can
// take hours: it ends when they may not, or nobody says that they may.
func (g *guarded) again(ctx context.Context, cancel context.CancelFunc, token, path string) {
	ticker := time.NewTicker(g.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if access, err := g.reviewer.Review(ctx, token, path); err != nil || access != Allowed {
			cancel()
			return
		}
	}
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="sluice"`)
	http.Error(w, "give a token of the cluster: Authorization: Bearer TOKEN", http.StatusUnauthorized)
}

// bearer is the token of a request, empty if there is none or more than one.
func bearer(r *http.Request) string {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// say logs what keeps everybody out, once a minute: anybody can make it happen.
func (g *guarded) say(r *http.Request, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.said) >= time.Minute {
		g.said = now
		klog.FromContext(r.Context()).Error(err, "Failed to ask the API server who may read metrics and details")
	}
}
