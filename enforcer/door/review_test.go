package door

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
)

// apiServer is one that knows some tokens, and what whose they are may get.
type apiServer struct {
	*fake.Clientset
	users  map[string]string
	may    map[string][]string
	broken error
	asked  []authorizationv1.SubjectAccessReviewSpec
	tokens int
}

func newAPIServer() *apiServer {
	s := &apiServer{
		Clientset: fake.NewClientset(),
		users:     map[string]string{"good": "prometheus", "poor": "tenant"},
		may:       map[string][]string{"prometheus": {"/metrics"}},
	}
	s.PrependReactor("create", "tokenreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
		s.tokens++
		r := a.(k8stesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		user, ok := s.users[r.Spec.Token]
		r.Status.Authenticated = ok
		if r.Spec.Token == "expired" {
			r.Status.Authenticated, r.Status.Error = true, "token has expired"
		}
		r.Status.User = authenticationv1.UserInfo{Username: user, UID: "1", Groups: []string{"g"}, Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}}
		return true, r, s.broken
	})
	s.PrependReactor("create", "subjectaccessreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
		r := a.(k8stesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		s.asked = append(s.asked, r.Spec)
		for _, path := range s.may[r.Spec.User] {
			r.Status.Allowed = r.Status.Allowed || path == r.Spec.NonResourceAttributes.Path
		}
		return true, r, nil
	})
	return s
}

func TestReviewsAskWhoseTheTokenIsAndWhatTheyMay(t *testing.T) {
	for _, tt := range []struct {
		token, path string
		want        Access
	}{
		{"good", "/metrics", Allowed},
		{"good", "/readyz/details", Forbidden},
		{"poor", "/metrics", Forbidden},
		{"none", "/metrics", Unknown},
		{"expired", "/metrics", Unknown},
	} {
		s := newAPIServer()
		got, err := NewReviews(s, clocktesting.NewFakePassiveClock(time.Now())).Review(t.Context(), tt.token, tt.path)
		if err != nil || got != tt.want {
			t.Errorf("%s for %s: %v, %v; want %v", tt.token, tt.path, got, err, tt.want)
		}
		if tt.want == Unknown && len(s.asked) > 0 {
			t.Errorf("%s: asked what nobody may: %+v", tt.token, s.asked)
		}
	}
	s := newAPIServer()
	if _, err := NewReviews(s, clocktesting.NewFakePassiveClock(time.Now())).Review(t.Context(), "good", "/metrics"); err != nil {
		t.Fatal(err)
	}
	want := []authorizationv1.SubjectAccessReviewSpec{{
		User: "prometheus", UID: "1", Groups: []string{"g"}, Extra: map[string]authorizationv1.ExtraValue{"k": {"v"}},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"},
	}}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestReviewsCountForAShortTimeOnly(t *testing.T) {
	s, clock := newAPIServer(), clocktesting.NewFakePassiveClock(time.Now())
	r := NewReviews(s, clock)
	review := func(token string, want Access, asked int) {
		t.Helper()
		got, err := r.Review(t.Context(), token, "/metrics")
		if err != nil || got != want || s.tokens != asked {
			t.Errorf("%s: %v, %v, asked %d times; want %v, %d", token, got, err, s.tokens, want, asked)
		}
	}
	review("good", Allowed, 1)
	review("poor", Forbidden, 2)
	delete(s.users, "good")
	s.may["tenant"] = []string{"/metrics"}
	review("good", Allowed, 2)
	review("poor", Forbidden, 2)
	clock.SetTime(clock.Now().Add(refusedFor))
	review("poor", Allowed, 3)
	clock.SetTime(clock.Now().Add(allowedFor - refusedFor))
	review("good", Unknown, 4)
	// What was asked in vain is not remembered, and lets nobody in.
	s.broken = errors.New("away")
	if got, err := r.Review(t.Context(), "new", "/metrics"); err == nil || got == Allowed {
		t.Errorf("with the server away: %v, %v", got, err)
	}
	s.broken, s.users["new"], s.may["newcomer"] = nil, "newcomer", []string{"/metrics"}
	review("new", Allowed, 6)
}

func TestReviewsOfStrangersAreBounded(t *testing.T) {
	s := newAPIServer()
	r := NewReviews(s, clocktesting.NewFakePassiveClock(time.Now()))
	if _, err := r.Review(t.Context(), "good", "/metrics"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxKnown {
		if _, err := r.Review(t.Context(), fmt.Sprint("stranger", i), "/metrics"); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.known) > maxKnown {
		t.Errorf("%d answers are kept", len(r.known))
	}
	before := s.tokens
	if got, err := r.Review(t.Context(), "good", "/metrics"); err != nil || got != Allowed || s.tokens != before {
		t.Errorf("strangers pushed the answer about a reader aside: %v, %v, asked %d times", got, err, s.tokens-before)
	}
	// Even where all that is kept is about readers, another is kept.
	for i := range 2 * maxKnown {
		token := fmt.Sprint("reader", i)
		s.users[token] = "prometheus"
		if got, err := r.Review(t.Context(), token, "/metrics"); err != nil || got != Allowed {
			t.Fatal(got, err)
		}
	}
	if len(r.known) > maxKnown {
		t.Errorf("%d answers are kept", len(r.known))
	}
}
