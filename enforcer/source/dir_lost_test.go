package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-net/sluice/enforcer/manifestfiles"
)

// dirWithPolicies is a directory with a policy in a.yaml, another in sub/b.yaml
// and a Pod in sub/c.yaml, and a source that follows it.
func dirWithPolicies(t *testing.T) (string, *memorySink) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "manifests")
	must(t, os.MkdirAll(filepath.Join(dir, "sub"), 0o700))
	write(t, filepath.Join(dir, "a.yaml"), policyYAML("a"))
	write(t, filepath.Join(dir, "sub", "b.yaml"), policyYAML("b"))
	write(t, filepath.Join(dir, "sub", "c.yaml"), podYAML("c", "10.0.0.3"))
	return dir, startDir(t, dir)
}

func hasPolicies(names ...string) func(*memorySink) bool {
	return func(s *memorySink) bool {
		for _, name := range names {
			if !s.has(PolicyEvent, "shop", name) {
				return false
			}
		}
		return true
	}
}

// A source that is gone, in whatever way, says nothing of what it said before.
func TestDirSourceKeepsWhatALostDirectorySaid(t *testing.T) {
	tests := map[string]struct {
		lose func(t *testing.T, dir string)
		says string
	}{
		"vanished":             {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, "no such file"},
		"moved away":           {func(t *testing.T, dir string) { must(t, os.Rename(dir, dir+".old")) }, "no such file"},
		"replaced by a file":   {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)); write(t, dir, "") }, "none any more"},
		"replaced by manifest": {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)); write(t, dir, policyYAML("other")) }, "none any more"},
		"replaced by a pipe":   {func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)); must(t, syscall.Mkfifo(dir, 0o600)) }, "none any more"},
		"replaced by a link that leads nowhere": {func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, os.Symlink("nowhere", dir))
		}, "no such file"},
		"replaced by a link to itself": {func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, os.Symlink(dir, dir))
		}, "too many levels"},
		"replaced by an empty directory": {func(t *testing.T, dir string) {
			must(t, os.Rename(dir, dir+".old"))
			must(t, os.Mkdir(dir, 0o700))
		}, "none any more"},
		"emptied": {func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "sub")))
			must(t, os.Remove(filepath.Join(dir, "a.yaml")))
		}, "none any more"},
		"left with other things": {func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "sub")))
			must(t, os.Rename(filepath.Join(dir, "a.yaml"), filepath.Join(dir, "a.yaml.bak")))
		}, "none any more"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, sink := dirWithPolicies(t)
			tt.lose(t, dir)
			sink.until(t, "reported", func(s *memorySink) bool {
				c := s.troubleOf(dir)
				return c.What == "SourceUnreadable" && strings.Contains(c.Message, tt.says) && c.Mend != ""
			})
			time.Sleep(lookAgain + 500*time.Millisecond)
			if !sink.holds(hasPolicies("a")) || sink.holds(hasPolicies("other")) {
				t.Error("what it said is not in force any more")
			}
			must(t, os.RemoveAll(dir))
			must(t, os.Mkdir(dir, 0o700))
			write(t, filepath.Join(dir, "d.yaml"), policyYAML("d"))
			sink.until(t, "what came back counts", func(s *memorySink) bool {
				return len(s.trouble) == 0 && hasPolicies("d")(s) && !hasPolicies("a")(s) && !hasPolicies("b")(s)
			})
		})
	}
}

// Nothing to enforce is said by a manifest without objects.
func TestDirSourceIsEmptiedByAManifestWithoutObjects(t *testing.T) {
	dir, sink := dirWithPolicies(t)
	write(t, filepath.Join(dir, "none.yaml"), "# nothing is to be enforced\n")
	must(t, os.RemoveAll(filepath.Join(dir, "sub")))
	must(t, os.Remove(filepath.Join(dir, "a.yaml")))
	sink.until(t, "nothing left, and no trouble", func(s *memorySink) bool { return len(s.state) == 0 && len(s.trouble) == 0 })
}

// Part of a source that is lost keeps what it said, and holds up nothing else.
func TestDirSourceKeepsWhatALostPartSaid(t *testing.T) {
	tests := map[string]struct {
		lose func(t *testing.T, dir string)
		part string
	}{
		"file is a link that leads nowhere": {func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "sub", "b.yaml")))
			must(t, os.Symlink("nowhere", filepath.Join(dir, "sub", "b.yaml")))
		}, "sub/b.yaml"},
		"file is a pipe": {func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "sub", "b.yaml")))
			must(t, syscall.Mkfifo(filepath.Join(dir, "sub", "b.yaml"), 0o600))
		}, "sub/b.yaml"},
		"file is a device without an end": {func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "sub", "b.yaml")))
			must(t, os.Symlink("/dev/zero", filepath.Join(dir, "sub", "b.yaml")))
		}, "sub/b.yaml"},
		"file is giant": {func(t *testing.T, dir string) {
			must(t, os.Truncate(filepath.Join(dir, "sub", "b.yaml"), manifestfiles.Longest+1))
		}, "sub/b.yaml"},
		"file is an empty directory": {func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "sub", "b.yaml")))
			must(t, os.Mkdir(filepath.Join(dir, "sub", "b.yaml"), 0o700))
		}, "sub/b.yaml"},
		"directory is a file": {func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "sub")))
			write(t, filepath.Join(dir, "sub"), "")
		}, "sub"},
		"directory is a link that leads nowhere": {func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "sub")))
			must(t, os.Symlink("nowhere", filepath.Join(dir, "sub")))
		}, "sub"},
		"directory is another one, and empty": {func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, "sub"), filepath.Join(dir, ".sub")))
			must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
		}, "sub"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, sink := dirWithPolicies(t)
			tt.lose(t, dir)
			sink.until(t, "reported", func(s *memorySink) bool { return s.trouble[filepath.Join(dir, tt.part)] != nil })
			write(t, filepath.Join(dir, "d.yaml"), policyYAML("d"))
			must(t, os.Remove(filepath.Join(dir, "a.yaml")))
			sink.until(t, "other files follow", func(s *memorySink) bool { return hasPolicies("d")(s) && !hasPolicies("a")(s) })
			if !sink.holds(hasPolicies("b")) {
				t.Error("what the lost part said is not in force any more")
			}
			must(t, os.RemoveAll(filepath.Join(dir, tt.part)))
			sink.until(t, "a deletion is taken at its word", func(s *memorySink) bool { return len(s.trouble) == 0 && !hasPolicies("b")(s) })
		})
	}
}

// An error of the file system is not an answer. Root reads what it may not, so
// that the errors come from the state's own tests.
func TestDirStateKeepsWhatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	write(t, a, policyYAML("a"))
	write(t, b, policyYAML("b"))
	var s dirState
	if events := s.update(manifestfiles.Listing{Files: []string{a, b}}, nil); len(events) != 3 {
		t.Fatalf("two policies and a namespace came as %v", events)
	}
	events := s.update(manifestfiles.Listing{Files: []string{a}, Unread: map[string]error{b: syscall.EIO}}, nil)
	if len(events) != 0 || !errors.Is(s.broken[b], syscall.EIO) {
		t.Errorf("events %v, broken %v", events, s.broken)
	}
	if events = s.update(manifestfiles.Listing{Unread: map[string]error{dir: syscall.EACCES}}, nil); len(events) != 0 {
		t.Errorf("a directory without permission: events %v", events)
	}
	if events = s.update(manifestfiles.Listing{Files: []string{a}}, nil); len(events) != 1 || !events[0].Deleted || events[0].Name.Name != "b" {
		t.Errorf("after the deletion of b: %v", events)
	}
}

// A manifest that is cut between two objects is whole. While it is being written
// over in place it is left alone; moved there, it counts at once.
func TestDirSourceWaitsForAFileThatIsBeingWritten(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	all := podYAML("a", "10.0.0.1") + "---\n" + policyYAML("deny")
	write(t, a, all)
	sink := startDir(t, dir)
	for range 3 {
		file, err := os.OpenFile(a, os.O_WRONLY|os.O_TRUNC, 0)
		must(t, err)
		for _, half := range strings.SplitAfter(all, "---\n") {
			_, err = fmt.Fprint(file, half)
			must(t, err)
			for range 15 {
				time.Sleep(10 * time.Millisecond)
				if !sink.holds(hasPolicies("deny")) {
					t.Fatal("a policy is gone while its file is being written")
				}
			}
		}
		must(t, file.Close())
	}
	write(t, a, podYAML("a", "10.0.0.1"))
	sink.until(t, "shorter for good", func(s *memorySink) bool { return !hasPolicies("deny")(s) && hasPod("a")(s) })
}

// A directory without manifests at the start leaves an earlier agent's rules
// alone; a node without any is not held up by it.
func TestDirSourceEmptyAtTheStartIsSyncedInPart(t *testing.T) {
	dir := t.TempDir()
	sink := newMemorySink()
	runSource(t, NewDir(dir), sink)
	sink.until(t, "in part, and said so", func(s *memorySink) bool {
		c := s.troubleOf(dir)
		return s.partly && !s.synced && c.What == "SourceEmpty"
	})
	write(t, filepath.Join(dir, "a.yaml"), "")
	sink.until(t, "synced with a manifest without objects", func(s *memorySink) bool { return s.synced && len(s.trouble) == 0 })
}

// A directory that is not there at the start is waited for.
func TestDirSourceWaitsForItsDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "late")
	sink := newMemorySink()
	runSource(t, NewDir(dir), sink)
	sink.until(t, "reported", func(s *memorySink) bool {
		return !s.synced && !s.partly && s.troubleOf(dir).What == "SourceUnreadable"
	})
	must(t, os.Mkdir(dir, 0o700))
	write(t, filepath.Join(dir, "a.yaml"), policyYAML("a"))
	sink.until(t, "synced", func(s *memorySink) bool { return s.synced && hasPolicies("a")(s) && len(s.trouble) == 0 })
}

// Links that lead in a circle bring every file once.
func TestDirSourceFollowsLinksOnce(t *testing.T) {
	dir, sink := dirWithPolicies(t)
	must(t, os.Symlink("..", filepath.Join(dir, "sub", "up")))
	write(t, filepath.Join(dir, "d.yaml"), policyYAML("d"))
	sink.until(t, "another file", hasPolicies("a", "b", "d"))
	if !sink.holds(func(s *memorySink) bool { return len(s.trouble) == 0 }) {
		t.Errorf("trouble: %v", sink.trouble)
	}
}

// A key that goes from a mounted ConfigMap leaves a link that leads nowhere for
// a moment; all of it gone is a source that is lost.
func TestDirSourceUnderstandsConfigMapsThatShrink(t *testing.T) {
	dir := t.TempDir()
	version := func(n string, names ...string) {
		must(t, os.Mkdir(filepath.Join(dir, "..v"+n), 0o700))
		for _, name := range names {
			write(t, filepath.Join(dir, "..v"+n, name+".yaml"), policyYAML(name))
		}
		must(t, os.Symlink("..v"+n, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("1", "a", "b")
	for _, name := range []string{"a.yaml", "b.yaml"} {
		must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	sink := startDir(t, dir)
	version("2", "a")
	must(t, os.Remove(filepath.Join(dir, "b.yaml")))
	sink.until(t, "a key is gone", func(s *memorySink) bool { return hasPolicies("a")(s) && !hasPolicies("b")(s) && len(s.trouble) == 0 })
	version("3")
	must(t, os.Remove(filepath.Join(dir, "a.yaml")))
	sink.until(t, "all keys are gone", func(s *memorySink) bool {
		return s.troubleOf(dir).What == "SourceUnreadable" && hasPolicies("a")(s)
	})
}
