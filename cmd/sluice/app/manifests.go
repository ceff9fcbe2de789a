package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sluice-net/sluice/enforcer/manifestfiles"
	"github.com/sluice-net/sluice/policy/manifest"
)

// manifestFlags say where manifests are read from, in kubectl's manner. What of a
// directory counts, package manifestfiles says: the agent and the questions read it alike.
type manifestFlags struct {
	paths []string
	// kustomizations are directories to be built.
	kustomizations []string
	recursive      bool
}

func (f *manifestFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVarP(&f.paths, "filename", "f", nil,
		"manifests instead of a cluster: files, directories with all below them, or - for stdin; Pods (with status.podIP), Namespaces, NetworkPolicies, and Services, Nodes and workloads that flows name")
	flags.StringArrayVarP(&f.kustomizations, "kustomize", "k", nil, "kustomizations instead of a cluster: directories that are built as kubectl apply -k builds them")
	flags.BoolVarP(&f.recursive, "recursive", "R", false, "nothing more: the directories below those given with -f are read in any case, as an agent reads them")
}

func (f *manifestFlags) validate() error {
	if stdins(f.paths) > 1 {
		return errors.New("-f -: stdin can be read once")
	}
	return nil
}

// stdins counts how often paths mean stdin.
func stdins(paths []string) int {
	n := 0
	for _, p := range paths {
		if p == "-" {
			n++
		}
	}
	return n
}

// given reports whether there are any.
func (f *manifestFlags) given() bool { return len(f.paths)+len(f.kustomizations) > 0 }

// each hands over all manifests, with their names.
func (f *manifestFlags) each(ctx context.Context, in io.Reader, add func(name string, data []byte), leftOut func(manifest.Problem)) error {
	for _, path := range f.paths {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := eachManifest(ctx, in, path, add, leftOut); err != nil {
			return err
		}
	}
	for _, dir := range f.kustomizations {
		text, err := buildKustomization(ctx, dir)
		if err != nil {
			return err
		}
		add(dir+" (built)", text)
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
	// addition: they are applied to objects that are there.
	addition bool
}

func (r fileReader) read(ctx context.Context) (*cluster, error) {
	in, err := r.objects(ctx)
	if err != nil {
		return nil, err
	}
	return newCluster(in.set, in.problems), nil
}

// eachManifest hands over each manifest that a path stands for, with its name: stdin, a
// file or directory, a pattern, or any of these in a revision of git. What of a directory
// is left out, though it is called as manifests are, it says.
func eachManifest(ctx context.Context, in io.Reader, path string, add func(name string, data []byte), leftOut func(manifest.Problem)) error {
	if path == "-" {
		data, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("read stdin: %w", err)
		}
		add("stdin", data)
		return nil
	}
	if strings.Contains(path, "://") {
		return fmt.Errorf("read manifests: %s: nothing is fetched from the network: curl -fL %s | sluice … -f -", path, path)
	}
	source, at, err := sourceOf(ctx, path)
	if err != nil {
		return err
	}
	paths := []string{at}
	if _, err := source.Stat(at); err != nil && isPattern(at) {
		if paths, err = source.glob(at); err != nil {
			return fmt.Errorf("read manifests: %s: %w", path, err)
		}
		if len(paths) == 0 {
			return fmt.Errorf("read manifests: nothing is called as %s", path)
		}
	}
	for _, p := range paths {
		if err := eachBelow(ctx, source, p, add, leftOut); err != nil {
			return err
		}
	}
	return nil
}

// eachBelow hands over the manifests of one file or directory.
func eachBelow(ctx context.Context, source manifestSource, path string, add func(name string, data []byte), leftOut func(manifest.Problem)) error {
	reader := manifestfiles.Reader{Tree: source}
	found, err := reader.List(path)
	if err == nil {
		// An agent goes on with what such a file said before; a question has no before.
		err = found.Err()
	}
	if err != nil {
		if of := source.of(); of != "" {
			err = fmt.Errorf("in revision %s: %w", of, err)
		}
		return fmt.Errorf("read manifests: %w", err)
	}
	if found.None() {
		return fmt.Errorf("read manifests: no .yaml, .yml or .json file in %s, nor below", shownIn(source, path))
	}
	charts, checkedOut := chartsOf(source, found.Files), ""
	if of := source.of(); of != "" {
		checkedOut = ", in a checkout of " + of
	}
	if slices.Contains(charts, filepath.Clean(path)) {
		return fmt.Errorf("%s is a Helm chart, whose templates are no manifests yet: helm template NAME %s | sluice … -f -%s", shownIn(source, path), path, checkedOut)
	}
	for _, problem := range source.leftOut() {
		leftOut(problem)
	}
	for _, chart := range charts {
		leftOut(manifest.Problem{Source: shownIn(source, chart), Notice: true, Message: "left out: a Helm chart, whose templates are no manifests yet: give what helm template NAME " + chart + " prints" + checkedOut})
	}
	files := slices.DeleteFunc(found.Files, func(file string) bool { return inside(charts, file) })
	for _, file := range files {
		if isKustomization(file) {
			leftOut(manifest.Problem{Source: shownIn(source, file), Notice: true, Message: "not built: the files are read as they are, patches included; give -k " + shownIn(source, filepath.Dir(file)) + " for what it makes of them"})
		}
	}
	err = source.read(ctx, files, func(file string, data []byte) { add(shownIn(source, file), data) })
	if err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	return nil
}

// isPattern reports whether a path has what a shell would have expanded.
func isPattern(path string) bool { return strings.ContainsAny(path, "*?[") }

// chartsOf are the directories that hold a Helm chart: its templates are no manifests
// before Helm has filled them in.
func chartsOf(source manifestSource, files []string) []string {
	var out []string
	for _, file := range files {
		dir := filepath.Dir(file)
		if name := filepath.Base(file); name != "Chart.yaml" {
			continue
		}
		if info, err := source.Stat(filepath.Join(dir, "templates")); err == nil && info.IsDir() {
			out = append(out, dir)
		}
	}
	return out
}

func inside(dirs []string, file string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(file, dir+string(filepath.Separator)) })
}
