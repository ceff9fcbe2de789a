package denials

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/denials"
	"github.com/sluice-net/sluice/policy"
)

// floodEnv has the test's binary send, for so many milliseconds, from all Pods' addresses
// given, so that what it takes is not counted as the reader's.
const floodEnv = "SLUICE_TEST_FLOOD"

// floodNetEnv is the second number of the targets' addresses, 244 if it is not set.
const floodNetEnv = "SLUICE_TEST_FLOOD_NET"

func TestMain(m *testing.M) {
	if ms, err := strconv.Atoi(os.Getenv(floodEnv)); err == nil {
		n, err := sendFlood(time.Duration(ms) * time.Millisecond)
		fmt.Println(n)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// sendFlood sends to every port of all Pods in turn, which are so many flows, as fast as
// it can.
func sendFlood(during time.Duration) (n int, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return 0, err
	}
	second := byte(244)
	if n, err := strconv.ParseUint(os.Getenv(floodNetEnv), 10, 8); err == nil {
		second = byte(n)
	}
	for end := time.Now().Add(during); time.Now().Before(end); {
		for range 256 {
			n++
			to := &unix.SockaddrInet4{Addr: [4]byte{10, second, 0, byte(10 + 2*(n%(podCount/2)))}, Port: 1 + n/(podCount/2)%65535}
			_ = unix.Sendto(fd, []byte("x"), unix.MSG_DONTWAIT, to)
		}
	}
	return n, nil
}

// spent is the processor time of this process, without its children.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Forbidden packets as fast as a Pod can send them, each of another flow: what is told of
// is bounded, the rest counted, and a change is in force as soon as before.
func TestFloodOfDeniedPackets(t *testing.T) {
	r := newRig(t, compiler.Config{}, denials.Config{})
	r.change(func(x *policy.Index) { r.set(x, "shop/default-deny", "podSelector: {}\npolicyTypes: [Ingress]\n") })
	attacker := r.lab.Pod(r.pods[1].NamespacedName)
	const during = 4 * time.Second
	cmd := exec.Command("nsenter", "--net="+attacker.Path(), os.Args[0])
	cmd.Env = append(os.Environ(), floodEnv+"="+strconv.Itoa(int(during/time.Millisecond)))
	cmd.Stderr = os.Stderr
	began, cpu := time.Now(), spent(t)
	changed := make(chan []byte, 1)
	go func() {
		out, err := cmd.Output()
		if err != nil {
			out = []byte(err.Error())
		}
		changed <- out
	}()
	var out []byte
	var longest time.Duration
	for round := 0; out == nil; round++ {
		select {
		case out = <-changed:
			continue
		case <-r.recorder.Ready():
			turn := time.Now()
			r.recorder.Explain(r.epoch)
			longest = max(longest, time.Since(turn))
		}
	}
	took, cpu := time.Since(began), spent(t)-cpu
	sent, err := strconv.Atoi(string(out[:len(out)-1]))
	if err != nil {
		t.Fatalf("the flood failed: %s", out)
	}
	list := r.settle()
	rate := float64(sent) / took.Seconds()
	t.Logf("%d packets in %v, %.0f a second; %d told of, left out %v; %v of processor time, %.1f %% of a processor; longest turn %v",
		sent, took.Round(time.Millisecond), rate, len(list), r.recorder.LeftOut(), cpu.Round(time.Millisecond), 100*cpu.Seconds()/took.Seconds(), longest)
	// 20 at once and 20 a second of each target, no more than the recorder's rate.
	most := min(podCount/2*logsAtOnce*(2+int(took.Seconds())), denials.DefaultRate*(3+int(took.Seconds())))
	if len(list) > most || len(list) < podCount/2*logsAtOnce/2 {
		t.Errorf("%d are told of, at most %d should be", len(list), most)
	}
	if cpu > took/4 {
		t.Errorf("the reader took %v of processor time in %v", cpu, took)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 64<<20 {
		t.Errorf("%d MiB are in use", m.HeapAlloc>>20)
	}
	for _, d := range list {
		if d.Reason != denials.Policy || d.Src.Pod != r.pods[1].Name || d.Protocol != "UDP" {
			t.Fatalf("%+v", d)
		}
	}
}
