package source

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
)

// patience bounds how long a Kube may be deaf before that is told. A server
// that vanished without a word is noticed at the latest when a watch has been
// quiet, is opened anew and gets no answer: 15·1.25 + 8 s, and a tick.
type patience struct {
	// hiccup is how long requests may fail: a watch that breaks off is open
	// again after one or two seconds, and nothing was missed.
	hiccup time.Duration
	// answer is how long a request may go without any answer.
	answer time.Duration
	// giveUp is when a watch without an answer is dropped and asked for anew. A
	// list gets three times as long: an API server may have it wait in a queue.
	giveUp time.Duration
	// quiet is how long, give or take a quarter, a watch may tell nothing. Then it
	// is opened anew where it ended: the answer tells a server to which nothing
	// happens from one that is deaf, and brings what the old watch missed.
	quiet time.Duration
	// proof is how long a watch must have stood to count as one that hears.
	proof time.Duration
	// tick is how often the ears are looked at.
	tick time.Duration
	// retryFirst and retryLast are the first and the last pause before a server is asked
	// again that refused or was not there: at least so long, at most twice. One that has
	// forgotten the versions since is asked twice, for a watch and then for a list, so that
	// a change is heard within 4·retryLast after it is back. client-go's own pauses are twice
	// as long; without their spread all agents would ask for lists at once.
	retryFirst, retryLast time.Duration
}

// retries are these pauses as a reflector takes them.
func (p patience) retries() *wait.Backoff {
	return &wait.Backoff{Duration: p.retryFirst, Factor: 2, Jitter: 1, Cap: p.retryLast, Steps: 64}
}

func defaultPatience() patience {
	return patience{
		hiccup: 4 * time.Second, answer: 8 * time.Second, giveUp: 20 * time.Second,
		quiet: 15 * time.Second, proof: time.Second, tick: 500 * time.Millisecond,
		retryFirst: 800 * time.Millisecond, retryLast: 15 * time.Second,
	}
}

// When what is known counts as possibly old: a request has no answer for lateAnswer, or
// nothing was heard for staleAfter, which a watch that tells nothing never comes to, for
// it is opened anew before. Once that is over it counts as old for SteadyAfter: a Pod
// may have come and gone without a word, and its sandbox lags behind.
const (
	lateAnswer = time.Second
	staleAfter = 20 * time.Second
	// SteadyAfter is also for how long the sandbox of a Pod may come that is gone from
	// the API: until the kubelet hears of it.
	SteadyAfter = time.Minute
)

// ear is what a Kube knows of how it hears about one kind of objects.
type ear struct {
	kind           EventKind
	resource, host string

	mu sync.Mutex
	// heard is when the server last said anything about the kind.
	heard time.Time
	// waiting is since when a request has no answer, zero if none waits.
	waiting time.Time
	// failing is since when no watch has stood, for the reason why; zero if
	// nothing failed.
	failing time.Time
	why     error
	// interrupted is until when something may have happened unheard, zero if nothing can.
	interrupted time.Time
	// blamed: the request under way has already said why it fails.
	blamed bool
}

// asks says that a request is under way.
func (e *ear) asks() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting, e.blamed = time.Now(), false
}

// progresses says that a piece of an answer came, and that more will.
func (e *ear) progresses() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listen(time.Now())
	e.waiting = e.heard
}

// answered says that nothing is waited for.
func (e *ear) answered() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = time.Time{}
}

// hears says that a watch stands. Only that ends a trouble: lists that succeed
// between watches that do not would hide it.
func (e *ear) hears() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listen(time.Now())
	e.waiting, e.failing, e.why = time.Time{}, time.Time{}, nil
}

// listen notes that something was heard, and whether that had a gap before it. The
// caller holds the lock.
func (e *ear) listen(now time.Time) {
	failed := !e.failing.IsZero() && now.Sub(e.failing) >= lateAnswer
	if failed || !e.heard.IsZero() && now.Sub(e.heard) >= staleAfter {
		e.interrupted = now
	}
	e.heard = now
}

// fails says that a request failed. It goes on waiting if the client tries again
// by itself. One that had no answer has failed for as long as it waited: otherwise its end
// would look like an answer, and the trouble be over until the hiccup is.
func (e *ear) fails(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failing.IsZero() {
		if e.failing = e.waiting; e.failing.IsZero() {
			e.failing = time.Now()
		}
	}
	e.why, e.blamed = err, true
}

// failsUnexplained is for an end that has a cause only if none was given before.
func (e *ear) failsUnexplained(err error) {
	e.mu.Lock()
	blamed := e.blamed
	e.mu.Unlock()
	if !blamed {
		e.fails(err)
	}
}

func (e *ear) lastHeard() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

// trouble is what there is to report, nil for nothing.
func (e *ear) trouble(now time.Time, p patience) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !e.failing.IsZero() && now.Sub(e.failing) >= p.hiccup:
		return e.describe(e.why)
	case !e.waiting.IsZero() && now.Sub(e.waiting) >= p.answer:
		return e.describe(fmt.Errorf("no answer since %s", clockTime(e.waiting)))
	}
	return nil
}

// current is why there may be more than was told, nil if there is no sign of it. It
// has no patience: nobody is told of it.
func (e *ear) current(now time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !e.failing.IsZero():
		return fmt.Errorf("the watch of %s does not stand", e.resource)
	case !e.waiting.IsZero() && now.Sub(e.waiting) >= lateAnswer:
		return fmt.Errorf("the watch of %s has no answer since %s", e.resource, clockTime(e.waiting))
	case now.Sub(e.heard) >= staleAfter:
		return fmt.Errorf("nothing was heard of %s for %v", e.resource, staleAfter)
	case now.Sub(e.interrupted) < SteadyAfter:
		return fmt.Errorf("the watch of %s stands only since %s", e.resource, clockTime(e.interrupted))
	}
	return nil
}

// describe words a trouble. The caller holds the lock.
func (e *ear) describe(why error) Trouble {
	heard := "nothing was heard of them so far"
	if !e.heard.IsZero() {
		heard = "what was known at " + clockTime(e.heard) + " stays in force"
	}
	what, mend := diagnose(why, e.resource, e.host)
	return Trouble{
		What: what, Object: e.resource,
		Message: fmt.Sprintf("the API server is not heard: %s; %s", shorten(reason(why)), heard),
		Mend:    mend,
	}
}

// reason is an error with the code of a server's answer, which says more than
// most of its texts.
func reason(err error) string {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) || answer.Status().Code == 0 {
		return err.Error()
	}
	code := int(answer.Status().Code)
	return fmt.Sprintf("it answers %d %s: %s", code, http.StatusText(code), err)
}

// diagnose finds the kind of a trouble, and what to do about it.
func diagnose(err error, resource, host string) (what, mend string) {
	var (
		unknownAuthority x509.UnknownAuthorityError
		invalid          x509.CertificateInvalidError
		wrongHost        x509.HostnameError
		record           tls.RecordHeaderError
		dial             *net.OpError
	)
	switch {
	case apierrors.IsUnauthorized(err):
		return "SourceRefused", "renew the agent's credentials: the token or certificate is expired or not this cluster's"
	case apierrors.IsForbidden(err):
		return "SourceRefused", "grant the agent list and watch of " + resource + ", as the ClusterRole of the deployment does"
	case apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) || apierrors.IsBadRequest(err):
		return "SourceRefused", host + " does not serve " + resource + ": point the agent at a Kubernetes API server"
	case apierrors.IsTooManyRequests(err):
		return "SourceSilent", "the API server is overloaded: look at its flow control, or give the agent's ServiceAccount a share"
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
		return "SourceSilent", "the API server forgets versions faster than they are asked for: look at its watch cache and at etcd"
	case errors.As(err, &unknownAuthority) || errors.As(err, &invalid) || errors.As(err, &wrongHost) || errors.As(err, &record):
		return "SourceSilent", "check that " + host + " is the API server, its certificate, the CA that the agent was given, and the node's clock"
	case errors.As(err, &dial):
		return "SourceSilent", "check that " + host + " is reachable from the node"
	}
	return "SourceSilent", "check the API server at " + host + " and what is between it and the node"
}

// longestReason bounds what of a server's answer is repeated.
const longestReason = 500

func shorten(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > longestReason {
		s = strings.ToValidUTF8(s[:longestReason], "") + "…"
	}
	return s
}

func clockTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
