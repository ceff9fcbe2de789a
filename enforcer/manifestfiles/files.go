// Package manifestfiles says which manifests a path stands for. There is one reading of a
// directory, for every command that takes one:
//
//   - A path that is no directory stands for itself, whatever it is called.
//   - A directory stands for its files named *.yaml, *.yml and *.json, and for those of
//     all directories below it, sorted by path. Other files are left out.
//   - What begins with a dot is left out, files and directories alike: editors' own
//     files, and the ..data of a mounted ConfigMap, whose files show up as links beside it.
//   - Links are followed, to files and to directories. A directory within itself is read
//     once, and below [Deepest] directories nothing is.
//   - What should count and cannot be read is named, with the reason: a file or directory
//     without permission, a link that leads nowhere, a pipe or a device, a manifest of
//     more than [Longest] bytes. The files beside it are listed all the same.
//
// The package knows files and nothing of what is in them, and builds on every system. What
// is no directory of the disk, as a commit of git, is read by the same rules: [Tree].
package manifestfiles

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// Deepest bounds how far directories are followed.
	Deepest = 16
	// Longest bounds what of a manifest is read into memory.
	Longest = 64 << 20
)

// Why something that should count cannot be read.
var (
	ErrIrregular = errors.New("it is no regular file")
	ErrDangling  = errors.New("it is a link that leads nowhere")
	ErrTooDeep   = fmt.Errorf("directories are nested more than %d deep", Deepest)
	ErrNoDir     = errors.New("it was a directory of manifests and is none any more")
	ErrOtherDir  = errors.New("another directory is there now, and it is empty, as if a mount were gone")
)

// Listing is what a look at a path found.
type Listing struct {
	// Files are the manifests, sorted.
	Files []string
	// Unread are files and directories that should count and cannot be read, with the
	// reason.
	Unread map[string]error
}

// None reports whether there is no manifest, nor anything that may be one.
func (l *Listing) None() bool { return len(l.Files) == 0 && len(l.Unread) == 0 }

// Holds reports whether a path is unread, or in a directory that is.
func (l *Listing) Holds(path string) bool {
	for unread := range l.Unread {
		if path == unread || strings.HasPrefix(path, unread+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// Err is nil if all that should count can be read, and otherwise names what cannot.
func (l *Listing) Err() error {
	var errs []error
	for path, err := range l.Unread {
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// Tree is files and directories that are somewhere else than on the disk, by paths as
// those of package os are, with its errors.
type Tree interface {
	Stat(path string) (fs.FileInfo, error)
	Lstat(path string) (fs.FileInfo, error)
	ReadDir(path string) ([]fs.DirEntry, error)
	SameFile(a, b fs.FileInfo) bool
}

// Disk is the files of the system.
type Disk struct{}

// Stat is os.Stat.
func (Disk) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// Lstat is os.Lstat.
func (Disk) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }

// ReadDir is os.ReadDir.
func (Disk) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

// SameFile is os.SameFile.
func (Disk) SameFile(a, b fs.FileInfo) bool { return os.SameFile(a, b) }

// Reader lists the manifests of a path, once or again and again. The zero value is ready
// for one look. One that looks again may be told what it found before: a directory that
// held manifests and is another, empty one now is as good as unread.
type Reader struct {
	// Tree is where the path is, the disk if it is nil.
	Tree Tree
	// Enter, if it is set, is called with each directory before it is read: what appears
	// in one after that, a watch that it set up tells of.
	Enter func(dir string)
	// Known, if it is set, reports whether a path, or one below it, was a manifest.
	Known func(path string) bool
	// dirs are the directories that were read, and which ones they were.
	dirs map[string]fs.FileInfo
}

// List finds the manifests that path stands for. It fails if path itself cannot be read.
func (r *Reader) List(path string) (Listing, error) {
	if r.Tree == nil {
		r.Tree = Disk{}
	}
	info, err := r.Tree.Stat(path)
	if err != nil {
		return Listing{}, err
	}
	found := Listing{Unread: map[string]error{}}
	if !info.IsDir() {
		found.Files = []string{path}
		return found, nil
	}
	if r.dirs == nil {
		r.dirs = map[string]fs.FileInfo{}
	}
	err = r.walk(path, info, nil, &found)
	slices.Sort(found.Files)
	return found, err
}

// walk adds what is in a directory; above are the directories around it.
func (r *Reader) walk(dir string, info fs.FileInfo, above []fs.FileInfo, found *Listing) error {
	if slices.ContainsFunc(above, func(a fs.FileInfo) bool { return r.Tree.SameFile(a, info) }) {
		return nil // a link that leads in a circle: all in it is read already
	}
	if len(above) > Deepest {
		found.Unread[dir] = ErrTooDeep
		return nil
	}
	if r.Enter != nil {
		r.Enter(dir)
	}
	entries, err := r.Tree.ReadDir(dir)
	if err != nil {
		return err
	}
	before := len(found.Files) + len(found.Unread)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			r.visit(filepath.Join(dir, e.Name()), append(above, info), found)
		}
	}
	if before == len(found.Files)+len(found.Unread) && len(above) > 0 && r.known(dir) && !r.isAsBefore(dir, info) {
		found.Unread[dir] = ErrOtherDir
		return nil
	}
	r.dirs[dir] = info
	return nil
}

// visit adds an entry of a directory. One that is gone is left out, and what
// cannot be read although it is there is not.
func (r *Reader) visit(path string, above []fs.FileInfo, found *Listing) {
	matters := Named(path) || r.known(path)
	info, err := r.Tree.Stat(path)
	if err == nil && info.IsDir() {
		if err = r.walk(path, info, above, found); err == nil {
			return
		}
		matters = true
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, still := r.Tree.Lstat(path); still == nil && matters {
			found.Unread[path] = ErrDangling
		}
	case !matters:
	case err != nil:
		found.Unread[path] = err
	case !info.Mode().IsRegular():
		found.Unread[path] = ErrIrregular
	case Named(path):
		found.Files = append(found.Files, path)
	default:
		found.Unread[path] = ErrNoDir
	}
}

func (r *Reader) known(path string) bool { return r.Known != nil && r.Known(path) }

func (r *Reader) isAsBefore(dir string, info fs.FileInfo) bool {
	was := r.dirs[dir]
	return was != nil && r.Tree.SameFile(was, info)
}

// Named reports whether a file is called as manifests are.
func Named(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// Check looks at a manifest without opening it: to open a pipe would wait for its
// writer.
func Check(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, ErrIrregular
	case info.Size() > Longest:
		return nil, fmt.Errorf("it has %d bytes, and a manifest may have %d", info.Size(), Longest)
	}
	return info, nil
}

// Read returns what is in a manifest, of one that grows meanwhile no more than Longest
// bytes.
func Read(path string) ([]byte, error) {
	if _, err := Check(path); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, Longest))
}
