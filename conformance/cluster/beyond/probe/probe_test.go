package probe

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// start runs a prober and returns what asks it one thing and waits.
func start(t *testing.T) (send func(Request), next func() Response) {
	t.Helper()
	in, feed := io.Pipe()
	answers, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Serve(in, out) }()
	t.Cleanup(func() {
		feed.Close()
		if err := <-ended; err != nil {
			t.Errorf("the prober ended: %v", err)
		}
	})
	lines := bufio.NewScanner(answers)
	requests := json.NewEncoder(feed)
	send = func(r Request) {
		t.Helper()
		if err := requests.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	next = func() Response {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the prober is silent: %v", lines.Err())
		}
		var r Response
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	return send, next
}

func TestProber(t *testing.T) {
	send, next := start(t)
	for _, network := range []string{"tcp", "udp"} {
		send(Request{Op: Listen, Network: network, Address: "127.0.0.1:17431"})
		if r := next(); r.Outcome != OK {
			t.Fatalf("listen: %+v", r)
		}
	}
	const server, nobody = "127.0.0.1:17431", "127.0.0.1:17432"
	const wait = 2 * time.Second
	tests := []struct {
		name string
		r    Request
		want Outcome
	}{
		{"tcp", Request{Op: Dial, Network: "tcp", Address: server, Timeout: wait}, OK},
		{"udp", Request{Op: Dial, Network: "udp", Address: server, Timeout: wait}, OK},
		{"connect", Request{Op: Connect, Network: "tcp", Address: server, Timeout: wait}, OK},
		{"tcp without a server", Request{Op: Dial, Network: "tcp", Address: nobody, Timeout: wait}, Refused},
		{"udp without a server", Request{Op: Dial, Network: "udp", Address: nobody, Timeout: wait}, Refused},
		{"upload", Request{Op: Upload, Address: server, Size: 300_000, Timeout: wait}, OK},
		{"ping", Request{Op: Ping, Address: "127.0.0.1", Size: 57, Timeout: wait}, OK},
		{"write nowhere", Request{Op: Write, Path: t.TempDir() + "/*", Data: "x"}, Problem},
		{"nonsense", Request{Op: "dance"}, Problem},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			send(tt.r)
			r := next()
			if r.Outcome != tt.want {
				t.Errorf("%+v, want %s", r, tt.want)
			}
			if tt.r.Op == Dial && tt.want == OK && r.Seen != "127.0.0.1" {
				t.Errorf("the server saw %q", r.Seen)
			}
		})
	}
	for i, r := range []Request{
		{Op: Hold, Network: "tcp", Address: server, Timeout: wait, Interval: time.Millisecond},
		{Op: Hold, Network: "udp", Address: server, Timeout: wait, Interval: time.Millisecond},
		{Op: Repeat, Network: "tcp", Address: server, Timeout: wait, Interval: time.Millisecond},
	} {
		r.ID = 100 + i
		send(r)
		time.Sleep(100 * time.Millisecond)
		send(Request{ID: r.ID, Op: Stop})
		if a := next(); a.ID != r.ID || a.Outcome != Finished || a.Answers < 5 || a.Answers != a.Tries {
			t.Errorf("%s %s: %+v", r.Op, r.Network, a)
		}
	}
}

// TestFirst: what is answered, what is not and how often it was sent are told
// apart, and the server knows what came.
func TestFirst(t *testing.T) {
	send, next := start(t)
	for _, network := range []string{"tcp", "udp"} {
		send(Request{Op: Listen, Network: network, Address: "127.0.0.1:17441"})
		if r := next(); r.Outcome != OK {
			t.Fatalf("listen: %+v", r)
		}
	}
	// One that hears every second question only.
	deaf, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	go func() {
		buffer := make([]byte, 1<<10)
		for i := 1; ; i++ {
			n, from, err := deaf.ReadFrom(buffer)
			if err != nil {
				return
			}
			if i%2 == 0 {
				_, _ = deaf.WriteTo(fmt.Appendf(nil, "%s %s", from, buffer[:n]), from)
			}
		}
	}()
	const server, nobody = "127.0.0.1:17441", "127.0.0.1:17442"
	wait, again := 5*time.Second, 100*time.Millisecond
	send(Request{Op: First, Acts: []Request{
		{Op: Ask, Address: server, Timeout: wait, Interval: again},
		{Op: Connect, Address: server, Timeout: wait},
		{Op: Burst, Address: server, Timeout: wait, Interval: time.Millisecond, Size: 20},
		{Op: Ask, Address: deaf.LocalAddr().String(), Timeout: wait, Interval: again},
		{Op: Connect, Address: nobody, Timeout: wait},
		{Op: Burst, Address: nobody, Timeout: again, Interval: time.Millisecond, Size: 5},
	}})
	r := next()
	if r.Outcome != Finished || len(r.Acts) != 6 || time.Since(r.At) > time.Minute {
		t.Fatalf("%+v", r)
	}
	for i, want := range []Response{
		{Outcome: OK, Tries: 1}, {Outcome: OK, Tries: 1}, {Outcome: Finished, Tries: 20, Answers: 20},
		{Outcome: OK, Tries: 2}, {Outcome: Refused}, {Outcome: Finished, Tries: 5},
	} {
		if a := r.Acts[i]; a.Outcome != want.Outcome || a.Tries != want.Tries || a.Answers != want.Answers {
			t.Errorf("act %d: %+v, want %+v", i, a, want)
		}
	}
	if late := r.Acts[3]; late.Until < again {
		t.Errorf("the second question was answered after %v", late.Until)
	}
	for network, want := range map[string]int{"tcp": 1, "udp": 21} {
		send(Request{Op: Heard, Network: network, Address: server})
		if r := next(); r.Tries != want {
			t.Errorf("%s: %d heard, want %d", network, r.Tries, want)
		}
	}
}

// An answer that is late must not be taken for the next one's, and so on for
// good.
func TestHoldLateAnswer(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buffer := make([]byte, 1<<10)
		for i := 0; ; i++ {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			if i == 2 {
				time.Sleep(300 * time.Millisecond)
			}
			_, _ = server.WriteTo(fmt.Appendf(nil, "%s %s", from, buffer[:n]), from)
		}
	}()
	send, next := start(t)
	send(Request{ID: 7, Op: Hold, Network: "udp", Address: server.LocalAddr().String(), Timeout: time.Second, Interval: time.Millisecond})
	time.Sleep(1500 * time.Millisecond)
	send(Request{ID: 7, Op: Stop})
	if r := next(); r.Outcome != Finished || r.Answers < 10 || r.Answers > r.Tries-1 {
		t.Errorf("%+v, want all answers but the late one", r)
	}
}
