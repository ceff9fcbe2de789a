package observe

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sluice-net/sluice/enforcer/denials"
)

// Format is how denials are shown.
type Format string

const (
	// Text is one line for each group of denials, again when it goes on.
	Text Format = "text"
	// Wide is Text with all that is known.
	Wide Format = "wide"
	// JSON is each denial, one a line.
	JSON Format = "json"
)

// Formats are all there are.
var Formats = []Format{Text, Wide, JSON}

// Options say how to show denials.
type Options struct {
	Format Format
	// Colour is for terminals.
	Colour bool
	// Location is where times are shown for, UTC if nil.
	Location *time.Location
	// LinesPerSecond bounds what a terminal gets, DefaultLines if 0. JSON has no bound.
	LinesPerSecond int
}

const (
	// DefaultLines a second are what a person can just follow.
	DefaultLines = 10
	// again is when a group is shown anew that goes on.
	again = 10 * time.Second
	// mostGroups bounds the groups that are known.
	mostGroups = 10_000
)

// Printer shows denials as they come. It is for one goroutine, and lets nobody's terminal
// be flooded: of a group that goes on it tells now and then, and of what is too much how
// much it was.
type Printer struct {
	out    io.Writer
	o      Options
	groups map[key]*shown
	// second is the one in which lines were written so far.
	second time.Time
	lines  int
	// leftDenials of leftGroups were not shown for want of lines.
	leftDenials int
	leftGroups  map[key]bool
	missed      uint64
}

// shown is a group that was shown.
type shown struct {
	at      time.Time
	denials int
	packets uint64
	latest  *denials.Denial
}

// NewPrinter returns a printer to a writer.
func NewPrinter(out io.Writer, o Options) *Printer {
	if o.LinesPerSecond <= 0 {
		o.LinesPerSecond = DefaultLines
	}
	return &Printer{out: out, o: o, groups: map[key]*shown{}, leftGroups: map[key]bool{}}
}

// Denial shows a denial, or notes that its group goes on.
func (p *Printer) Denial(d *denials.Denial, now time.Time) error {
	if p.o.Format == JSON {
		return p.json(d)
	}
	k := keyOf(d)
	if g := p.groups[k]; g != nil {
		g.denials++
		g.packets += d.Packets
		g.latest = d
		return nil
	}
	if len(p.groups) >= mostGroups || !p.room(now) {
		p.leftDenials++
		if len(p.leftGroups) < mostGroups {
			p.leftGroups[k] = true
		}
		return nil
	}
	p.groups[k] = &shown{at: now}
	return p.write(p.o.line(d))
}

// room takes one of the lines of this second.
func (p *Printer) room(now time.Time) bool {
	if now.Sub(p.second) >= time.Second {
		p.second, p.lines = now, 0
	}
	p.lines++
	return p.lines <= p.o.LinesPerSecond
}

// Missed notes that an agent has left out so many.
func (p *Printer) Missed(n uint64) error {
	if p.o.Format == JSON {
		return p.json(denials.NewMissed(n))
	}
	p.missed += n
	return nil
}

// Tick shows what has gone on, and what was left out. Call it every second.
func (p *Printer) Tick(now time.Time) error {
	for _, k := range p.due(now) {
		g := p.groups[k]
		if g.denials == 0 {
			delete(p.groups, k)
			continue
		}
		if !p.room(now) {
			break // its turn comes
		}
		if err := p.write(p.goesOn(g)); err != nil {
			return err
		}
		*g = shown{at: now}
	}
	if p.leftDenials > 0 {
		s := fmt.Sprintf("… %s of %s not shown, too many for a terminal: narrow it down with -n, --pod or --reason, or write -o json to a file",
			count(p.leftDenials, "denial", "denials"), count(len(p.leftGroups), "kind", "kinds"))
		p.leftDenials = 0
		clear(p.leftGroups)
		if err := p.write(s); err != nil {
			return err
		}
	}
	if p.missed > 0 {
		s := fmt.Sprintf("… %d denials are missing here: the nodes told of more than could be read", p.missed)
		p.missed = 0
		return p.write(s)
	}
	return nil
}

// due are the groups that were shown a while ago, in the order of that.
func (p *Printer) due(now time.Time) []key {
	var out []key
	for k, g := range p.groups {
		if now.Sub(g.at) >= again {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b key) int {
		if c := p.groups[a].at.Compare(p.groups[b].at); c != 0 {
			return c
		}
		return compare(a, b)
	})
	return out
}

func (p *Printer) goesOn(g *shown) string {
	d := g.latest
	return fmt.Sprintf("%s  %s  %s %s: %s, %s since %s",
		p.o.clock(d.Time), flow(d), p.o.verdict(d), d.Direction,
		count(g.denials, "more flow", "more flows"), count(int(min(g.packets, 1<<53)), "packet", "packets"), p.o.clock(g.at))
}

func (p *Printer) json(v any) error {
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write denials: %w", err)
	}
	return nil
}

func (p *Printer) write(line string) error {
	if _, err := fmt.Fprintln(p.out, line); err != nil {
		return fmt.Errorf("write denials: %w", err)
	}
	return nil
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
