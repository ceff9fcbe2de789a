package lab

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/conformance/kerneltest"
)

// childEnv makes the test binary a process that builds a lab, publishes it,
// says so and waits to be killed.
const childEnv = "SLUICE_LAB_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(kerneltest.Run(m))
	}
	l, err := Build(context.Background(), smallCluster(Bridge, families["dual"]))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if _, err := l.Publish(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	time.Sleep(time.Minute)
	os.Exit(1)
}

// traces are what a lab could leave behind: names, mounts, open files.
func traces(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(netnsDir + "/" + namePrefix + "*")
	if err != nil {
		t.Fatal(err)
	}
	list := slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, fmt.Sprint(os.Getpid())) })
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for m := range strings.Lines(string(mounts)) {
		if strings.Contains(m, fmt.Sprintf("%s%d-", namePrefix, os.Getpid())) {
			list = append(list, m)
		}
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		target, err := os.Readlink("/proc/self/fd/" + f.Name())
		if err == nil && !strings.HasPrefix(target, "/") {
			list = append(list, f.Name()+" "+target)
		}
	}
	return list
}

// busyLab has everything running that a lab can have.
func busyLab(ctx context.Context, t *testing.T) *Lab {
	t.Helper()
	needRoot(t)
	s := serviceCluster(Bridge, NATNFT)
	l, err := Build(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Publish(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range streamKinds {
		if _, err := l.Stream(Flow{Src: addr("10.244.1.5"), Dst: addr("10.244.2.5"), Port: 8080}, kind, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Probe(ctx, everyFlow(s)[:100]); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCloseLeavesNothing(t *testing.T) {
	// What the runtime opens once and keeps.
	if err := busyLab(t.Context(), t).Close(); err != nil {
		t.Fatal(err)
	}
	before := traces(t)
	l := busyLab(t.Context(), t)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, traces(t)); diff != "" {
		t.Errorf("traces (-before +after):\n%s", diff)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := l.Probe(t.Context(), []Flow{{addr("10.244.1.5"), addr("10.244.2.5"), TCP, 1}}); err == nil {
		t.Error("no error from a probe after Close")
	}
}

func TestCancelLeavesNothing(t *testing.T) {
	if err := busyLab(t.Context(), t).Close(); err != nil {
		t.Fatal(err)
	}
	before := traces(t)
	ctx, cancel := context.WithCancel(t.Context())
	l := busyLab(ctx, t)
	probed := make(chan error)
	go func() {
		nowhere := Flow{addr("10.244.1.5"), addr("10.96.0.5"), TCP, 1}
		_, err := l.ProbeResults(ctx, []Flow{nowhere}, ProbeOptions{Quiet: time.Minute})
		probed <- err
	}()
	time.Sleep(50 * time.Millisecond)
	cancel()
	if err := <-probed; err == nil {
		t.Error("no error from a probe that was interrupted")
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		diff := cmp.Diff(before, traces(t))
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("traces (-before +after):\n%s", diff)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	needRoot(t)
	if err := busyLab(t.Context(), t).Close(); err != nil {
		t.Fatal(err)
	}
	before := traces(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Build(ctx, smallCluster(PTP, families["dual"])); err == nil {
		t.Error("no error from Build with a context that has ended")
	}
	if diff := cmp.Diff(before, traces(t)); diff != "" {
		t.Errorf("traces (-before +after):\n%s", diff)
	}
}

func TestKilledLabIsReaped(t *testing.T) {
	needRoot(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	names := func() []string {
		list, err := filepath.Glob(fmt.Sprintf("%s/%s%d-*", netnsDir, namePrefix, cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	alive := names()
	other := buildLab(t, smallCluster(PTP, families["IPv4"]))
	if got := names(); !slices.Equal(got, alive) {
		t.Errorf("another lab took the names of one that runs: %v", got)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if line != "ready\n" || len(alive) == 0 {
		t.Fatalf("the child said %q and published %v", line, alive)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if got := names(); !slices.Equal(got, alive) {
		t.Fatalf("killed, but its names are %v", got)
	}
	buildLab(t, smallCluster(PTP, families["IPv4"]))
	if got := names(); len(got) != 0 {
		t.Errorf("left after the next lab began: %v", got)
	}
}

// What `sluice demo --keep` lets people do.
func TestPublishedLabAnswersIPNetnsExec(t *testing.T) {
	for tool, pkg := range map[string]string{"ip": "iproute2", "bash": "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this test needs the command %s: install the package %s", tool, pkg)
		}
	}
	l := buildLab(t, smallCluster(Bridge, families["IPv4"]))
	names, err := l.Publish()
	if err != nil {
		t.Fatal(err)
	}
	// What curl would send, for machines that have none, and in pieces, as any
	// network may deliver it.
	get := `exec 3<>/dev/tcp/10.244.2.5/8080; printf 'GET / HTTP/1.0\r\n' >&3; sleep 0.05; printf 'Host: one\r\n' >&3; sleep 0.05; printf '\r\n' >&3; cat <&3`
	out, err := exec.Command("ip", "netns", "exec", names["t/one"], "bash", "-c", get).CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "\r\n\r\nthis is 10.244.2.5:8080\n") {
		t.Errorf("%q, error %v", out, err)
	}
}

func TestStale(t *testing.T) {
	start, err := startTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{
		fmt.Sprintf("sl-%d-%s-node-a", os.Getpid(), start): false,
		fmt.Sprintf("sl-%d-1-node-a", os.Getpid()):         true,
		"sl-4194999-1-node-a":                              true,
		"sl-node-a":                                        false,
		"sl-x-1-node-a":                                    false,
		"sl-4194999-!-node":                                false,
	}
	for name, want := range tests {
		if got := stale(name); got != want {
			t.Errorf("stale(%q) = %t, want %t", name, got, want)
		}
	}
}
