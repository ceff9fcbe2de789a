//go:build !nolab

package app

import (
	"context"
	"fmt"
	"path"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// buildKustomization is what "kubectl apply -k" would apply: plug-ins are off, and files
// outside the directory are its bases' alone. The directory may be one of a revision.
func buildKustomization(ctx context.Context, dir string) ([]byte, error) {
	source, at, err := sourceOf(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("build kustomization %s: %w", dir, err)
	}
	files := filesys.MakeFsOnDisk()
	if tree, is := source.(*gitTree); is {
		files, at = gitFiles{filesys.MakeFsInMemory(), tree, func(name string) (data []byte, err error) {
			err = tree.read(ctx, []string{name}, func(_ string, text []byte) { data = text })
			return data, err
		}}, "/"+at
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, at)
	if err != nil {
		return nil, fmt.Errorf("build kustomization %s: %w", dir, err)
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("build kustomization %s: %w", dir, err)
	}
	return text, nil
}

// gitFiles are a revision to kustomize, with the top of the repository at the root. What
// kustomize would write or walk through it finds empty: a build does neither.
type gitFiles struct {
	filesys.FileSystem
	tree *gitTree
	read func(name string) ([]byte, error)
}

func (f gitFiles) Exists(name string) bool {
	_, err := f.tree.resolve(name)
	return err == nil
}

func (f gitFiles) IsDir(name string) bool {
	at, err := f.tree.resolve(name)
	return err == nil && f.tree.entries[at].mode.IsDir()
}

// CleanedAbs follows links, so that none leads around what a kustomization may read.
func (f gitFiles) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	at, err := f.tree.resolve(name)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", f.tree.shown(name), err)
	}
	if f.IsDir(at) {
		return filesys.ConfirmedDir(path.Join("/", at)), "", nil
	}
	return filesys.ConfirmedDir(path.Join("/", path.Dir(at))), path.Base(at), nil
}

func (f gitFiles) ReadFile(name string) ([]byte, error) { return f.read(name) }
