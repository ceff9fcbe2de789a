package enforcer

import (
	"errors"
	"net/http"
	"time"

	"github.com/sluice-net/sluice/enforcer/denials"
)

// DenialsPath is where denials are asked for: [denials.ParseQuery] says how, and
// [denials.ParseLine] reads the answer.
const DenialsPath = "/v1/denials"

const (
	// denialsWrite is how long one write of an answer may take. Who follows and does not
	// read is let go.
	denialsWrite = 30 * time.Second
	// denialsAtOnce bounds the earlier denials of one answer where the query does not.
	denialsAtOnce = denials.DefaultKeep
)

// DenialsHandler answers with denials as lines of JSON: those that are kept, and, if
// asked to follow, what comes until the client or the agent has enough. Who may ask is the
// door's matter.
func (a *Agent) DenialsHandler() http.Handler { return http.HandlerFunc(a.serveDenials) }

func (a *Agent) serveDenials(w http.ResponseWriter, r *http.Request) {
	store := a.Denials()
	if store == nil {
		http.Error(w, "this agent does not read denials: it was started with --denials=off", http.StatusNotFound)
		return
	}
	query, err := denials.ParseQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	filter, err := query.Filter(a.cfg.Clock.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	most := query.Tail
	if most == 0 {
		most = denialsAtOnce
	}
	var following *denials.Subscription
	var earlier []*denials.Denial
	if !query.Follow {
		earlier = store.Find(filter, most)
	} else if following, earlier, err = store.Follow(filter, most); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	} else {
		defer following.Close()
	}
	out := beginLines(w, r)
	if out == nil {
		return
	}
	// A client that hung up needs no answer. When the agent ends its doors close all
	// connections, and the request's context ends with its own.
	_ = denials.WriteLines(r.Context(), following, earlier, out)
}

// beginLines begins an answer of JSON lines; nil where none is wanted, or nobody is there.
func beginLines(w http.ResponseWriter, r *http.Request) *patientWriter {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return nil
	}
	out := &patientWriter{w: w, control: http.NewResponseController(w)}
	// The header at once: who follows wants to know that somebody answers.
	if out.begin() != nil {
		return nil
	}
	return out
}

// patientWriter writes to who may stay for hours, which the server's own limit does not
// let anybody. Each write has its own.
type patientWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (p *patientWriter) begin() error {
	// The request was read. Its time limit would end the connection.
	if err := errors.Join(unlessUnsupported(p.control.SetReadDeadline(time.Time{})), p.extend()); err != nil {
		return err
	}
	p.w.WriteHeader(http.StatusOK)
	return p.flush()
}

func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.extend(); err != nil {
		return 0, err
	}
	n, err := p.w.Write(b)
	if err != nil {
		return n, err
	}
	return n, p.flush()
}

// extend and flush do what the connection can: a test's recorder can less.
func (p *patientWriter) extend() error {
	return unlessUnsupported(p.control.SetWriteDeadline(time.Now().Add(denialsWrite)))
}

func (p *patientWriter) flush() error { return unlessUnsupported(p.control.Flush()) }

func unlessUnsupported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
