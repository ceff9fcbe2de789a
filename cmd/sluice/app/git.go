package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/enforcer/manifestfiles"
)

// gitRevision is what REVISION:PATH names: a file or a directory as some commit has it.
type gitRevision struct{ revision, path string }

// parseRevision reads REVISION:PATH. A drive of Windows is no revision.
func parseRevision(s string) (gitRevision, bool) {
	revision, path, found := strings.Cut(s, ":")
	if !found || len(revision) == 1 && strings.HasPrefix(path, `\`) || strings.HasPrefix(revision, "-") || revision == "" {
		return gitRevision{}, false
	}
	if path = strings.Trim(path, "/"); path == "." {
		path = "./" // to git a dot alone is a name
	}
	return gitRevision{revision, path}, true
}

func (r gitRevision) String() string { return r.revision + ":" + r.path }

// each hands over the manifests, those that a directory of the working tree would have.
func (r gitRevision) each(ctx context.Context, add func(name string, data []byte)) error {
	commit, err := git(ctx, nil, "rev-parse", "--verify", "--quiet", r.revision+"^{commit}")
	if err != nil {
		return fmt.Errorf("read manifests: %s: git knows no such revision here%s", r, because(err))
	}
	object := strings.TrimSpace(string(commit)) + ":" + r.path
	kind, err := git(ctx, nil, "cat-file", "-t", object)
	if err != nil {
		return fmt.Errorf("read manifests: there is no %q in revision %s (paths are those from the top of the repository; ./ leads from here): %w", r.path, r.revision, err)
	}
	if strings.TrimSpace(string(kind)) == "blob" {
		data, err := git(ctx, nil, "cat-file", "blob", object)
		if err != nil {
			return fmt.Errorf("read manifests: %s: %w", r, err)
		}
		add(r.String(), data)
		return nil
	}
	names, err := r.list(ctx, object)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("read manifests: no .yaml, .yml or .json file in %s, nor below", r)
	}
	return r.batch(ctx, object, names, add)
}

// list names the manifests of a tree, by the rules for directories.
func (r gitRevision) list(ctx context.Context, tree string) ([]string, error) {
	out, err := git(ctx, nil, "ls-tree", "-r", "-z", tree)
	if err != nil {
		return nil, fmt.Errorf("read manifests: %s: %w", r, err)
	}
	var names []string
	for entry := range strings.SplitSeq(string(out), "\x00") {
		head, name, _ := strings.Cut(entry, "\t")
		hidden := slices.ContainsFunc(strings.Split(name, "/"), func(s string) bool { return strings.HasPrefix(s, ".") })
		// Mode 100 is a file; a link's content is where it leads.
		if name != "" && !hidden && strings.HasPrefix(head, "100") && manifestfiles.Named(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// batch reads files of a tree by one process.
func (r gitRevision) batch(ctx context.Context, tree string, names []string, add func(name string, data []byte)) error {
	var ask bytes.Buffer
	for _, name := range names {
		if strings.Contains(name, "\n") {
			return fmt.Errorf("read manifests: %s: the file %q has a line break in its name: rename it", r, name)
		}
		slash := "/"
		if strings.HasSuffix(tree, ":") {
			slash = ""
		}
		ask.WriteString(tree + slash + name + "\n")
	}
	out, err := git(ctx, ask.Bytes(), "cat-file", "--batch")
	if err != nil {
		return fmt.Errorf("read manifests: %s: %w", r, err)
	}
	for _, name := range names {
		head, rest, _ := bytes.Cut(out, []byte("\n"))
		fields := strings.Fields(string(head))
		size := -1
		if len(fields) == 3 && fields[1] == "blob" {
			size, _ = strconv.Atoi(fields[2])
		}
		if size < 0 || size >= len(rest) {
			return fmt.Errorf("read manifests: %s: git does not give the file %s: %s", r, name, head)
		}
		if size > manifestfiles.Longest {
			return fmt.Errorf("read manifests: %s: %s has %d bytes, and a manifest may have %d", r, name, size, manifestfiles.Longest)
		}
		add(r.revision+":"+path.Join(r.path, name), rest[:size])
		out = rest[size+1:]
	}
	return nil
}

// because is what git said, if it said anything.
func because(err error) string {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return ": is it fetched? A shallow clone, as of CI, has one commit"
	}
	return ": " + err.Error()
}

// git runs git and returns what it writes.
func git(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "git", args...)
	command.Stdin = bytes.NewReader(stdin)
	out, err := command.Output()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("git is not installed, or not in PATH")
	case errors.As(err, &exit) && len(exit.Stderr) > 0:
		return nil, errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	return out, err
}
