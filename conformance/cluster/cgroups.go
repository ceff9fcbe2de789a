package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// makeCgroups gives a node a cgroup of its own in every hierarchy, so that the
// kubelets on this machine do not remove each other's Pods. Both cgroup v1
// (alone or beside v2) and pure v2 are handled.
func makeCgroups(parent, name string) error {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return makeUnifiedCgroup(parent, name)
	}
	hierarchies, err := filepath.Glob(filepath.Join(cgroupRoot, "*", "cgroup.procs"))
	if err != nil {
		return err
	}
	if len(hierarchies) == 0 {
		return fmt.Errorf("find cgroups: none is mounted below %s", cgroupRoot)
	}
	for _, file := range hierarchies {
		dir := filepath.Dir(file)
		for _, part := range []string{parent, name} {
			above := dir
			dir = filepath.Join(dir, part)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			// A new cpuset has no processors, and takes no process until it does.
			for _, setting := range []string{"cpuset.cpus", "cpuset.mems"} {
				value, err := os.ReadFile(filepath.Join(above, setting))
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(dir, setting), value, 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func makeUnifiedCgroup(parent, name string) error {
	above := cgroupRoot
	for _, part := range []string{parent, name} {
		// Controllers are available in a cgroup if the one above hands them down.
		controllers, err := os.ReadFile(filepath.Join(above, "cgroup.controllers"))
		if err != nil {
			return err
		}
		for _, controller := range strings.Fields(string(controllers)) {
			if err := os.WriteFile(filepath.Join(above, "cgroup.subtree_control"), []byte("+"+controller), 0o644); err != nil {
				return fmt.Errorf("hand controller %s down from %s: %w", controller, above, err)
			}
		}
		above = filepath.Join(above, part)
		if err := os.MkdirAll(above, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// cgroups lists what is left of the nodes' cgroups, the deepest first.
func cgroups(parent string) ([]string, error) {
	roots, err := filepath.Glob(filepath.Join(cgroupRoot, "*", parent))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, root := range append(roots, filepath.Join(cgroupRoot, parent)) {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && entry.IsDir() {
				all = append(all, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Reverse(all)
	return all, nil
}

// removeCgroups removes the nodes' cgroups. The kernel may still be busy with
// processes that were killed a moment ago.
func removeCgroups(parent string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		left, err := cgroups(parent)
		if err != nil || len(left) == 0 {
			return err
		}
		var failed error
		for _, dir := range left {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = err
			}
		}
		if failed != nil && time.Now().After(deadline) {
			return fmt.Errorf("remove cgroups: %w", failed)
		}
		if failed != nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
}
