package rounds

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// TestGoldenTranscripts replays what stands in testdata. A line that begins with ">"
// tells the state what is seen, the indented lines below say what it answers, and its
// last one, in brackets, how things stand then.
func TestGoldenTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d transcripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			l := &loop{now: time.Unix(1_000_000, 0), out: &out}
			for line := range strings.Lines(string(want)) {
				line = strings.TrimRight(line, "\n")
				switch {
				case strings.HasPrefix(line, "> "):
					fmt.Fprintln(&out, line)
					if err := l.command(strings.Fields(line[2:])); err != nil {
						t.Fatalf("%s: %v", line, err)
					}
				case line == "" || strings.HasPrefix(line, "#"):
					fmt.Fprintln(&out, line)
				}
			}
			if *update {
				if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// loop plays the sync loop: it asks in the same order, and the script says what it sees
// and what fails.
type loop struct {
	*State
	now   time.Time
	out   *bytes.Buffer
	said  []string
	value uint32
	// inForce: the kernel is known to write one value.
	inForce bool
}

func (l *loop) say(format string, args ...any) { fmt.Fprintf(l.out, "  "+format+"\n", args...) }

func (l *loop) has(word string) bool { return slices.Contains(l.said, word) }

// of is the value of name=value, empty if it is not given.
func (l *loop) of(name string) string {
	for _, w := range l.said {
		if v, ok := strings.CutPrefix(w, name+"="); ok {
			return v
		}
	}
	return ""
}

// due is a duration, or negative if it is not given.
func (l *loop) due(name string) time.Duration {
	if d, err := time.ParseDuration(l.of(name)); err == nil {
		return d
	}
	return -1
}

var words = map[string]string{
	"start":  "table epoch grace bits wants-grace",
	"wait":   "",
	"sleep":  "curious woken tidy= connections= guards= ports= peek=",
	"round":  "partly synced settle events touched curious drifted vanished moved narrows distrusted empty noticed idle fails=",
	"judged": "pickups bits",
}

func (l *loop) command(fields []string) error {
	l.said = fields[1:]
	known, ok := words[fields[0]]
	if !ok {
		return fmt.Errorf("unknown command")
	}
	for _, w := range l.said {
		name, _, assigned := strings.Cut(w, "=")
		if assigned {
			name += "="
		}
		if fields[0] != "wait" && !slices.Contains(strings.Fields(known), name) {
			return fmt.Errorf("unknown word %q", w)
		}
	}
	switch fields[0] {
	case "start":
		c := Config{MinInterval: 50 * time.Millisecond, RetryMin: 100 * time.Millisecond, RetryMax: 30 * time.Second, InspectInterval: 10 * time.Second}
		if l.has("wants-grace") {
			c.Grace = time.Minute
		}
		l.State = New(c, Found{Table: l.has("table"), Epoch: l.has("epoch"), Grace: l.has("grace"), OtherBits: l.has("bits")}, l.now)
		l.inForce, l.value = l.has("table") && l.has("epoch"), 0
	case "wait":
		d, err := time.ParseDuration(fields[1])
		if err != nil {
			return err
		}
		l.now = l.now.Add(d)
		return nil
	case "sleep":
		l.sleep()
	case "round":
		l.round()
	case "judged":
		if l.has("pickups") {
			l.PickupsJudged()
		}
		if l.has("bits") {
			l.OtherBitsCleared()
		}
	}
	l.say("[%s]", l.State)
	return nil
}

func (l *loop) sleep() {
	pause, deaf := l.Pause(Dues{
		Tidy: l.due("tidy"), Connections: l.due("connections"), Guards: l.due("guards"), Ports: l.due("ports"), Peek: l.due("peek"),
	}, l.has("curious"), l.now)
	switch {
	case l.has("woken") && deaf:
		l.say("sleep %v, deaf to what happens", pause)
	case l.has("woken"):
		l.Woken()
		pause = l.HoldBack(l.now)
		l.say("woken; hold back %v", pause)
	default:
		l.say("sleep %v", pause)
	}
	l.now = l.now.Add(pause)
}

// round is what the agent does in a round (syncer.sync), with a kernel that takes no time.
func (l *loop) round() {
	tables, others := l.Inspect(l.now)
	if tables {
		l.say("look whether our tables are there%s", map[bool]string{true: ": they are not"}[l.has("vanished")])
		if l.has("vanished") {
			l.Vanished()
		}
	}
	if others {
		l.say("look for other programs")
	}
	if l.Begin(l.has("curious")) {
		l.say("only far ends are looked at")
	}
	worked, failed := l.sync()
	retry := l.Ended(Outcome{Failed: failed, Worked: worked, Noticed: l.has("noticed")}, l.now)
	if failed {
		l.say("failed; again in %v", retry)
	}
}

func (l *loop) sync() (worked, failed bool) {
	l.say("take %s", map[bool]string{true: "all mail", false: "mail in turn"}[l.TakesAll()])
	if l.Hear(Mail{Synced: l.has("synced"), Partly: l.has("partly"), Settle: l.has("settle")}) {
		l.say("everything was delivered")
	}
	if !l.Synced() {
		l.say("enforce nothing yet")
		return false, false
	}
	if l.Drift(l.has("drifted"), l.now) {
		l.say("others changed our tables: repair")
	}
	if !l.places() || !l.enforce() {
		return true, true
	}
	if r, tell := l.Repairs(false, l.now); tell {
		l.say("tell: contested %t", r.Contested)
	}
	return !l.has("idle"), false
}

func (l *loop) places() bool {
	what := l.Look(Sight{Touched: l.has("touched"), Events: l.has("events"), Curious: l.has("curious")}, l.now)
	failed := false
	if what != LookAtNothing {
		failed = l.of("fails") == "look"
		l.say("look at %s%s", map[Look]string{LookAtNotices: "what was noticed", LookAtEverything: "everything"}[what], ending(failed))
		l.Looked(failed)
	}
	if l.has("moved") {
		l.Moved()
	}
	if due, recheck := l.Resolve(); due && !failed {
		failed = l.of("fails") == "resolve"
		l.say("find the Pods' places%s%s", map[bool]string{true: ", and who else claims them"}[recheck], ending(failed))
		l.Resolved(failed, l.now)
	}
	return !failed
}

func (l *loop) enforce() bool {
	if l.Bridges(l.now) {
		l.say("check the switches of bridges")
	}
	if l.Doubtful() {
		return l.replace()
	}
	return l.commit(Change{Narrows: l.has("narrows"), Trusted: !l.has("distrusted")})
}

func (l *loop) replace() bool {
	c := l.Replacement(l.inForce, l.now)
	failed := l.of("fails") == "replace"
	l.say("replace all, under %s%s", l.describe(c), ending(failed))
	if failed {
		// A value that may have been written is not the only one any more.
		l.inForce = l.inForce && !c.Fresh
		r, tell := l.Repairs(true, l.now)
		if tell {
			l.say("tell: contested %t, the repair fails %t", r.Contested, r.Failing)
		}
		return false
	}
	l.done(c)
	anew, again := l.Switched(!c.Fresh, l.has("empty"))
	if again {
		l.say("look again which values connections bear")
	}
	if anew && !l.commit(Change{Narrows: true, Trusted: !l.has("distrusted")}) {
		return false
	}
	l.Replaced()
	return true
}

func (l *loop) commit(change Change) bool {
	c := l.Commit(change, l.now)
	failed := l.of("fails") == "commit"
	l.say("commit under %s%s", l.describe(c), ending(failed))
	if failed {
		l.inForce = l.inForce && !c.Fresh
		l.Repairs(true, l.now)
		return false
	}
	l.done(c)
	return true
}

func (l *loop) done(c Commit) {
	value := l.Epoch()
	switch {
	case c.Fresh && l.has("distrusted"):
		value = 0
	case c.Fresh:
		l.value++
		value = l.value
	}
	l.inForce = true
	l.Committed(c, value)
}

func (l *loop) describe(c Commit) string {
	out := "the epoch in force"
	if c.Fresh {
		out = "a fresh epoch"
		if l.has("distrusted") {
			out = "no epoch"
		}
	}
	if c.Grace {
		out += ", with grace"
	}
	if c.EndsGrace {
		out += ", which ends the grace"
	}
	return out
}

func ending(failed bool) string { return map[bool]string{true: ": it fails"}[failed] }
