package detect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/enforcer/diagnosis"
)

// CNIDirs are where container runtimes look for CNI configuration: containerd, CRI-O and
// the kubelet's old one, and k3s in its two places.
var CNIDirs = []string{"/etc/cni/net.d", "/var/lib/rancher/k3s/agent/etc/cni/net.d", "/etc/kubernetes/cni/net.d"}

// maxCNIFile bounds what is read of a file.
const maxCNIFile = 1 << 20

// readCNI reads the first directory that has configuration. Of each file only the names and
// types of plug-ins are kept, and the MTU: a configuration may hold what is nobody's
// business.
func readCNI(dirs []string) *diagnosis.CNI {
	if dirs == nil {
		dirs = CNIDirs
	}
	out := &diagnosis.CNI{Error: "there is no CNI configuration in " + strings.Join(dirs, ", ")}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &diagnosis.CNI{Dir: dir, Error: err.Error()}
		}
		var names []string
		for _, e := range entries {
			if slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(e.Name())) && !e.IsDir() {
				names = append(names, e.Name())
			}
		}
		if len(names) == 0 {
			continue
		}
		slices.Sort(names)
		out = &diagnosis.CNI{Dir: dir}
		for _, name := range names[:min(len(names), diagnosis.MaxCNIFiles)] {
			out.Files = append(out.Files, readCNIFile(dir, name))
		}
		break
	}
	return out
}

func readCNIFile(dir, name string) diagnosis.CNIConfig {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return diagnosis.CNIConfig{File: name, Error: err.Error()}
	}
	defer func() { _ = file.Close() }()
	// A pipe would hold us for ever.
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return diagnosis.CNIConfig{File: name, Error: "it is no regular file"}
	}
	data, err := io.ReadAll(io.LimitReader(file, maxCNIFile+1))
	if err != nil {
		return diagnosis.CNIConfig{File: name, Error: err.Error()}
	}
	out := parseCNI(data)
	out.File = name
	return out
}

// Limits on what is kept of a configuration.
const (
	maxPlugins   = 20
	maxPluginLen = 100
)

// parseCNI reads a configuration, or a list of them.
func parseCNI(data []byte) diagnosis.CNIConfig {
	if len(data) > maxCNIFile {
		return diagnosis.CNIConfig{Error: fmt.Sprintf("it has more than %d bytes", maxCNIFile)}
	}
	type plugin struct {
		Type string  `json:"type"`
		MTU  float64 `json:"mtu"`
	}
	var of struct {
		plugin
		Name    string   `json:"name"`
		Plugins []plugin `json:"plugins"`
	}
	if err := json.Unmarshal(data, &of); err != nil {
		// The error of a decoder may show some of what it read.
		return diagnosis.CNIConfig{Error: "it is no JSON of a CNI configuration"}
	}
	if of.Plugins == nil {
		of.Plugins = []plugin{of.plugin}
	}
	out := diagnosis.CNIConfig{Name: cut(of.Name)}
	for i, p := range of.Plugins[:min(len(of.Plugins), maxPlugins)] {
		if p.Type == "" {
			return diagnosis.CNIConfig{Error: "a plug-in of it has no type"}
		}
		out.Types = append(out.Types, cut(p.Type))
		if i == 0 && p.MTU >= 1 && p.MTU <= 1<<20 {
			out.MTU = int(p.MTU)
		}
	}
	if len(out.Types) == 0 {
		return diagnosis.CNIConfig{Error: "it names no plug-in"}
	}
	return out
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxPluginLen)], "?") }
