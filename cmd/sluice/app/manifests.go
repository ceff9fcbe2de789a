package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/policy/manifest"
)

// manifestFlags say where manifests are read from, in kubectl's manner.
type manifestFlags struct {
	paths     []string
	recursive bool
}

func (f *manifestFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVarP(&f.paths, "filename", "f", nil,
		"manifests instead of a cluster: files, directories, or - for stdin; Pods (with status.podIP), Namespaces, NetworkPolicies, and Services, Nodes and workloads that flows name")
	flags.BoolVarP(&f.recursive, "recursive", "R", false, "also read the directories below those given with -f")
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
}

func (r fileReader) read(ctx context.Context) (*cluster, error) {
	var loader manifest.Loader
	for _, path := range r.paths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.addPath(&loader, path); err != nil {
			return nil, unusable(err)
		}
	}
	set, problems := loader.Finish()
	return newCluster(set, problems), nil
}

func (r fileReader) addPath(loader *manifest.Loader, path string) error {
	if path == "-" {
		data, err := io.ReadAll(r.in)
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
		loader.Add("stdin", data)
		return nil
	}
	files, err := manifestFiles(path, r.recursive)
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read manifests: %w", err)
		}
		loader.Add(file, data)
	}
	return nil
}

// manifestFiles lists what path stands for: itself, or the files of a
// directory with the extensions that kubectl takes too, sorted.
func manifestFiles(path string, recursive bool) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != path && !recursive:
			return fs.SkipDir
		case !d.IsDir() && isManifest(p):
			files = append(files, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	if len(files) == 0 {
		hint := ""
		if !recursive {
			hint = " (-R reads the directories below it too)"
		}
		return nil, fmt.Errorf("read manifests: no .yaml, .yml or .json file in %s%s", path, hint)
	}
	return files, nil
}

func isManifest(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}
