package manifestfiles

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// A manifest is found wherever links lead, each once, sorted.
func TestListFollowsLinksOnce(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, p := range []string{"b.yaml", "a/c.yml", ".hidden/d.yaml", ".e.yaml", "f.txt"} {
		write(t, filepath.Join(dir, p))
	}
	write(t, filepath.Join(other, "g.json"))
	must(t, os.Symlink(other, filepath.Join(dir, "linked")))
	must(t, os.Symlink(dir, filepath.Join(dir, "a", "circle")))
	var r Reader
	found, err := r.List(dir)
	must(t, err)
	want := []string{filepath.Join(dir, "a", "c.yml"), filepath.Join(dir, "b.yaml"), filepath.Join(dir, "linked", "g.json")}
	if diff := cmp.Diff(want, found.Files); diff != "" || found.Err() != nil {
		t.Errorf("%v (-want +got):\n%s", found.Err(), diff)
	}
	single, err := r.List(filepath.Join(dir, "f.txt"))
	must(t, err)
	if !slices.Equal(single.Files, []string{filepath.Join(dir, "f.txt")}) {
		t.Errorf("a path that is no directory stands for %v", single.Files)
	}
	if _, err := r.List(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
}

// What should count and cannot be read is named, and hides nothing beside it.
func TestListNamesWhatItCannotRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "good.yaml"))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling.yaml")))
	must(t, os.Symlink("nowhere", filepath.Join(dir, "dangling.txt")))
	must(t, os.MkdirAll(filepath.Join(append([]string{dir}, slices.Repeat([]string{"d"}, Deepest+2)...)...), 0o755))
	var r Reader
	found, err := r.List(dir)
	must(t, err)
	if !slices.Equal(found.Files, []string{filepath.Join(dir, "good.yaml")}) {
		t.Errorf("files %v", found.Files)
	}
	got := strings.ReplaceAll(found.Err().Error(), dir+"/", "")
	want := "d" + strings.Repeat("/d", Deepest) + ": " + ErrTooDeep.Error() + "\ndangling.yaml: " + ErrDangling.Error()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !found.Holds(filepath.Join(dir, "dangling.yaml")) || found.Holds(filepath.Join(dir, "dangling.yaml~")) {
		t.Error("what is unread is not told from its neighbour")
	}
}

// A directory that held manifests and is another, empty one now is as good as unread.
func TestListDoubtsADirectoryThatWasReplaced(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "sub")
	write(t, filepath.Join(sub, "a.yaml"))
	r := Reader{Known: func(path string) bool { return path == sub }}
	found, err := r.List(dir)
	must(t, err)
	if found.Err() != nil || len(found.Files) != 1 {
		t.Fatalf("%v, %v", found.Files, found.Err())
	}
	must(t, os.Remove(filepath.Join(sub, "a.yaml")))
	if found, err = r.List(dir); err != nil || !found.None() {
		t.Errorf("its manifest was deleted: %v, %v", found, err)
	}
	must(t, os.Rename(sub, filepath.Join(dir, ".moved")))
	must(t, os.Mkdir(sub, 0o755))
	if found, err = r.List(dir); err != nil || !errors.Is(found.Unread[sub], ErrOtherDir) {
		t.Errorf("another one is in its place: %v, %v", found, err)
	}
}

func TestReadRefusesWhatIsTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	write(t, path)
	if data, err := Read(path); err != nil || string(data) != "{}" {
		t.Errorf("%q, %v", data, err)
	}
	must(t, os.Truncate(path, Longest+1))
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("%v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
