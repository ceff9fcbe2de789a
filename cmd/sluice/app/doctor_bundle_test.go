package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents/agentstest"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// Whatever agents and logs say, the caller's credentials, tokens and Secrets do not get
// into a bundle; what is in it is what the documents say.
func TestDoctorsBundleHasNoCredential(t *testing.T) {
	const mine, password = "opaque-token-of-jane", "correct horse battery staple"
	token := "eyJhbGciOiJSUzI1NiIsImtpZCI6IkFCQyJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"
	s := doctorsCluster(t)
	s.Set("/api/v1/namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: types.UID("7b0c")}})
	paths := doctorPaths(facts(agentTells("PolicyEngine", false, "kube-router", "an agent that says "+mine+" and "+token, "Authorization: Bearer abcdefgh")), func(n *diagnosis.Node) {
		n.Ruleset += "# " + token
	})
	inner := paths[nodestatus.StatusPath]
	paths[nodestatus.StatusPath] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &bytes.Buffer{}
		inner.ServeHTTP(&recorded{ResponseWriter: w, to: rec}, r)
		text := strings.Replace(rec.String(), "{", `{"token":"`+mine+`","unheard":"of `+password+`",`, 1)
		_, _ = io.WriteString(w, text)
	})
	s.Node("worker-1", mayRead(), paths)
	s.Node("worker-2", mayRead(), nil)
	s.SetText("/api/v1/namespaces/sluice-system/pods/sluice-worker-1/log", "I1130 Committed pods=3\nE1130 Unauthorized token="+token+"\nclient-key-data: aHVudGVyMg==\nGET with "+mine+"\n")
	kubeconfig := kubeconfigFor(t, s, mine)
	for _, redact := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "sluice.tar.gz")
		args := []string{"doctor", "--kubeconfig", kubeconfig, "--bundle", path}
		if redact {
			args = append(args, "--redact")
		}
		got := sluice(t, "", args...)
		if got.code != exitFailed || !strings.Contains(got.err, "look into it before you send it") {
			t.Fatalf("code %d: %s", got.code, got.err)
		}
		files, whole := unbundle(t, path)
		for _, secret := range []string{mine, token, token[:50], agentstest.ReaderToken, password, "aHVudGVyMg", "abcdefgh", s.URL} {
			if strings.Contains(whole, secret) {
				t.Errorf("redact %v: %q got in:\n%s", redact, secret, whole)
			}
		}
		var names []string
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		if !redact {
			want := []string{"README.txt", "doctor.json", "left-out.txt", "nodes/worker-1/log.txt", "nodes/worker-1/metrics.txt", "nodes/worker-1/ruleset.nft", "nodes/worker-1/status.json", "version.txt"}
			for i := range want {
				want[i] = "sluice-doctor/" + want[i]
			}
			if diff := cmp.Diff(want, names); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for name, has := range map[string]string{"nodes/worker-1/log.txt": "Committed pods=3", "left-out.txt": "worker-2", "nodes/worker-1/status.json": "db-0", "doctor.json": `"kind": "Diagnosis"`} {
				if !strings.Contains(files["sluice-doctor/"+name], has) {
					t.Errorf("%s lacks %q:\n%s", name, has, files["sluice-doctor/"+name])
				}
			}
			continue
		}
		for _, name := range []string{"worker-1", "worker-2", "shop/", "shop\"", "shop.", "db-0", "10.244.1.7", "10.0.0.7", "front"} {
			if strings.Contains(whole, name) {
				t.Errorf("%q has no pseudonym:\n%s", name, whole)
			}
		}
		if strings.Contains(whole, "log.txt\nI1130") || !strings.Contains(whole, `direction="ingress",reason="Policy"`) {
			t.Errorf("%v", names)
		}
		var r diagnosis.Report
		if err := json.Unmarshal([]byte(files["sluice-doctor/doctor.json"]), &r); err != nil || len(r.Nodes) != 1 || !strings.HasPrefix(r.Nodes[0].Node, "node-") {
			t.Errorf("%v, %+v", err, r)
		}
	}
}

// recorded keeps an answer instead of sending it.
type recorded struct {
	http.ResponseWriter
	to io.Writer
}

func (r *recorded) Write(p []byte) (int, error) { return r.to.Write(p) }

// A bundle that cannot be written leaves nothing behind.
func TestDoctorsBundleIsWholeOrNotThere(t *testing.T) {
	s := doctorsCluster(t)
	s.Node("n1", mayRead(), doctorPaths(facts()))
	dir := t.TempDir()
	got := sluice(t, "", "doctor", "--kubeconfig", kubeconfigFor(t, s, "mine"), "--bundle", filepath.Join(dir, "none", "a.tar.gz"))
	if got.code != exitFailed || !strings.Contains(got.err, "write the bundle: ") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
	err := writeWhole(filepath.Join(dir, "b.tar.gz"), func(w io.Writer) error {
		_, _ = w.Write([]byte("half"))
		return errors.New("boom")
	})
	left, readErr := os.ReadDir(dir)
	if err == nil || readErr != nil || len(left) > 0 {
		t.Errorf("%v, %v, %v", err, readErr, left)
	}
}
