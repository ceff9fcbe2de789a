package app

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// patience is how many seconds something may take before a terminal is told what it is.
const patience = 2

// busy says on the terminal of whoever waits what takes so long, until done is called, and
// leaves nothing behind. Where diagnostics go to no terminal it says nothing.
func (s *IOStreams) busy(what string) (done func()) {
	if !commands(s.ErrOut) {
		return func() {}
	}
	ticker := time.NewTicker(time.Second)
	erase := draw(s.ErrOut, what, ticker.C)
	return func() {
		ticker.Stop()
		erase()
	}
}

// draw writes a line at each tick, one a second, when there were enough of them. What it
// returns waits until the line is gone.
func draw(w io.Writer, what string, ticks <-chan time.Time) (erase func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for seconds := 0; ; {
			select {
			case <-ticks:
				if seconds++; seconds >= patience {
					fmt.Fprintf(w, eraseLine+"%s … %d s", what, seconds)
				}
			case <-quit:
				if seconds >= patience {
					fmt.Fprint(w, eraseLine)
				}
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-ended
	})
}

// eraseLine clears the line of the cursor and goes to its beginning.
const eraseLine = "\r\x1b[2K"
