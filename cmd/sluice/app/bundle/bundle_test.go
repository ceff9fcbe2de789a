package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

const (
	caller = "my-own-bearer-token"
	jwt    = "eyJhbGciOiJSUzI1NiIsImtpZCI6IkFCQyJ9.eyJpc3MiOiJrdWJlcm5ldGVzL3NlcnZpY2VhY2NvdW50In0.c2lnbmF0dXJlLWhlcmU"
	pem    = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIGxsb29vb29vb25nbG9uZw==\n-----END EC PRIVATE KEY-----\n"
)

// unpack reads a bundle.
func unpack(t *testing.T, data []byte) map[string]string {
	t.Helper()
	packed, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for archive := tar.NewReader(packed); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o600 {
			t.Errorf("%s has mode %o", h.Name, h.Mode)
		}
		out[h.Name] = string(text)
	}
}

func packed(t *testing.T, files []File, o Options) map[string]string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, "dir", files, o); err != nil {
		t.Fatal(err)
	}
	return unpack(t, out.Bytes())
}

// kubeconfig is as kubectl writes one, with all that it may hold.
var kubeconfig = `apiVersion: v1
kind: Config
clusters:
- cluster: {server: "https://192.0.2.1:6443", certificate-authority-data: ` + base64.StdEncoding.EncodeToString([]byte("short CA")) + `}
users:
- name: jane
  user:
    token: opaque-token-of-jane
    password: 'p w d'
    client-key-data: ` + base64.StdEncoding.EncodeToString([]byte(pem)) + `
    auth-provider: {config: {id-token: abc.def, refresh-token: "r t"}}
`

// secrets are what must not be found in any bundle, by how somebody might say it.
var secretTexts = map[string]string{
	"a token in a log":         `E1130 "Failed" err="Unauthorized" token="` + jwt + `"`,
	"a header":                 "> Authorization: Bearer opaque-value-1234",
	"a header of the password": "authorization=Basic amFuZTpzZWNyZXQ=",
	"a key":                    pem,
	"a key in a line":          strings.ReplaceAll(pem, "\n", `\n`),
	"a key without an end":     pem[:50],
	"a kubeconfig":             kubeconfig,
	"a Secret":                 "kind: Secret\ndata:\n  password: aHVudGVyMg==\nstringData: {token: hunter2}\n",
	"the environment":          "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG DB_PASSWORD=hunter2 X_TOKEN=abc",
	"keys of clouds":           "AKIAIOSFODNN7EXAMPLE k8s-aws-v1.aHR0cHM6Ly9zdHM ya29.a0AfH6SMB",
	"a bootstrap token":        "joined with abcdef.0123456789abcdef",
	"the caller's own":         "debug " + caller + " x",
	"the caller's, encoded":    base64.StdEncoding.EncodeToString([]byte(caller)),
}

// leaks are parts of these texts that must be gone.
var leaks = []string{
	jwt, jwt[:40], "opaque-value-1234", "amFuZTpzZWNyZXQ", "MHcCAQEEIGxs", "opaque-token-of-jane", "p w d", "abc.def", "r t\"",
	base64.StdEncoding.EncodeToString([]byte("short CA")), "aHVudGVyMg", "hunter2", "wJalrXUtnFEMI", "X_TOKEN=abc", "AKIAIOSFODNN7EXAMPLE",
	"aHR0cHM6Ly9zdHM", "a0AfH6SMB", "0123456789abcdef", caller, base64.StdEncoding.EncodeToString([]byte(caller)),
}

func TestNoSecretGetsIn(t *testing.T) {
	for what, text := range secretTexts {
		quoted, err := json.Marshal(map[string]any{"kind": "x", "found": text, "token": caller, "list": []string{text}, text: 1})
		if err != nil {
			t.Fatal(err)
		}
		files := []File{
			{"log.txt", []byte(text), Text}, {"metrics.txt", []byte("m{a=\"" + strings.ReplaceAll(text, "\n", " ") + "\"} 1\n"), Metrics},
			{"ruleset.nft", []byte("comment \"" + text + "\""), Ruleset}, {"status.json", quoted, JSON}, {"broken.json", quoted[:len(quoted)-1], JSON},
		}
		for name, got := range packed(t, files, Options{Secrets: []string{caller, "", " "}}) {
			for _, leak := range leaks {
				if strings.Contains(got, leak) {
					t.Errorf("%s: %s has %q: %s", what, name, leak, got)
				}
			}
			if name == "dir/status.json" && !json.Valid([]byte(got)) {
				t.Errorf("%s: %s is no document any more: %s", what, name, got)
			}
			if !strings.Contains(got, removed) {
				t.Errorf("%s: %s says nothing of what was taken out: %s", what, name, got)
			}
		}
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	text := `I1130 12:00:00.000000 "Committed" pods=3 seconds=0.01
create serviceaccounts/token of sluice-reader in namespace sluice-system: you may not do that
chain db4kfjrzpvp6aei2mavm3-ingress-shop.db-1 { ip saddr 10.0.0.1 accept comment "x" }
uid 7d5f3c2a-0b1e-4f5a-9c8d-1a2b3c4d5e6f, image sha256:0123456789012345678901234567890123456789012345678901234567890123
`
	if got := packed(t, []File{{"a", []byte(text), Text}}, Options{Secrets: []string{caller}})["dir/a"]; got != text {
		t.Errorf("%s", got)
	}
}

func TestABundleThatWouldHoldACredentialIsNotWritten(t *testing.T) {
	// A pseudonym's letters are the one thing that is put in after the scrubbing.
	names := NewNames([]byte("salt"))
	names.Add("x", "shop")
	var out bytes.Buffer
	err := Write(&out, "dir", []File{{"a", []byte("shop"), Text}}, Options{Names: names, Secrets: []string{names.known["shop"]}})
	if err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("%v", err)
	}
}

func TestNamesHaveTheSamePseudonymEverywhere(t *testing.T) {
	status := `{"kind":"NodeStatus","node":"worker-1","pods":[{"namespace":"shop","name":"db-0","addresses":["10.244.1.7","fd00::7"],"ingress":["shop/db-policy"]}],
"conditions":[{"what":"PodUnresolved","object":"Pod guests/visitor-9","message":"10.244.1.9: there is no route to it; Pod shop/db-0 waits, as 127.0.0.1 and 0.0.0.0/0"}],"feature":{"name":"family inet"}}`
	ruleset := "chain c7777777777777777777a-ingress-shop.db-0 { ip saddr 10.244.1.7 counter name \"d7777777777777777777a-egress-unheard.of-5\" ether saddr 02:fc:00:00:00:01 }\n"
	metrics := "# HELP sluice_denials_total x\nsluice_denials_total{namespace=\"shop\",workload=\"Deployment/front\",direction=\"ingress\",reason=\"Policy\"} 3\nsluice_conditions{what=\"PodUnresolved\"} 1\n"
	files := []File{
		{"nodes/worker-1/metrics.txt", []byte(metrics), Metrics}, {"nodes/worker-1/ruleset.nft", []byte(ruleset), Ruleset},
		{"nodes/worker-1/status.json", []byte(status), JSON}, {"note.txt", []byte("worker-1 and shop/db-0, shop.db-0.example, workshop, kube-system; guests/visitor-9."), Text},
	}
	bundled := func(salt string) map[string]string {
		names := NewNames([]byte(salt))
		names.Learn([]byte(status))
		return packed(t, files, Options{Names: names})
	}
	got := bundled("salt")
	whole := ""
	for name, text := range got {
		whole += name + "\n" + text
	}
	for _, gone := range []string{"worker-1", "shop/", "shop.", "\"shop\"", "db-0", "db-policy", "visitor", "guests", "10.244.1.7", "10.244.1.9", "fd00::7", "02:fc:00:00:00:01", "front", "unheard"} {
		if strings.Contains(whole, gone) {
			t.Errorf("%s is there: %s", gone, whole)
		}
	}
	for _, stays := range []string{"workshop", "kube-system", "127.0.0.1", "0.0.0.0/0", "PodUnresolved", `direction="ingress",reason="Policy"`, "family inet", "c7777777777777777777a-redacted"} {
		if !strings.Contains(whole, stays) {
			t.Errorf("%s is gone: %s", stays, whole)
		}
	}
	names := NewNames([]byte("salt"))
	names.Add("node", "worker-1")
	if node := names.known["worker-1"]; got["dir/nodes/"+node+"/status.json"] == "" || !strings.Contains(got["dir/note.txt"], node+" and ") {
		t.Errorf("%s is not the same everywhere: %s", node, whole)
	}
	if again := bundled("salt"); again["dir/note.txt"] != got["dir/note.txt"] {
		t.Error("another bundle of the same cluster has other pseudonyms")
	}
	if other := bundled("pepper"); other["dir/note.txt"] == got["dir/note.txt"] {
		t.Error("another cluster has the same pseudonyms")
	}
}

func TestBundlesAreBounded(t *testing.T) {
	got := packed(t, []File{{"a", bytes.Repeat([]byte("ab "), MaxFile/3+100), Text}}, Options{Time: time.Unix(1, 0)})["dir/a"]
	if len(got) > MaxFile+10 || !strings.HasSuffix(got, "(cut)\n") {
		t.Errorf("%d bytes", len(got))
	}
}

// Whatever is around a secret: it does not get through, and a document stays one.
func FuzzScrub(f *testing.F) {
	for _, text := range secretTexts {
		f.Add(text, "a ", " b")
	}
	f.Add("", "{\"a\":", "}")
	f.Fuzz(func(t *testing.T, text, before, after string) {
		if strings.Contains(before+after+text, caller) {
			return
		}
		for _, secret := range []string{caller, base64.StdEncoding.EncodeToString([]byte(caller))} {
			if got := Scrub([]byte(before+secret+after), []string{caller}); bytes.Contains(got, []byte(secret)) {
				t.Errorf("%q", got)
			}
		}
		if got := Scrub([]byte(before+"\n"+pem+after), nil); bytes.Contains(got, []byte("MHcCAQEEIGxs")) {
			t.Errorf("%q", got)
		}
		doc, err := json.Marshal(map[string]string{before: text, "x": after})
		if err == nil && !json.Valid(scrubJSON(doc, []string{caller})) {
			t.Errorf("%q", scrubJSON(doc, []string{caller}))
		}
		names := NewNames([]byte("s"))
		names.Add("name", "shop")
		for _, form := range []Form{Text, Metrics, Ruleset} {
			if _, err := names.redact([]byte(before+text+after), form); err != nil {
				t.Error(err)
			}
		}
	})
}
