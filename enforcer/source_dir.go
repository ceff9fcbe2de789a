package enforcer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"
)

// DirSource reads manifests from a directory and its subdirectories, or from a
// single file, and follows their changes. A file that is broken changes
// nothing: what it said when it was last whole stays in force, and the agent is
// not ready until it is mended. If a file is broken when the source starts,
// there is nothing to fall back on but what the kernel enforces already, so the
// source counts as synced only when all files have been whole once; until then
// it is synced in part, with the policies that cannot be understood allowing
// nothing.
type DirSource struct {
	path string
}

// NewDirSource reads path.
func NewDirSource(path string) *DirSource { return &DirSource{path: path} }

const (
	// writing is how long a file must rest before it is read: many programs
	// empty a file first and then write it.
	writing = 50 * time.Millisecond
	// longestWriting bounds the wait when changes never cease.
	longestWriting = time.Second
	// rescan finds changes on file systems that do not tell of them.
	rescan = 10 * time.Second
)

// Run delivers the objects and then their changes.
func (s *DirSource) Run(ctx context.Context, sink Sink) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch manifests: %w", err)
	}
	defer func() { _ = watcher.Close() }()
	d := &dirReader{path: s.path, sink: sink, logger: klog.FromContext(ctx), watcher: watcher}
	d.scan(nil)
	for d.wait(ctx) {
		d.scan(d.changed)
	}
	return nil
}

// dirReader is a running DirSource.
type dirReader struct {
	path    string
	sink    Sink
	logger  klog.Logger
	watcher *fsnotify.Watcher
	// changed are the paths that told of a change since the last scan.
	changed map[string]bool
	state   dirState
	synced  bool
}

// wait returns when something has changed and then rested for a moment, or when
// it is time to look anyway; false when the context ends.
func (d *dirReader) wait(ctx context.Context) bool {
	d.changed = map[string]bool{}
	look := time.NewTimer(d.patience())
	defer look.Stop()
	var rest <-chan time.Time
	var deadline time.Time
	for {
		select {
		case <-ctx.Done():
			return false
		case <-look.C:
			return true
		case <-rest:
			return true
		case err := <-d.watcher.Errors:
			d.logger.V(2).Info("Lost notifications of file changes", "err", err)
			d.changed = nil
			return true
		case e := <-d.watcher.Events:
			if e.Op == fsnotify.Chmod {
				continue
			}
			d.changed[e.Name] = true
			if deadline.IsZero() {
				deadline = time.Now().Add(longestWriting)
			}
			rest = time.After(min(writing, time.Until(deadline)))
		}
	}
}

// patience is how long to wait without any notification.
func (d *dirReader) patience() time.Duration {
	if d.state.empty() {
		return 500 * time.Millisecond
	}
	return rescan
}

// scan reads what changed; nil stands for everything.
func (d *dirReader) scan(changed map[string]bool) {
	files, err := d.list()
	if err != nil {
		d.sink.Report(d.path, err)
		d.logger.Error(err, "Failed to list manifests; what they said stays in force")
		return
	}
	events := d.state.update(files, changed)
	d.report(files)
	d.sink.Deliver(events...)
	switch {
	case d.synced:
	case len(d.state.broken) == 0:
		d.synced = true
		d.sink.Synced()
	default:
		d.sink.SyncedInPart()
	}
}

// report tells the sink and the log what is broken and what is no more.
func (d *dirReader) report(files []string) {
	d.sink.Report(d.path, nil)
	for path, err := range d.state.broken {
		if old := d.state.reported[path]; old == nil || old.Error() != err.Error() {
			d.logger.Error(err, "A manifest is broken; what it said before stays in force", "file", path)
		}
		d.sink.Report(path, err)
	}
	for path := range d.state.reported {
		if d.state.broken[path] == nil {
			d.logger.Info("A manifest is whole again, or gone", "file", path, "exists", slices.Contains(files, path))
			d.sink.Report(path, nil)
		}
	}
	d.state.reported = d.state.broken
}

// list finds the manifests and watches their directories. Entries that begin
// with a dot are skipped: editors' own files, and the ..data of a mounted
// ConfigMap, whose files show up as links beside it.
func (d *dirReader) list() ([]string, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{d.path}, d.watch(filepath.Dir(d.path))
	}
	var files []string
	err = d.walk(d.path, &files, 0)
	slices.Sort(files)
	return files, err
}

// deepest bounds links that lead in a circle.
const deepest = 16

func (d *dirReader) walk(dir string, files *[]string, depth int) error {
	if depth > deepest {
		return nil
	}
	// The watch comes before the look: what appears in between is told of.
	if err := d.watch(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // a dangling link, or gone meanwhile
		case err != nil:
			return err
		case info.IsDir():
			if err := d.walk(path, files, depth+1); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		case isManifest(path):
			*files = append(*files, path)
		}
	}
	return nil
}

func isManifest(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// watch is asked again with each scan, since a directory that was replaced
// needs a new watch: adding one that is there does nothing.
func (d *dirReader) watch(dir string) error {
	if err := d.watcher.Add(dir); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	return nil
}
