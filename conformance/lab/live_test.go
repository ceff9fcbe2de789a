package lab

import (
	"context"
	"fmt"
	"testing"
	"time"
)

var streamKinds = []StreamKind{TCPSend, TCPPush, TCPIdle, UDPExchange, UDPPush}

// within is a context that a test should not come near to.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestStreamsLiveAreCutAndComeBack(t *testing.T) {
	for _, topology := range Everyday {
		t.Run(topology.String(), func(t *testing.T) {
			l := buildLab(t, smallCluster(topology, families["dual"]))
			var streams []*Stream
			for _, kind := range streamKinds {
				for _, ends := range [][2]string{
					{"10.244.1.5", "10.244.1.6"}, {"10.244.1.5", "10.244.2.5"},
					{"fd00:10:244:1::5", "2001:db8:ffff::1"}, {"203.0.113.7", "10.244.1.6"},
				} {
					s, err := l.Stream(Flow{Src: addr(ends[0]), Dst: addr(ends[1]), Port: 8080}, kind, 0)
					if err != nil {
						t.Fatal(err)
					}
					streams = append(streams, s)
				}
			}
			time.Sleep(100 * time.Millisecond)
			for _, s := range streams {
				if s.Kind() == TCPIdle {
					if r := s.Report(); r.Received != 0 {
						t.Errorf("%s %s: %d messages before Talk", s.Kind(), s.Flow(), r.Received)
					}
					s.Talk()
				}
			}
			await(t, streams, 10)
			for _, n := range []string{"a", "b"} {
				nft(t, l.Node(n), "table bridge cut { chain f { type filter hook forward priority 0; policy drop; }; }\n"+
					"table inet cut { chain f { type filter hook forward priority 0; policy drop; }; }\n")
			}
			for _, s := range streams {
				s.Lap()
			}
			time.Sleep(350 * time.Millisecond)
			for _, s := range streams {
				if r := s.Lap(); r.Fresh != 0 || r.Err != nil {
					t.Errorf("%s %s: %d messages while cut, error %v", s.Kind(), s.Flow(), r.Fresh, r.Err)
				}
			}
			for _, n := range []string{"a", "b"} {
				nft(t, l.Node(n), "delete table bridge cut\ndelete table inet cut\n")
			}
			await(t, streams, 10)
			for _, s := range streams {
				r := s.Stop()
				if r.Err != nil || s.Kind().protocol() == TCP && r.Lost != 0 {
					t.Errorf("%s %s: %d lost, error %v", s.Kind(), s.Flow(), r.Lost, r.Err)
				}
				if r.Stall < 300*time.Millisecond {
					t.Errorf("%s %s: longest stall %s, though it was cut for longer", s.Kind(), s.Flow(), r.Stall)
				}
			}
		})
	}
}

// What was sent before a lap and is read after it is not fresh, whoever is late.
func TestFreshMessagesWereSentAfterTheLap(t *testing.T) {
	s := &Stream{heard: make(chan struct{})}
	s.begin(0)
	s.begin(1)
	s.note(0)
	s.Lap()
	s.note(1)
	s.begin(2)
	s.note(2)
	if r := s.Report(); r.Received != 2 || r.Fresh != 1 {
		t.Errorf("%d received, %d of them fresh; want 2 and 1", r.Received, r.Fresh)
	}
}

// await waits until each stream has got n more messages.
func await(t *testing.T, streams []*Stream, n int) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	errs := make(chan error)
	for _, s := range streams {
		go func() { errs <- s.Await(ctx, n) }()
	}
	for range streams {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestStreamThroughService(t *testing.T) {
	l := buildLab(t, serviceCluster(PTP, NATNFT))
	for _, kind := range streamKinds {
		s, err := l.Stream(Flow{Src: addr("10.244.1.6"), Dst: addr("10.96.0.2"), Port: 80}, kind, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		s.Talk()
		if err := s.Await(within(t, 10*time.Second), 20); err != nil {
			t.Error(err)
		}
		if r := s.Stop(); r.Err != nil || r.Lost != 0 {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func TestStreamThatIsRefused(t *testing.T) {
	l := buildLab(t, smallCluster(PTP, families["IPv4"]))
	nft(t, l.Node("a"), "table inet cut { chain f { type filter hook forward priority 0; tcp dport 8080 reject with tcp reset; }; }\n")
	s, err := l.Stream(Flow{Src: addr("10.244.1.5"), Dst: addr("10.244.1.6"), Port: 8080}, TCPSend, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	deadline := time.Now().Add(5 * time.Second)
	for s.Report().Err == nil {
		if time.Now().After(deadline) {
			t.Fatal("no error from a connection that is reset")
		}
		time.Sleep(time.Millisecond)
	}
	if fmt.Sprint(s.Report().Err) != "connection refused" {
		t.Errorf("error %v", s.Report().Err)
	}
}
