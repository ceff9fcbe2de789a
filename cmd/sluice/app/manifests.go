package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/enforcer/manifestfiles"
)

// manifestFlags say where manifests are read from, in kubectl's manner. What of a
// directory counts, package manifestfiles says: the agent and the questions read it alike.
type manifestFlags struct {
	paths     []string
	recursive bool
}

func (f *manifestFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVarP(&f.paths, "filename", "f", nil,
		"manifests instead of a cluster: files, directories with all below them, or - for stdin; Pods (with status.podIP), Namespaces, NetworkPolicies, and Services, Nodes and workloads that flows name")
	flags.BoolVarP(&f.recursive, "recursive", "R", false, "nothing more: the directories below those given with -f are read in any case, as an agent reads them")
}

func (f *manifestFlags) validate() error {
	stdin := 0
	for _, p := range f.paths {
		if p == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		return errors.New("-f -: stdin can be read once")
	}
	return nil
}

// stdin reports whether manifests come from stdin.
func (f *manifestFlags) stdin() bool { return slices.Contains(f.paths, "-") }

// fileReader reads a cluster from manifests.
type fileReader struct {
	manifestFlags
	in io.Reader
	// namespace is that of objects that name none; empty is "default".
	namespace string
}

func (r fileReader) read(ctx context.Context) (*cluster, error) {
	in, err := r.objects(ctx)
	if err != nil {
		return nil, err
	}
	return newCluster(in.set, in.problems), nil
}

// eachManifest hands over each manifest that a path stands for, with its name: stdin, a
// file or directory, a pattern, or else a revision of git.
func eachManifest(ctx context.Context, in io.Reader, path string, add func(name string, data []byte)) error {
	if path == "-" {
		data, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
		add("stdin", data)
		return nil
	}
	_, statErr := os.Stat(path)
	if statErr != nil && isPattern(path) {
		return eachMatch(ctx, in, path, add)
	}
	if revision, is := parseRevision(path); statErr != nil && is {
		return revision.each(ctx, add)
	}
	var reader manifestfiles.Reader
	found, err := reader.List(path)
	if err == nil {
		// An agent goes on with what such a file said before; a question has no before.
		err = found.Err()
	}
	if err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	if found.None() {
		return fmt.Errorf("read manifests: no .yaml, .yml or .json file in %s, nor below", path)
	}
	for _, file := range found.Files {
		data, err := manifestfiles.Read(file)
		if err != nil {
			return fmt.Errorf("read manifests: %s: %w", file, err)
		}
		add(file, data)
	}
	return nil
}

// isPattern reports whether a path has what a shell would have expanded.
func isPattern(path string) bool { return strings.ContainsAny(path, "*?[") }

func eachMatch(ctx context.Context, in io.Reader, pattern string, add func(name string, data []byte)) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return fmt.Errorf("read manifests: %s: %w", pattern, err)
	}
	if len(paths) == 0 {
		return fmt.Errorf("read manifests: nothing is called as %s", pattern)
	}
	for _, path := range paths {
		if err := eachManifest(ctx, in, path, add); err != nil {
			return err
		}
	}
	return nil
}
