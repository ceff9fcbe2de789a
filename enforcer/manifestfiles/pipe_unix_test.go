//go:build unix

package manifestfiles

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// To open a pipe would wait for its writer.
func TestAPipeIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.yaml")
	must(t, syscall.Mkfifo(pipe, 0o600))
	var r Reader
	found, err := r.List(dir)
	must(t, err)
	if len(found.Files) != 0 || !errors.Is(found.Unread[pipe], ErrIrregular) {
		t.Errorf("%+v", found)
	}
	if _, err := Read(pipe); !errors.Is(err, ErrIrregular) {
		t.Errorf("%v", err)
	}
}
