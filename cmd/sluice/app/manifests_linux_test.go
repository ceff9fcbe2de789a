package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-net/sluice/enforcer/source"
)

// askedSink keeps what an agent is told of a directory until it has been read once.
type askedSink struct {
	mu      sync.Mutex
	pods    map[string]bool
	trouble map[string]error
	read    func()
}

func (s *askedSink) Deliver(events ...source.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		if e.Kind == source.PodEvent {
			s.pods[e.Name.Name] = !e.Deleted
		}
	}
}

func (s *askedSink) Report(part string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.trouble[part] = err
	}
}

func (s *askedSink) Synced()       { s.read() }
func (s *askedSink) SyncedInPart() { s.read() }

// agentReads returns the Pods that an agent takes from a directory, and what it
// cannot read, without the directory's name.
func agentReads(t *testing.T, dir string) (pods, unread []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	read := make(chan struct{})
	sink := &askedSink{pods: map[string]bool{}, trouble: map[string]error{}, read: sync.OnceFunc(func() { close(read) })}
	ended := make(chan error, 1)
	go func() { ended <- source.NewDir(dir).Run(ctx, sink) }()
	select {
	case <-read:
	case <-ctx.Done():
		t.Fatal("the directory was never read")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for name := range sink.pods {
		pods = append(pods, name)
	}
	for path, err := range sink.trouble {
		unread = append(unread, strings.TrimPrefix(path, dir+"/")+": "+err.Error())
	}
	slices.Sort(pods)
	slices.Sort(unread)
	return pods, unread
}

// verifyReads is the same of a question with -f.
func verifyReads(t *testing.T, dir string) (pods, unread []string) {
	t.Helper()
	c, err := fileReader{manifestFlags: manifestFlags{paths: []string{dir}}}.read(t.Context())
	if err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			unread = append(unread, line[strings.LastIndex(line, dir+"/")+len(dir)+1:])
		}
		return nil, unread
	}
	for _, p := range c.set.Pods {
		pods = append(pods, p.Name)
	}
	slices.Sort(pods)
	return pods, nil
}

// oddDirectory has a Pod, named after where it is, in each place where a manifest can
// be, and in each where none counts.
func oddDirectory(t *testing.T) string {
	t.Helper()
	dir, elsewhere := t.TempDir(), t.TempDir()
	n := 0
	manifest := func(path string) {
		t.Helper()
		n++
		name := strings.ToLower(strings.Trim(strings.NewReplacer("/", "-", ".", "-", "_", "-").Replace(strings.TrimPrefix(path, elsewhere)), "-"))
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		text := pod("default", name, "app: x", fmt.Sprintf("10.0.0.%d", n), "")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, at string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{
		"plain.yaml", "short.yml", "list.json", "LOUD.YAML", "notes.txt", "backup.yaml~", "noext", ".hidden.yaml",
		"below/two.yaml", "below/three/four.yaml", ".git/config.yaml", "odd.yaml/inside.yaml", "..2026/map.yaml",
		filepath.Join(elsewhere, "linked.yaml"), filepath.Join(elsewhere, "tree", "leaf.yaml"),
	} {
		manifest(path)
	}
	link("..2026", "..data") // a ConfigMap as the kubelet mounts it
	link("..data/map.yaml", "map.yaml")
	link(filepath.Join(elsewhere, "linked.yaml"), "file-link.yaml")
	link(filepath.Join(elsewhere, "tree"), "tree-link")
	link("..", "below/circle")
	link("nowhere", "dangling.txt")
	return dir
}

// TestOneDirectoryOneReading gives the agent and a question the same odd directory:
// both take the same of it, and stumble over the same.
func TestOneDirectoryOneReading(t *testing.T) {
	dir := oddDirectory(t)
	want := []string{"2026-map-yaml", "below-three-four-yaml", "below-two-yaml", "linked-yaml", "list-json", "odd-yaml-inside-yaml", "plain-yaml", "short-yml", "tree-leaf-yaml"}
	byAgent, trouble := agentReads(t, dir)
	byQuestion, unread := verifyReads(t, dir)
	if diff := cmp.Diff(want, byAgent); diff != "" || len(trouble) > 0 {
		t.Errorf("the agent (-want +got), %v:\n%s", trouble, diff)
	}
	if diff := cmp.Diff(want, byQuestion); diff != "" || len(unread) > 0 {
		t.Errorf("the question (-want +got), %v:\n%s", unread, diff)
	}

	deep := filepath.Join(append([]string{dir}, slices.Repeat([]string{"d"}, 20)...)...)
	for path, make := range map[string]func(path string) error{
		"dangling.yaml": func(path string) error { return os.Symlink("nowhere", path) },
		"long.yaml":     func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 65<<20)) },
		"d":             func(string) error { return os.MkdirAll(deep, 0o755) },
	} {
		path = filepath.Join(dir, path)
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		_, byAgent := agentReads(t, dir)
		_, byQuestion := verifyReads(t, dir)
		if diff := cmp.Diff(byAgent, byQuestion); diff != "" || len(byAgent) != 1 {
			t.Errorf("%s: agent and question differ (-agent +question):\n%s", path, diff)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}
