package denials

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// numbered is the n-th denial of some.
func numbered(n int) *Denial {
	return &Denial{
		APIVersion: APIVersion, Kind: Kind, Time: start.Add(time.Duration(n) * time.Second), Node: "n1", Direction: "ingress", Reason: Policy,
		Message: fmt.Sprint(n), Protocol: "TCP", Port: uint16(n), Packets: 1,
		Src: End{Kind: PodEnd, Address: "10.0.0.1", Namespace: "shop", Pod: "web"},
		Dst: End{Kind: PodEnd, Address: "10.0.0.2", Namespace: "shop", Pod: "db"},
	}
}

func messagesOf(list []*Denial) string {
	var out []string
	for _, d := range list {
		out = append(out, d.Message)
	}
	return strings.Join(out, " ")
}

func TestStoreKeepsTheLatest(t *testing.T) {
	s := NewStore(100, 0)
	for n := range 250 {
		s.Add(numbered(n))
	}
	list := s.Find(nil, 0)
	if len(list) != 100 || list[0].Message != "150" || list[99].Message != "249" {
		t.Fatalf("%d kept, from %s to %s", len(list), list[0].Message, list[len(list)-1].Message)
	}
	if got := messagesOf(s.Find(nil, 3)); got != "247 248 249" {
		t.Errorf("the last three are %s", got)
	}
	if got := messagesOf(s.Find(&Filter{Since: start.Add(248 * time.Second)}, 0)); got != "248 249" {
		t.Errorf("since 248 there are %s", got)
	}
	if n, _, all := s.Held(); n != 100 || all != 250 {
		t.Errorf("%d of %d", n, all)
	}
}

func TestStoreIsBoundedInBytes(t *testing.T) {
	s := NewStore(10_000, 100_000)
	for n := range 2000 {
		d := numbered(n)
		d.Message = strings.Repeat("x", 1000)
		s.Add(d)
		if _, size, _ := s.Held(); size > 100_000 {
			t.Fatalf("%d bytes are held", size)
		}
	}
	if n, _, _ := s.Held(); n < 50 {
		t.Errorf("only %d are held", n)
	}
	huge := numbered(1)
	huge.Message = strings.Repeat("x", 200_000)
	s.Add(huge)
	if list := s.Find(nil, 0); len(list) != 1 || list[0] != huge {
		t.Errorf("%d are held after one that is larger than all may be: want that one", len(list))
	}
}

func TestFollow(t *testing.T) {
	s := NewStore(0, 0)
	for n := range 5 {
		s.Add(numbered(n))
	}
	sub, earlier, err := s.Follow(&Filter{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if got := messagesOf(earlier); got != "3 4" {
		t.Errorf("before: %s", got)
	}
	s.Add(numbered(5))
	if d := <-sub.C(); d.Message != "5" {
		t.Errorf("then %s", d.Message)
	}
	for n := range mostBehind + 7 {
		s.Add(numbered(n))
	}
	if n := sub.Missed(); n != 7 {
		t.Errorf("%d missed, want the 7 that it had no room for", n)
	}
	if sub.Missed() != 0 {
		t.Error("what is missed is told twice")
	}
	_, none, err := s.Follow(nil, 0)
	if err != nil || len(none) != 0 {
		t.Errorf("%d before, %v", len(none), err)
	}
}

func TestFollowersAreBounded(t *testing.T) {
	s := NewStore(0, 0)
	var subs []*Subscription
	for range mostSubscribers {
		sub, _, err := s.Follow(nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	if _, _, err := s.Follow(nil, 0); err == nil {
		t.Fatal("one more than the limit may follow")
	}
	subs[0].Close()
	subs[0].Close()
	if _, _, err := s.Follow(nil, 0); err != nil {
		t.Error(err)
	}
}

// Many follow while denials come: nobody holds up the store, and each gets all or is told
// what it missed.
func TestFollowersAtOnce(t *testing.T) {
	s := NewStore(0, 0)
	const all = 5000
	var wg sync.WaitGroup
	for i := range 8 {
		sub, _, err := s.Follow(nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer sub.Close()
			got, missed := uint64(0), uint64(0)
			for got+missed < all {
				select {
				case <-sub.C():
					got++
				case <-time.After(5 * time.Second):
					t.Errorf("%d came and %d are said to be missing of %d", got, missed, all)
					return
				}
				missed += sub.Missed()
			}
			if i == 0 && got == 0 {
				t.Error("nothing came")
			}
		})
	}
	for n := range all {
		s.Add(numbered(n))
	}
	wg.Wait()
}

// stuck is a writer that takes so many lines and then fails.
type stuck struct {
	bytes.Buffer
	lines int
}

func (w *stuck) Write(p []byte) (int, error) {
	if w.lines--; w.lines < 0 {
		return 0, io.ErrClosedPipe
	}
	return w.Buffer.Write(p)
}

func TestWriteLines(t *testing.T) {
	s := NewStore(0, 0)
	full := numbered(1)
	full.Policies, full.Nearest, full.Service = []string{"shop/db"}, &Nearest{"shop/db", 0, "pod label app is <web>, not api"}, &Service{"10.96.0.1", 80, "shop/db"}
	since := start.Add(-time.Minute)
	full.Since, full.Generation, full.Epoch, full.MorePolicies, full.Approximate = &since, 12, 3, 2, true
	s.Add(full)
	sub, earlier, err := s.Follow(nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	for n := range mostBehind + 3 {
		s.Add(numbered(n))
	}
	w := &stuck{lines: 3}
	if err := WriteLines(t.Context(), sub, earlier, w); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a writer that fails ends with %v", err)
	}
	lines := strings.Split(strings.TrimSpace(w.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	if strings.Contains(lines[0], "\\u003c") {
		t.Error("a sentence is escaped as for a web page")
	}
	got, _, err := ParseLine([]byte(lines[0]))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full, got, cmpopts.IgnoreUnexported(Denial{})); diff != "" {
		t.Errorf("what is written is not what is read (-want +got):\n%s", diff)
	}
	if d, _, err := ParseLine([]byte(lines[1])); err != nil || d.Message != "0" {
		t.Errorf("%q: %v", lines[1], err)
	}
	if _, missed, err := ParseLine([]byte(lines[2])); err != nil || missed != 3 {
		t.Errorf("%q says that %d are missing: %v", lines[2], missed, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WriteLines(ctx, sub, nil, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestParseLineRefuses(t *testing.T) {
	for _, line := range []string{"", "x", "{}", `{"apiVersion":"v2","kind":"Denial"}`, `{"apiVersion":"` + APIVersion + `","kind":"Pod"}`,
		`{"apiVersion":"` + APIVersion + `","kind":"Denial","port":70000}`, strings.Repeat(" ", mostLine+1)} {
		if d, _, err := ParseLine([]byte(line)); err == nil {
			t.Errorf("%.60q is read as %+v", line, d)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	one, _ := json.Marshal(numbered(7))
	missed, _ := json.Marshal(NewMissed(7))
	f.Add(one)
	f.Add(missed)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if d, _, err := ParseLine(line); err == nil && d != nil {
			if d.APIVersion != APIVersion || d.Kind != Kind {
				t.Fatalf("%+v", d)
			}
			_, _, _ = d.Subject().Name(), d.Target(), d.Dst.Group()
		}
	})
}
