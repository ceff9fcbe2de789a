package enforcer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// dirListing is what a look at the directories found.
type dirListing struct {
	// files are the manifests, sorted.
	files []string
	// unread are files and directories that are there and cannot be read, with
	// the reason: what they, and files in them, said stays in force.
	unread map[string]error
}

// none: there is no manifest, nor anything that may be one.
func (l *dirListing) none() bool { return len(l.files) == 0 && len(l.unread) == 0 }

// holds reports whether a path is unread, or in a directory that is.
func (l *dirListing) holds(path string) bool {
	for unread := range l.unread {
		if path == unread || strings.HasPrefix(path, unread+"/") {
			return true
		}
	}
	return false
}

// fileID tells a file or directory from another one of the same path.
type fileID struct{ device, inode uint64 }

func idOf(info fs.FileInfo) fileID {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return fileID{sys.Dev, sys.Ino}
	}
	return fileID{}
}

var (
	errEmptied   = errors.New("it held manifests and holds none any more, as if its mount were gone")
	errNoDir     = errors.New("it was a directory of manifests and is none any more")
	errNoFile    = errors.New("it was a manifest and is no file any more")
	errOtherDir  = errors.New("another directory is there now, and it is empty, as if a mount were gone")
	errIrregular = errors.New("it is no regular file")
	errTooDeep   = fmt.Errorf("directories are nested more than %d deep", deepest)
	errDangling  = errors.New("it is a link that leads nowhere")
)

// deepest bounds how far directories are followed.
const deepest = 16

// list finds the manifests and watches their directories. Entries that begin
// with a dot are skipped: editors' own files, and the ..data of a mounted
// ConfigMap, whose files show up as links beside it.
func (d *dirReader) list() (dirListing, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return dirListing{}, err
	}
	if !d.known {
		d.single = !info.IsDir()
	}
	switch {
	case d.single && info.IsDir():
		return dirListing{}, errNoFile
	case !d.single && !info.IsDir():
		return dirListing{}, errNoDir
	}
	d.known, d.unwatched = true, nil
	found := dirListing{unread: map[string]error{}}
	if d.single {
		d.watch(filepath.Dir(d.path))
		found.files = []string{d.path}
		return found, nil
	}
	err = d.walk(d.path, info, nil, &found)
	slices.Sort(found.files)
	return found, err
}

// walk adds what is in a directory; above are the directories around it.
func (d *dirReader) walk(dir string, info fs.FileInfo, above []fileID, found *dirListing) error {
	id := idOf(info)
	if slices.Contains(above, id) {
		return nil // a link that leads in a circle: all in it is read already
	}
	if len(above) > deepest {
		found.unread[dir] = errTooDeep
		return nil
	}
	// The watch comes before the look: what appears in between is told of.
	d.watch(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	before := len(found.files) + len(found.unread)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			d.visit(filepath.Join(dir, e.Name()), append(above, id), found)
		}
	}
	if before == len(found.files)+len(found.unread) && len(above) > 0 && d.state.knows(dir) && d.dirs[dir] != id {
		found.unread[dir] = errOtherDir
		return nil
	}
	d.dirs[dir] = id
	return nil
}

// visit adds an entry of a directory. One that is gone is left out, and what
// cannot be read although it is there is not.
func (d *dirReader) visit(path string, above []fileID, found *dirListing) {
	matters := isManifest(path) || d.state.knows(path)
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		if err = d.walk(path, info, above, found); err == nil {
			return
		}
		matters = true
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, still := os.Lstat(path); still == nil && matters {
			found.unread[path] = errDangling
		}
	case !matters:
	case err != nil:
		found.unread[path] = err
	case !info.Mode().IsRegular():
		found.unread[path] = errIrregular
	case isManifest(path):
		found.files = append(found.files, path)
	default:
		found.unread[path] = errNoDir
	}
}

func isManifest(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// watch is asked again with each scan, since a directory that was replaced
// needs a new watch: adding one that is there does nothing. What cannot be
// watched is looked at from time to time.
func (d *dirReader) watch(dir string) {
	if err := d.watcher.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.unwatched = fmt.Errorf("watch %s: %w", dir, err)
	}
}
