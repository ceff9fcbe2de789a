package nodestatus

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

var db = types.NamespacedName{Namespace: "shop", Name: "db"}

func TestQueriesTravel(t *testing.T) {
	for _, q := range []Query{{}, {Summary: true}, {Namespace: "shop"}, {Pod: db}, {Policy: db, Namespace: "shop", Summary: true}} {
		back, err := ParseQuery(q.Values())
		if diff := cmp.Diff(q, back); err != nil || diff != "" {
			t.Errorf("%+v: %v\n%s", q, err, diff)
		}
	}
	for _, w := range []Wait{
		{Kind: PolicyObject, Name: db, UID: "u", ResourceVersion: "7"},
		{Kind: PodObject, Name: db, UID: "u", Deleted: true, Timeout: 3 * time.Second},
		{Kind: PodObject, Name: db, Deleted: true},
		{Kind: NamespaceObject, Name: types.NamespacedName{Name: "shop"}, UID: "u", ResourceVersion: "7", Timeout: MaxWait},
	} {
		back, err := ParseWait(w.Values())
		if diff := cmp.Diff(w, back); err != nil || diff != "" {
			t.Errorf("%+v: %v\n%s", w, err, diff)
		}
	}
}

func TestQueriesAreChecked(t *testing.T) {
	for query, want := range map[string]string{
		"pods=a/b":          `there is no "pods"`,
		"summary=perhaps":   "summary: ",
		"pod=web":           "no namespace/name",
		"pod=a/b/c":         "no namespace/name",
		"pod=":              "no namespace/name",
		"pod=a/b&pod=a/c":   "2 times",
		"policy=/x":         "no namespace/name",
		"namespace=" + long: "letters",
	} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseQuery(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", query, err)
		}
	}
	for query, want := range map[string]string{
		"uid=u&resourceVersion=1":                           "one of",
		"policy=a/b&pod=a/b&uid=u&resourceVersion=1":        "one of them",
		"policy=a/b&resourceVersion=1":                      "uid: ",
		"policy=a/b&uid=u":                                  "resourceVersion: ",
		"policy=a/b&uid=u&resourceVersion=1&deleted=true":   "one of them",
		"policy=a/b&uid=u&resourceVersion=1&timeout=21s":    "timeout: ",
		"policy=a/b&uid=u&resourceVersion=1&timeout=-1s":    "timeout: ",
		"policy=a/b&uid=u&resourceVersion=1&timeout=a":      "timeout: ",
		"namespace=a/b&uid=u&resourceVersion=1":             "no name",
		"namespace=a&uid=u&resourceVersion=1&deleted=maybe": "deleted: ",
	} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseWait(v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

var long = strings.Repeat("a", maxValue+1)

func TestAnswersOfAnotherVersionAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"apiVersion":"sluice-net.github.io/v2","kind":"WaitAnswer","state":"Enforced"}`:       "one version",
		`{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"NodeStatus","state":"Enforced"}`: "one version",
		`ok`: "read answer",
	} {
		if _, err := ParseAnswer([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := ParseNode([]byte(`{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"WaitAnswer"}`)); err == nil {
		t.Error("an answer to a wait is no status")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("policy=a/b&uid=u&resourceVersion=1&timeout=1s")
	f.Add("namespace=a&uid=u&deleted=true")
	f.Add("pod=a/b&summary=1")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		if q, err := ParseQuery(v); err == nil {
			if again, err := ParseQuery(q.Values()); err != nil || again != q {
				t.Errorf("%+v becomes %+v: %v", q, again, err)
			}
		}
		if w, err := ParseWait(v); err == nil {
			if again, err := ParseWait(w.Values()); err != nil || again != w {
				t.Errorf("%+v becomes %+v: %v", w, again, err)
			}
		}
	})
}
