package app

import (
	"context"
	"path/filepath"
	"slices"
)

// kustomizationNames are the files that say how a directory is built.
var kustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// isKustomization reports whether a file says how a directory is built.
func isKustomization(file string) bool {
	return slices.Contains(kustomizationNames, filepath.Base(file))
}

// holdsKustomization reports whether a path, of the disk or of a revision, is a directory
// that says how it is built.
func holdsKustomization(ctx context.Context, path string) (bool, error) {
	source, at, err := sourceOf(ctx, path)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(kustomizationNames, func(name string) bool {
		info, err := source.Stat(filepath.Join(at, name))
		return err == nil && info.Mode().IsRegular()
	}), nil
}
