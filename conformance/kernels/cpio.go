package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
)

// writeCPIO writes an archive as the kernel unpacks for its first root: cpio's format
// "newc" (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel). Directories are made where
// files need them. Several archives may follow each other.
func writeCPIO(w io.Writer, root files) error {
	out := &archive{w: bufio.NewWriter(w)}
	made := map[string]bool{".": true, "/": true}
	for _, name := range slices.Sorted(maps.Keys(root)) {
		out.directories(path.Dir(name), made)
		f := root[name]
		if f.target != "" {
			out.entry(name, 0o120777, []byte(f.target))
			continue
		}
		out.entry(name, 0o100000|uint32(f.mode.Perm()), f.data)
	}
	out.entry("TRAILER!!!", 0, nil)
	if out.err != nil {
		return fmt.Errorf("write archive: %w", out.err)
	}
	return out.w.Flush()
}

// archive keeps its first error.
type archive struct {
	w     *bufio.Writer
	inode uint32
	err   error
}

func (a *archive) directories(name string, made map[string]bool) {
	if made[name] {
		return
	}
	a.directories(path.Dir(name), made)
	made[name] = true
	a.entry(name, 0o040755, nil)
}

func (a *archive) entry(name string, mode uint32, data []byte) {
	if a.err != nil {
		return
	}
	a.inode++
	links := 1
	// Magic, inode, mode, owner, group, links, time, size, two devices, length of the
	// name with its zero, checksum.
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	a.padded([]byte(header))
	a.padded(data)
}

// padded writes to a multiple of four bytes.
func (a *archive) padded(b []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(b)
	}
	if rest := len(b) % 4; a.err == nil && rest != 0 {
		_, a.err = a.w.Write(make([]byte, 4-rest))
	}
}
