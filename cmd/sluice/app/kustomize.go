package app

import "path/filepath"

// isKustomization reports whether a file says how a directory is built.
func isKustomization(file string) bool {
	switch filepath.Base(file) {
	case "kustomization.yaml", "kustomization.yml", "Kustomization":
		return true
	}
	return false
}
