package main

import (
	"os"
	"path/filepath"
	"time"
)

// clusterPrograms is where the program that makes clusters keeps what it has
// built, the newest; empty if there is nothing.
func clusterPrograms() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	found, err := filepath.Glob(filepath.Join(cache, "sluice-cluster", "*", "etcd"))
	if err != nil {
		return ""
	}
	var newest time.Time
	dir := ""
	for _, path := range found {
		info, err := os.Stat(path)
		if err != nil || info.ModTime().Before(newest) {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), "kube-apiserver")); err == nil {
			newest, dir = info.ModTime(), filepath.Dir(path)
		}
	}
	return dir
}
