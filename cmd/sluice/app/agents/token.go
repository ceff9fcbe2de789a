package agents

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// tokenFor is how long a token of the reader's account is good: the least that the
	// API server gives.
	tokenFor = 10 * time.Minute
	// renewBefore is how long before its end it is renewed.
	renewBefore = 2 * time.Minute
	// ownFor is for how long nobody looks whether there is a better token than the
	// caller's own.
	ownFor = 30 * time.Second
)

// tokens are what is shown to the agents: a token of [ReaderAccount], which is good for
// nothing else, or the caller's own where the caller may not have one of those. A
// caller's token is shown to every node, so that who holds a node could use it; those who
// may do most may have one of the account's, too.
type tokens struct {
	client    kubernetes.Interface
	config    *rest.Config
	namespace string
	now       func() time.Time

	mu    sync.Mutex
	token string
	until time.Time
}

// get returns a token that is good for a while.
func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && t.now().Before(t.until) {
		return t.token, nil
	}
	seconds := int64(tokenFor / time.Second)
	r, err := t.client.CoreV1().ServiceAccounts(t.namespace).CreateToken(ctx, ReaderAccount, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds},
	}, metav1.CreateOptions{})
	switch {
	case err == nil:
		t.token, t.until = r.Status.Token, t.now().Add(tokenFor-renewBefore)
		if end := r.Status.ExpirationTimestamp.Time; !end.IsZero() {
			t.until = end.Add(-renewBefore)
		}
		return t.token, nil
	case !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err):
		return "", fmt.Errorf("ask for a token of ServiceAccount %s/%s: %w", t.namespace, ReaderAccount, err)
	}
	own, ownErr := ownToken(ctx, t.config)
	if ownErr != nil {
		return "", fmt.Errorf("no token to show to the agents: %w, and one of ServiceAccount %s/%s is not given: %w (bind Role sluice-reader of namespace %s to who asks)",
			ownErr, t.namespace, ReaderAccount, err, t.namespace)
	}
	// Whoever made it renews it, and the caller's rights may change.
	t.token, t.until = own, t.now().Add(ownFor)
	return own, nil
}

// ownToken is the token that requests with a kubeconfig bear, wherever it comes from: a
// request is made as any other, and stopped where it would leave.
func ownToken(ctx context.Context, config *rest.Config) (string, error) {
	if config.Impersonate.UserName != "" {
		return "", errors.New("the kubeconfig's token is not that of whom --as names")
	}
	var last recorder
	through, err := rest.HTTPWrappersForConfig(config, &last)
	if err != nil {
		return "", fmt.Errorf("the kubeconfig's credentials cannot be had: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://localhost/", nil)
	if err != nil {
		return "", err
	}
	answer, err := through.RoundTrip(r)
	if err != nil {
		return "", fmt.Errorf("the kubeconfig's credentials cannot be had: %w", err)
	}
	_ = answer.Body.Close()
	scheme, token, _ := strings.Cut(last.authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errors.New("the kubeconfig has no bearer token, and a client certificate cannot be shown to them")
	}
	return token, nil
}

// recorder is where a request ends.
type recorder struct{ authorization string }

// RoundTrip is of [http.RoundTripper].
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.authorization = request.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: request}, nil
}
