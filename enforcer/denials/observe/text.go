package observe

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-net/sluice/enforcer/denials"
)

// clockTime is how times are shown: nobody follows for longer than a day.
const clockTime = "15:04:05"

// flow is who asked whom for what.
func flow(d *denials.Denial) string {
	return plain(d.Src.Name()) + " → " + plain(destination(d))
}

// destination is the end that was asked, with the port.
func destination(d *denials.Denial) string {
	if d.Port == 0 {
		return d.Dst.Name() + " " + d.Target()
	}
	name := d.Dst.Name()
	if a, err := netip.ParseAddr(name); err == nil && a.Is6() {
		name = "[" + name + "]"
	}
	return name + ":" + d.Target()
}

// line shows a denial in one line.
func (o *Options) line(d *denials.Denial) string {
	s := fmt.Sprintf("%s  %s  %s %s: %s", o.clock(d.Time), flow(d), o.verdict(d), d.Direction, plain(d.Message))
	if o.Format == Wide {
		s += "  " + plain(details(d))
	}
	return s
}

// details are what a line leaves out.
func details(d *denials.Denial) string {
	var out []string
	add := func(name, value string) {
		if value != "" {
			out = append(out, name+"="+value)
		}
	}
	add("reason", string(d.Reason))
	add("node", d.Node)
	add("from", d.Src.Workload)
	add("fromAddress", d.Src.Address)
	add("to", d.Dst.Workload)
	add("toAddress", d.Dst.Address)
	if s := d.Service; s != nil {
		add("service", serviceName(s))
	}
	if d.Generation != 0 {
		add("generation", fmt.Sprint(d.Generation))
	}
	if d.Approximate {
		add("approximate", "true")
	}
	add("packets", fmt.Sprint(d.Packets))
	return strings.Join(out, " ")
}

func serviceName(s *denials.Service) string {
	to := s.Address
	if a, err := netip.ParseAddr(s.Address); err == nil && s.Port != 0 {
		to = netip.AddrPortFrom(a, s.Port).String()
	}
	if s.Name == "" {
		return to
	}
	return s.Name + "(" + to + ")"
}

// Table shows groups as a table.
func (o *Options) Table(groups []Group) string {
	header := []string{"LAST", "DENIALS", "PACKETS", "FROM", "TO", "PORT", "DIRECTION", "REASON"}
	if o.Format == Wide {
		header = append(header, "FIRST", "NODES", "LATEST")
	}
	rows := [][]string{append(header, "WHY")}
	for i := range groups {
		g := &groups[i]
		d := g.Latest
		row := []string{
			o.clock(d.Time), fmt.Sprint(g.Denials), fmt.Sprint(g.Packets),
			d.Src.Group(), d.Dst.Group(), d.Target(), d.Direction, string(d.Reason),
		}
		if o.Format == Wide {
			row = append(row, o.clock(g.First), strings.Join(g.Nodes, ","), flow(d))
		}
		rows = append(rows, append(row, why(d)))
	}
	return columns(rows)
}

// why is the sentence without what the other columns say.
func why(d *denials.Denial) string {
	if d.Nearest != nil {
		return fmt.Sprintf("%s %s[%d]: %s", d.Nearest.Policy, d.Direction, d.Nearest.Rule, d.Nearest.Why)
	}
	return d.Message
}

func (o *Options) clock(t time.Time) string {
	if o.Location != nil {
		t = t.In(o.Location)
	}
	return t.Format(clockTime)
}

// verdict says in a word what became of the flow.
func (o *Options) verdict(d *denials.Denial) string {
	if d.Reason == denials.Audit {
		return o.red("WOULD DENY")
	}
	return o.red("DENIED")
}

func (o *Options) red(s string) string {
	if !o.Colour {
		return s
	}
	return "\x1b[1;31m" + s + "\x1b[0m"
}

// columns aligns rows; the last cell runs on.
func columns(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i := range row {
			row[i] = plain(row[i])
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// plain takes out of a text what a terminal would obey: it may be from a policy that
// anybody has written.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Cf, r) {
			return '?'
		}
		return r
	}, s)
}
