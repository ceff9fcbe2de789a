package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-net/sluice/enforcer/manifestfiles"
	"github.com/sluice-net/sluice/policy/manifest"
)

// errOutside is of a link whose target no commit has.
var errOutside = errors.New("it is a link that leads out of the repository, and what is there no revision has")

// mostLinks bounds how many links one path may lead over, as Linux does.
const mostLinks = 40

// gitTree is what a commit holds, read as a directory of the working tree is: links are
// followed, patterns match, charts and kustomizations are known. Paths are those from the
// top of the repository, which is ".".
type gitTree struct {
	revision string
	entries  map[string]gitEntry
	// below are the names in each directory, sorted.
	below map[string][]string
	// skipped is what of the working tree the commit cannot have, as far as it was met.
	skipped []manifest.Problem
}

// gitEntry is a file, a link, a directory or a submodule.
type gitEntry struct {
	mode   fs.FileMode
	object string
	// target is where a link leads.
	target string
	// submodule: a directory whose content another repository has.
	submodule bool
}

func readGitTree(ctx context.Context, revision, commit string) (*gitTree, error) {
	out, err := git(ctx, nil, "ls-tree", "--full-tree", "-r", "-t", "-z", commit)
	if err != nil {
		return nil, err
	}
	t := &gitTree{revision: revision, entries: map[string]gitEntry{".": {mode: fs.ModeDir}}, below: map[string][]string{}}
	var links, objects []string
	for line := range strings.SplitSeq(string(out), "\x00") {
		head, name, _ := strings.Cut(line, "\t")
		fields := strings.Fields(head)
		if len(fields) != 3 {
			continue // the end
		}
		e := gitEntry{object: fields[2]}
		switch fields[0] {
		case "040000":
			e.mode = fs.ModeDir
		case "160000":
			e.mode, e.submodule = fs.ModeDir, true
		case "120000":
			e.mode = fs.ModeSymlink
			links, objects = append(links, name), append(objects, e.object)
		}
		t.entries[name] = e
		t.below[path.Dir(name)] = append(t.below[path.Dir(name)], path.Base(name))
	}
	for _, names := range t.below {
		slices.Sort(names)
	}
	return t, gitBlobs(ctx, objects, func(i int, target []byte) {
		e := t.entries[links[i]]
		e.target = string(target)
		t.entries[links[i]] = e
	})
}

// gitBlobs reads objects by one process, in their order.
func gitBlobs(ctx context.Context, objects []string, add func(i int, data []byte)) error {
	if len(objects) == 0 {
		return nil
	}
	out, err := git(ctx, []byte(strings.Join(objects, "\n")+"\n"), "cat-file", "--batch")
	if err != nil {
		return err
	}
	for i := range objects {
		head, rest, _ := bytes.Cut(out, []byte("\n"))
		fields := strings.Fields(string(head))
		size := -1
		if len(fields) == 3 && fields[1] == "blob" {
			size, _ = strconv.Atoi(fields[2])
		}
		if size < 0 || size >= len(rest) {
			return fmt.Errorf("git does not give the object: %s", head)
		}
		add(i, rest[:size])
		out = rest[size+1:]
	}
	return nil
}

// resolve follows the links of a path, as a system does that opens it.
func (t *gitTree) resolve(name string) (string, error) {
	at, links := ".", 0
	rest := strings.Split(path.Clean(filepath.ToSlash(name)), "/")
	for len(rest) > 0 {
		next := rest[0]
		rest = rest[1:]
		switch {
		case next == "" || next == ".":
			continue
		case next == ".." && at == ".":
			return "", errOutside
		case next == "..":
			at = path.Dir(at)
			continue
		}
		e, is := t.entries[path.Join(at, next)]
		switch {
		case !is:
			return "", fs.ErrNotExist
		case e.mode != fs.ModeSymlink:
			at = path.Join(at, next)
		case path.IsAbs(e.target):
			return "", errOutside
		case links == mostLinks:
			return "", errors.New("its links lead in a circle")
		default:
			links++
			rest = append(strings.Split(e.target, "/"), rest...)
		}
	}
	return at, nil
}

// Stat tells of what a path leads to. A link out of the repository is noted: whether it
// matters can only be told by its name, for it may lead to a directory.
func (t *gitTree) Stat(name string) (fs.FileInfo, error) {
	at, err := t.resolve(name)
	if errors.Is(err, errOutside) && !manifestfiles.Named(name) {
		t.skip(name, "left out: "+err.Error())
	}
	if err != nil {
		return nil, err
	}
	return gitInfo{at, path.Base(filepath.ToSlash(name)), t.entries[at].mode}, nil
}

// Lstat tells of a path itself, be it a link.
func (t *gitTree) Lstat(name string) (fs.FileInfo, error) {
	name = path.Clean(filepath.ToSlash(name))
	dir, err := t.resolve(path.Dir(name))
	if err != nil {
		return nil, err
	}
	at := path.Join(dir, path.Base(name))
	e, is := t.entries[at]
	if !is {
		return nil, fs.ErrNotExist
	}
	return gitInfo{at, path.Base(name), e.mode}, nil
}

// ReadDir lists a directory.
func (t *gitTree) ReadDir(name string) ([]fs.DirEntry, error) {
	at, err := t.resolve(name)
	if err != nil {
		return nil, err
	}
	if t.entries[at].submodule {
		t.skip(name, "left out: a submodule, whose files are not in this repository")
	}
	var out []fs.DirEntry
	for _, base := range t.below[at] {
		out = append(out, fs.FileInfoToDirEntry(gitInfo{path.Join(at, base), base, t.entries[path.Join(at, base)].mode}))
	}
	return out, nil
}

// SameFile reports whether two paths lead to one file or directory.
func (t *gitTree) SameFile(a, b fs.FileInfo) bool { return a.Sys() == b.Sys() }

func (t *gitTree) skip(name, why string) {
	t.skipped = append(t.skipped, manifest.Problem{Source: t.shown(name), Notice: true, Message: why})
}

// shown is a path as a command line has it.
func (t *gitTree) shown(name string) string {
	return t.revision + ":" + strings.TrimPrefix(path.Clean(filepath.ToSlash(name)), "/")
}

func (t *gitTree) of() string { return t.revision }

// leftOut is what was skipped since it was asked last.
func (t *gitTree) leftOut() []manifest.Problem {
	out := t.skipped
	t.skipped = nil
	return out
}

// glob are the paths that match a pattern, as filepath.Glob has them.
func (t *gitTree) glob(pattern string) ([]string, error) {
	at := []string{"."}
	for segment := range strings.SplitSeq(pattern, "/") {
		var next []string
		for _, dir := range at {
			entries, err := t.ReadDir(dir)
			if err != nil {
				continue // no directory, or none that can be read
			}
			for _, e := range entries {
				is, err := path.Match(segment, e.Name())
				if err != nil {
					return nil, err
				}
				if is {
					next = append(next, path.Join(dir, e.Name()))
				}
			}
		}
		at = next
	}
	return at, nil
}

// read hands over files, in their order, by one process of git.
func (t *gitTree) read(ctx context.Context, files []string, add func(file string, data []byte)) error {
	var objects []string
	for _, file := range files {
		at, err := t.resolve(file)
		if err == nil && t.entries[at].mode != 0 {
			err = manifestfiles.ErrIrregular
		}
		if err != nil {
			return fmt.Errorf("%s: %w", t.shown(file), err)
		}
		objects = append(objects, t.entries[at].object)
	}
	var long error
	err := gitBlobs(ctx, objects, func(i int, data []byte) {
		if len(data) > manifestfiles.Longest {
			long = fmt.Errorf("%s has %d bytes, and a manifest may have %d", t.shown(files[i]), len(data), manifestfiles.Longest)
			return
		}
		add(files[i], data)
	})
	return errors.Join(err, long)
}

// gitInfo is what is known of a file in a commit. Sys is its path without links.
type gitInfo struct {
	path, name string
	mode       fs.FileMode
}

func (i gitInfo) Name() string       { return i.name }
func (i gitInfo) Size() int64        { return 0 }
func (i gitInfo) Mode() fs.FileMode  { return i.mode }
func (i gitInfo) ModTime() time.Time { return time.Time{} }
func (i gitInfo) IsDir() bool        { return i.mode.IsDir() }
func (i gitInfo) Sys() any           { return i.path }
