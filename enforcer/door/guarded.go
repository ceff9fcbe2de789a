package door

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

// Guarded serves paths to those who may get them. What is none of the paths
// costs no question to anybody.
func Guarded(r Reviewer, paths map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	g := &guarded{reviewer: r}
	for path, h := range paths {
		mux.Handle(path, g.wrap(path, h))
	}
	return mux
}

type guarded struct {
	reviewer Reviewer
	mu       sync.Mutex
	said     time.Time
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
			h.ServeHTTP(w, r)
		case access == Forbidden:
			http.Error(w, "you may not get "+path+" of the agent: bind ClusterRole sluice-reader (what is enforced and denied) or sluice-metrics-reader (metrics), or another with that nonResourceURL", http.StatusForbidden)
		default:
			unauthorized(w)
		}
	})
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
