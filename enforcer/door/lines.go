package door

import (
	"errors"
	"net/http"
	"time"
)

// lineWrite is how long one write of an answer of lines may take. Who follows and does not
// read is let go.
const lineWrite = 30 * time.Second

// BeginLines begins an answer of JSON lines; nil where none is wanted, or nobody is there.
// Each write of it is sent at once.
func BeginLines(w http.ResponseWriter, r *http.Request) *Lines {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return nil
	}
	out := &Lines{w: w, control: http.NewResponseController(w)}
	// The header at once: who follows wants to know that somebody answers.
	if out.begin() != nil {
		return nil
	}
	return out
}

// Lines is an answer for who may stay for hours, which the server's own limit does not
// let anybody. Each write has its own.
type Lines struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (p *Lines) begin() error {
	// The request was read. Its time limit would end the connection.
	if err := errors.Join(unlessUnsupported(p.control.SetReadDeadline(time.Time{})), p.extend()); err != nil {
		return err
	}
	p.w.WriteHeader(http.StatusOK)
	return p.flush()
}

func (p *Lines) Write(b []byte) (int, error) {
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
func (p *Lines) extend() error {
	return unlessUnsupported(p.control.SetWriteDeadline(time.Now().Add(lineWrite)))
}

func (p *Lines) flush() error { return unlessUnsupported(p.control.Flush()) }

func unlessUnsupported(err error) error {
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
