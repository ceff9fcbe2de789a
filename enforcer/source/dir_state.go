package source

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-net/sluice/enforcer/manifestfiles"
	"github.com/sluice-net/sluice/policy/manifest"
)

// dirState is what the files of a Dir said, each when it was last whole.
type dirState struct {
	files map[string]*dirFile
	// broken says of each file that is not in force as it stands why not.
	broken, reported map[string]error
	objects          map[Key]Event
}

// dirFile is one manifest.
type dirFile struct {
	stamp stamp
	// good is the content in force, nil if it has never been whole.
	good []byte
	// first is the content of a file that was broken when the source started,
	// in force until the file has been whole once: [manifest.Loader] lets a
	// policy that it cannot understand allow nothing.
	first []byte
	// seen is the content that was read last: good, or a broken one.
	seen []byte
	// goodInode is the file that said what is in force.
	goodInode uint64
	// shrunk is when the file was found shorter than what is in force, with the
	// stamp that it had; zero if it is not.
	shrunk   time.Time
	shrunkTo stamp
}

// stamp tells two states of a file apart without reading it.
type stamp struct {
	inode    uint64
	size     int64
	modified time.Time
}

const (
	// emptyFor is how long a file must stay empty to count as emptied on purpose,
	// rather than as being written.
	emptyFor = time.Second
	// shrunkFor is the same for a file that was written over in place and is
	// shorter: a manifest that is cut between two objects is a whole one.
	shrunkFor = 300 * time.Millisecond
)

// update reads the files that changed and returns what that changes. changed
// names paths that were said to have changed, nil if all may have.
func (s *dirState) update(found manifestfiles.Listing, changed map[string]bool) []Event {
	if s.files == nil {
		s.files = map[string]*dirFile{}
	}
	s.broken = maps.Clone(found.Unread)
	fresh := s.read(found.Files, changed)
	for path := range s.files {
		if _, there := slices.BinarySearch(found.Files, path); !there && !found.Holds(path) {
			delete(s.files, path)
		}
	}
	objects := s.combine(fresh)
	if s.objects == nil && s.keepFirst() {
		set, _ := s.load(nil)
		objects = objectsOf(set)
	}
	events := s.diff(objects)
	s.objects = objects
	return events
}

// keepFirst puts into force what can be read of files that are broken at the
// start, and says whether there are any.
func (s *dirState) keepFirst() bool {
	for path := range s.broken {
		if f := s.files[path]; f != nil && f.good == nil {
			f.first = f.seen
		}
	}
	return len(s.broken) > 0
}

// knows reports whether a path, or one below it, is of a manifest in force.
func (s *dirState) knows(path string) bool {
	for known := range s.files {
		if known == path || strings.HasPrefix(known, path+"/") {
			return true
		}
	}
	return false
}

// waiting reports whether some file may still be being written.
func (s *dirState) waiting() bool {
	for _, f := range s.files {
		if !f.shrunk.IsZero() {
			return true
		}
	}
	return false
}

// read returns the paths whose content is not what is in force.
func (s *dirState) read(paths []string, changed map[string]bool) []string {
	var fresh []string
	for _, path := range paths {
		f := s.files[path]
		if f == nil {
			f = &dirFile{}
			s.files[path] = f
		}
		now, err := stampOf(path)
		if err == nil && (f.seen == nil || changed == nil || changed[path] || now != f.stamp || !f.shrunk.IsZero()) {
			err = f.read(path, now)
		}
		if err != nil {
			s.broken[path] = err
			continue
		}
		f.stamp = now
		if f.good == nil || !slices.Equal(f.good, f.seen) {
			fresh = append(fresh, path)
		}
	}
	return fresh
}

func stampOf(path string) (stamp, error) {
	info, err := manifestfiles.Check(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{inode: inodeOf(info), size: info.Size(), modified: info.ModTime()}, nil
}

// inodeOf tells a file that was moved to its place from one that was written over.
func inodeOf(info fs.FileInfo) uint64 {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}

func (f *dirFile) read(path string, now stamp) error {
	data, err := manifestfiles.Read(path)
	if err != nil {
		return err
	}
	if f.mayBeInWriting(data, now) {
		return nil
	}
	f.seen, f.shrunk = data, time.Time{}
	return nil
}

// mayBeInWriting reports whether content is better left alone for a moment: it
// is less than what is in force, and came there a moment ago.
func (f *dirFile) mayBeInWriting(data []byte, now stamp) bool {
	rest := shrunkFor
	switch {
	case len(data) >= len(f.good):
		return false
	case len(data) == 0:
		rest = emptyFor
	case now.inode != f.goodInode:
		return false // moved there as a whole
	}
	if f.shrunk.IsZero() || f.shrunkTo != now {
		f.shrunk, f.shrunkTo = time.Now(), now
	}
	return time.Since(f.shrunk) < rest
}

// combine makes one set of objects of all files, with the fresh content of
// those that are whole.
func (s *dirState) combine(fresh []string) map[Key]Event {
	set, problems := s.load(fresh)
	blamed := faults(problems)
	for path, err := range blamed {
		if slices.Contains(fresh, path) {
			s.broken[path] = err
		}
	}
	whole := slices.DeleteFunc(slices.Clone(fresh), func(path string) bool { return s.broken[path] != nil })
	if len(whole) < len(fresh) {
		set, problems = s.load(whole)
		blamed = faults(problems)
		// Broken since the start, and no contradiction.
		maps.DeleteFunc(blamed, func(path string, _ error) bool { return s.broken[path] != nil })
	}
	if len(blamed) > 0 {
		// Files that are whole but contradict one another, such as by naming the
		// same object. Which is right cannot be known: none of the new ones is
		// taken.
		for path, err := range blamed {
			s.broken[path] = err
		}
		for _, path := range whole {
			if s.broken[path] == nil {
				s.broken[path] = errors.New("not taken because it contradicts another file")
			}
		}
		whole = nil
		set, _ = s.load(nil)
	}
	for _, path := range whole {
		s.files[path].good, s.files[path].goodInode = s.files[path].seen, s.files[path].stamp.inode
	}
	return objectsOf(set)
}

// load reads the last seen content of some files and the good one of the rest.
func (s *dirState) load(fresh []string) (manifest.Set, []manifest.Problem) {
	var loader manifest.Loader
	paths := make([]string, 0, len(s.files))
	for path := range s.files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for _, path := range paths {
		switch f := s.files[path]; {
		case slices.Contains(fresh, path):
			loader.Add(path, f.seen)
		case f.good != nil:
			loader.Add(path, f.good)
		case f.first != nil:
			loader.Add(path, f.first)
		}
	}
	return loader.Finish()
}

// faults are the errors, not the notices, by file.
func faults(problems []manifest.Problem) map[string]error {
	out := map[string]error{}
	for _, p := range problems {
		if p.Notice {
			continue
		}
		path := p.Source
		if colon := strings.LastIndexByte(path, ':'); colon >= 0 {
			path = path[:colon]
		}
		out[path] = errors.Join(out[path], errors.New(p.String()))
	}
	return out
}

func objectsOf(set manifest.Set) map[Key]Event {
	out := map[Key]Event{}
	add := func(object any) {
		// The loader only makes kinds that eventOf knows.
		if e, err := eventOf(object, false); err == nil {
			out[Key{e.Kind, e.Name}] = e
		}
	}
	for _, o := range set.Namespaces {
		add(o)
	}
	for _, o := range set.Pods {
		add(o)
	}
	for _, o := range set.Policies {
		add(o)
	}
	return out
}

// diff is what leads from the objects in force to others.
func (s *dirState) diff(objects map[Key]Event) []Event {
	var out []Event
	for key := range s.objects {
		if _, still := objects[key]; !still {
			out = append(out, Event{Kind: key.Kind, Name: key.Name, Deleted: true})
		}
	}
	for key, e := range objects {
		if old, ok := s.objects[key]; !ok || !sameEvent(old, e) {
			out = append(out, e)
		}
	}
	return out
}
