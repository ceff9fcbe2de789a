package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
	"k8s.io/klog/v2"

	"github.com/sluice-net/sluice/enforcer/manifestfiles"
)

// Dir reads manifests from a directory and its subdirectories, or from a
// single file, and follows their changes. Which files count, package manifestfiles
// says. A file that is broken or cannot be read changes nothing: what it said when it was last whole stays in force, and the
// agent is not ready until it is mended. If a file is broken when the source
// starts, there is nothing to fall back on but what the kernel enforces already,
// so the source counts as synced only when all files have been whole once; until
// then it is synced in part, with the policies that cannot be understood allowing
// nothing.
//
// A file that is deleted while others stay is taken at its word at once. A source
// that is gone is not: a directory that vanished, cannot be read, was replaced by
// something else, or holds no manifest any more where it held some (as when its
// mount went away) leaves all in force, without a limit of time, and the agent is
// not ready. A directory that holds no manifest when the source starts is synced
// in part: rules of an earlier agent stay. A manifest without objects, such as an
// empty file, is how to say that nothing is to be enforced.
type Dir struct {
	path string
}

// NewDir reads path.
func NewDir(path string) *Dir { return &Dir{path: path} }

const (
	// writing is how long a file must rest before it is read: many programs
	// empty a file first and then write it.
	writing = 50 * time.Millisecond
	// longestWriting bounds the wait when changes never cease.
	longestWriting = time.Second
	// rescan finds changes on file systems that do not tell of them.
	rescan = 10 * time.Second
	// lookAgain is how often a source that is lost is looked for: nothing tells
	// of a directory that comes back.
	lookAgain = time.Second
)

// Run delivers the objects and then their changes.
func (s *Dir) Run(ctx context.Context, sink Sink) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch manifests: %w", err)
	}
	defer func() { _ = watcher.Close() }()
	d := &dirReader{path: s.path, sink: sink, logger: klog.FromContext(ctx), watcher: watcher}
	d.files = manifestfiles.Reader{Enter: d.watch, Known: d.state.knows}
	d.scan(nil)
	for d.wait(ctx) {
		d.scan(d.changed)
	}
	return nil
}

// dirReader is a running Dir.
type dirReader struct {
	path    string
	sink    Sink
	logger  klog.Logger
	watcher *fsnotify.Watcher
	// changed are the paths that told of a change since the last scan.
	changed map[string]bool
	state   dirState
	synced  bool
	// single: the path was a file when it was first there; known: it was there.
	single, known bool
	// lost: the source cannot be read as a whole.
	lost bool
	// files lists the manifests.
	files manifestfiles.Reader
	// unwatched is why changes are found by looking alone, nil if they are not.
	unwatched error
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
	switch {
	case d.state.waiting():
		return 100 * time.Millisecond
	case d.lost || len(d.state.broken) > 0:
		return lookAgain
	}
	return rescan
}

// scan reads what changed; nil stands for everything.
func (d *dirReader) scan(changed map[string]bool) {
	found, err := d.list()
	if err == nil && found.None() && len(d.state.files) > 0 {
		err = errEmptied
	}
	if d.lost = err != nil; d.lost {
		d.sink.Report(d.path, d.lostError(err))
		return
	}
	events := d.state.update(found, changed)
	d.report(found)
	d.sink.Deliver(events...)
	switch {
	case d.synced:
	case found.None() || len(d.state.broken) > 0:
		d.sink.SyncedInPart()
	default:
		d.synced = true
		d.sink.Synced()
	}
}

var (
	errEmptied = errors.New("it held manifests and holds none any more, as if its mount were gone")
	errNoFile  = errors.New("it was a manifest and is no file any more")
)

// list finds the manifests and watches their directories. What path was when it was
// first there, it stays.
func (d *dirReader) list() (manifestfiles.Listing, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return manifestfiles.Listing{}, err
	}
	if !d.known {
		d.single = !info.IsDir()
	}
	switch {
	case d.single && info.IsDir():
		return manifestfiles.Listing{}, errNoFile
	case !d.single && !info.IsDir():
		return manifestfiles.Listing{}, manifestfiles.ErrNoDir
	}
	d.known, d.unwatched = true, nil
	if d.single {
		d.watch(filepath.Dir(d.path))
	}
	return d.files.List(d.path)
}

// watch is asked again with each scan, since a directory that was replaced
// needs a new watch: adding one that is there does nothing. What cannot be
// watched is looked at from time to time.
func (d *dirReader) watch(dir string) {
	if err := d.watcher.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.unwatched = fmt.Errorf("watch %s: %w", dir, err)
	}
}

// report tells the sink and the log what is broken and what is no more.
func (d *dirReader) report(found manifestfiles.Listing) {
	d.sink.Report(d.path, d.notice(found))
	for path, err := range d.state.broken {
		if old := d.state.reported[path]; old == nil || old.Error() != err.Error() {
			d.logger.Error(err, "A manifest is broken; what it said before stays in force", "file", path)
		}
		d.sink.Report(path, err)
	}
	for path := range d.state.reported {
		if d.state.broken[path] == nil {
			d.logger.Info("A manifest is whole again, or gone", "file", path, "exists", slices.Contains(found.Files, path))
			d.sink.Report(path, nil)
		}
	}
	d.state.reported = d.state.broken
}

// notice is what an operator should know of a source that works.
func (d *dirReader) notice(found manifestfiles.Listing) error {
	switch {
	case found.None():
		return Trouble{
			What: "SourceEmpty", Object: d.path,
			Message: "it holds no manifest, so that nothing is known to enforce; rules of an earlier agent stay",
			Mend:    "put the manifests there, or one without objects (an empty .yaml file) if nothing is to be enforced",
		}
	case d.unwatched != nil:
		return Trouble{
			What: "SourceUnwatched", Object: d.path,
			Message: fmt.Sprintf("changes are noticed up to %v late: %v", rescan, d.unwatched),
			Mend:    "raise fs.inotify.max_user_watches",
		}
	}
	return nil
}

// lostError says that the source as a whole cannot be read.
func (d *dirReader) lostError(err error) error {
	stays := "what it said stays in force"
	if !d.known {
		stays = "nothing of it is known so far"
	}
	return Trouble{
		What: "SourceUnreadable", Object: d.path, Message: fmt.Sprintf("%v; %s", err, stays),
		Mend: "bring the manifests back; if nothing is to be enforced, put a manifest without objects there (an empty .yaml file)",
	}
}
