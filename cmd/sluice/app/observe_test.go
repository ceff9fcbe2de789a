package app

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents/agentstest"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// aDenial is a line that an agent writes, so many seconds after the start.
func aDenial(seconds int, from string) string {
	return fmt.Sprintf(`{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"Denial","time":%q,"direction":"ingress","reason":"Policy","message":"policy shop/db isolates shop/db-0 for ingress and none of its rules allows it",`+
		`"src":{"kind":"Pod","namespace":"shop","pod":%q,"address":"10.0.0.1"},"dst":{"kind":"Pod","namespace":"shop","pod":"db-0","address":"10.0.0.2"},"protocol":"TCP","port":5432,"policies":["shop/db"],"packets":1}`+"\n",
		began.Add(time.Duration(seconds)*time.Second).Format(time.RFC3339Nano), from)
}

// tells is an agent that tells of denials: the function gets the question, and what number
// of it that is. What it returns last, if hold is said, stays open.
func tells(f func(q denials.Query, n int) (lines string, hold bool)) map[string]http.Handler {
	var mu sync.Mutex
	n := 0
	return map[string]http.Handler{nodestatus.DenialsPath: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := denials.ParseQuery(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		lines, hold := f(q, n)
		n++
		mu.Unlock()
		_, _ = fmt.Fprint(w, lines)
		_ = http.NewResponseController(w).Flush()
		if hold {
			<-r.Context().Done()
		}
	})}
}

func TestObserveMergesWhatNodesTell(t *testing.T) {
	s := agentstest.New(t)
	var asked denials.Query
	s.Node("n1", mayRead(), tells(func(q denials.Query, _ int) (string, bool) {
		asked = q
		return aDenial(1, "web-0") + aDenial(5, "web-0"), false
	}))
	s.Node("n2", mayRead(), tells(func(denials.Query, int) (string, bool) {
		return aDenial(3, "api-0") + `{"apiVersion":"sluice-net.github.io/v1alpha1","kind":"DenialsMissed","missed":4}` + "\n", false
	}))
	s.Node("n3", mayRead(), tells(func(denials.Query, int) (string, bool) { return "what is this\n", false }))
	kubeconfig := kubeconfigFor(t, s, "mine")
	got := sluice(t, "", "observe", "--kubeconfig", kubeconfig, "-n", "shop", "--pod", "db-0", "--reason", "Policy,Guard", "--last", "10m", "--tail", "5", "-o", "json")
	var order []string
	for line := range strings.Lines(got.out) {
		d, missed, err := denials.ParseLine([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if d != nil {
			order = append(order, d.Node+" "+d.Src.Pod)
		} else {
			order = append(order, fmt.Sprint(missed))
		}
	}
	if got, want := fmt.Sprint(order), "[n1 web-0 n2 api-0 n1 web-0 4]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got.code != exitFailed || !strings.Contains(got.err, "error: node n3: read denial: ") {
		t.Errorf("code %d: %s", got.code, got.err)
	}
	if asked.Namespace != "shop" || asked.Pod != "db-0" || len(asked.Reasons) != 2 || asked.Last != 10*time.Minute || asked.Tail != 5 || asked.Follow {
		t.Errorf("asked for %+v", asked)
	}
	got = sluice(t, "", "observe", "--kubeconfig", kubeconfig, "--node", "n1")
	if got.code != exitOK || strings.Count(got.out, "\n") != 2 || !strings.Contains(got.out, "shop/Pod/web-0") || !strings.Contains(got.out, "5432/TCP") {
		t.Errorf("code %d: %s%s", got.code, got.out, got.err)
	}
	if asked.Namespace != "" {
		t.Errorf("without -n it asks for namespace %q", asked.Namespace)
	}
}

// lines is a writer that tells of each line.
type lines struct {
	mu   sync.Mutex
	b    bytes.Buffer
	each func(line string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Write(p)
	for {
		line, err := l.b.ReadString('\n')
		if err != nil {
			l.b.WriteString(line)
			return len(p), nil
		}
		l.each(line)
	}
}

// A stream that breaks off is opened anew, and tells nothing twice.
func TestObserveFollows(t *testing.T) {
	s := agentstest.New(t)
	s.Node("n1", mayRead(), tells(func(q denials.Query, n int) (string, bool) {
		if !q.Follow || n > 0 && q.Last == 0 {
			t.Errorf("asked for %+v", q)
		}
		if n == 0 {
			return aDenial(1, "web-0") + aDenial(2, "web-1"), false
		}
		return aDenial(2, "web-1") + aDenial(2, "web-2"), true
	}))
	s.Node("n2", mayRead(), tells(func(denials.Query, int) (string, bool) { return aDenial(1, "api-0"), true }))
	s.Node("n3", nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := map[string]int{}
	out := &lines{each: func(line string) {
		d, _, err := denials.ParseLine([]byte(line))
		if err != nil {
			t.Error(err)
			return
		}
		if seen[d.Src.Pod]++; len(seen) == 4 {
			cancel()
		}
	}}
	var errOut bytes.Buffer
	code := Main(ctx, []string{"observe", "-f", "-o", "json", "--kubeconfig", kubeconfigFor(t, s, "mine")}, IOStreams{In: strings.NewReader(""), Out: out, ErrOut: &errOut})
	if len(seen) != 4 || seen["web-1"] != 1 || seen["web-2"] != 1 {
		t.Errorf("%v", seen)
	}
	if code != exitFailed || !strings.Contains(errOut.String(), "node n3: no agent runs there") {
		t.Errorf("code %d: %s", code, errOut.String())
	}
}
