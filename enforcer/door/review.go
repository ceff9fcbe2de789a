package door

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// Access is what somebody may do.
type Access int

const (
	// Unknown: whoever asks did not prove who they are.
	Unknown Access = iota
	// Forbidden: they did, and may not.
	Forbidden
	// Allowed: they may.
	Allowed
)

// Reviewer decides whether the bearer of a token may get a path.
type Reviewer interface {
	Review(ctx context.Context, token, path string) (Access, error)
}

// How long an answer of the API server counts: so long does one go on reading
// whose rights were withdrawn, and is one refused who was given some.
const (
	allowedFor = 30 * time.Second
	refusedFor = 10 * time.Second
)

// maxKnown bounds the answers that are kept. Strangers' tokens never push aside
// the answers about those who may.
const maxKnown = 256

// reviewTimeout bounds one question.
const reviewTimeout = 10 * time.Second

// Reviews asks the API server, as kube-rbac-proxy does: a TokenReview says whose
// token it is, a SubjectAccessReview whether they may get the path, as a
// nonResourceURL.
type Reviews struct {
	client kubernetes.Interface
	clock  clock.PassiveClock

	mu    sync.Mutex
	known map[question]answer
}

// question is a hash of token and path: the token itself is not kept.
type question [sha256.Size]byte

type answer struct {
	access Access
	until  time.Time
}

// NewReviews keeps answers by the clock.
func NewReviews(client kubernetes.Interface, c clock.PassiveClock) *Reviews {
	return &Reviews{client: client, clock: c, known: map[question]answer{}}
}

// ReviewClientConfig is for a client of its own: strangers who knock must not
// use up what the agent's own requests are allowed.
func ReviewClientConfig(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.QPS, c.Burst = 10, 20
	c.RateLimiter = nil
	c.Timeout = reviewTimeout
	return c
}

// Review answers from what is known, or asks.
func (r *Reviews) Review(ctx context.Context, token, path string) (Access, error) {
	q := question(sha256.Sum256([]byte(path + "\x00" + token)))
	if a, ok := r.recall(q); ok {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	a, err := r.ask(ctx, token, path)
	if err != nil {
		return Unknown, err
	}
	r.keep(q, a)
	return a, nil
}

func (r *Reviews) recall(q question) (Access, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.known[q]
	return a.access, ok && r.clock.Now().Before(a.until)
}

func (r *Reviews) keep(q question, access Access) {
	now := r.clock.Now()
	until := now.Add(refusedFor)
	if access == Allowed {
		until = now.Add(allowedFor)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[q]; !ok && len(r.known) >= maxKnown && !r.makeRoom(now, access) {
		return
	}
	r.known[q] = answer{access, until}
}

// makeRoom forgets what is over, and then one that was refused; of those who
// may, one only for another such.
func (r *Reviews) makeRoom(now time.Time, access Access) bool {
	for q, a := range r.known {
		if !now.Before(a.until) {
			delete(r.known, q)
		}
	}
	if len(r.known) < maxKnown {
		return true
	}
	for q, a := range r.known {
		if a.access != Allowed {
			delete(r.known, q)
			return true
		}
	}
	if access != Allowed {
		return false
	}
	for q := range r.known {
		delete(r.known, q)
		break
	}
	return true
}

func (r *Reviews) ask(ctx context.Context, token, path string) (Access, error) {
	who, err := r.client.AuthenticationV1().TokenReviews().Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return Unknown, fmt.Errorf("review a token: %w", err)
	}
	// Only both together are a proof: the server may say why it is none.
	if !who.Status.Authenticated || who.Status.Error != "" {
		return Unknown, nil
	}
	user := who.Status.User
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	may, err := r.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return Unknown, fmt.Errorf("review access to %s: %w", path, err)
	}
	if !may.Status.Allowed || may.Status.Denied {
		return Forbidden, nil
	}
	return Allowed, nil
}
