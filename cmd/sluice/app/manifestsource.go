package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluice-net/sluice/enforcer/manifestfiles"
	"github.com/sluice-net/sluice/policy/manifest"
)

// manifestSource is where the files of a path are: on the disk, or in a revision of git.
// There is one reading of both.
type manifestSource interface {
	manifestfiles.Tree
	// glob are the paths that match a pattern, sorted.
	glob(pattern string) ([]string, error)
	// read hands over files, in their order.
	read(ctx context.Context, files []string, add func(file string, data []byte)) error
	// of is the revision, empty on the disk.
	of() string
	// leftOut is what of a directory that was listed is left out.
	leftOut() []manifest.Problem
}

// shownIn is a path of a source as a command line has it.
func shownIn(source manifestSource, path string) string {
	if tree, is := source.(*gitTree); is {
		return tree.shown(path)
	}
	return path
}

// sourceOf is where a path leads, and what the path is there. What is there as a file, or
// matches as a pattern, is no revision.
func sourceOf(ctx context.Context, path string) (manifestSource, string, error) {
	_, err := os.Stat(path)
	if err != nil && isPattern(path) {
		var matches []string
		if matches, err = filepath.Glob(path); len(matches) == 0 {
			err = errors.Join(err, fs.ErrNotExist)
		}
	}
	if revision, is := parseRevision(path); err != nil && is {
		tree, at, err := revision.open(ctx)
		if err != nil {
			return nil, "", err
		}
		return tree, at, tree.there(revision, at)
	}
	return onDisk{}, path, nil
}

// there fails if the revision has no such path, and nothing that it matches.
func (t *gitTree) there(r gitRevision, at string) error {
	_, err := t.resolve(at)
	switch {
	case err == nil || isPattern(at):
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read manifests: %s: %w", r, err)
	}
	return fmt.Errorf("read manifests: there is no %q in revision %s (paths are those from the top of the repository; ./ leads from here)", r.path, r.revision)
}

// onDisk are the files of the system.
type onDisk struct{ manifestfiles.Disk }

func (onDisk) glob(pattern string) ([]string, error) { return filepath.Glob(pattern) }
func (onDisk) of() string                            { return "" }
func (onDisk) leftOut() []manifest.Problem           { return nil }

func (onDisk) read(_ context.Context, files []string, add func(file string, data []byte)) error {
	for _, file := range files {
		data, err := manifestfiles.Read(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		add(file, data)
	}
	return nil
}
