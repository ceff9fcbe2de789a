package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// gitRevision is what REVISION:PATH names: a file or a directory as some commit has it.
type gitRevision struct{ revision, path string }

// parseRevision reads REVISION:PATH. A drive of Windows is no revision.
func parseRevision(s string) (gitRevision, bool) {
	revision, path, found := strings.Cut(s, ":")
	drive := len(revision) == 1 && strings.HasPrefix(path, `\`) || filepath.VolumeName(s) != ""
	if !found || drive || strings.HasPrefix(revision, "-") || revision == "" {
		return gitRevision{}, false
	}
	if path = strings.Trim(path, "/"); path == "." {
		path = "./" // to git a dot alone is a name
	}
	return gitRevision{revision, path}, true
}

func (r gitRevision) String() string { return r.revision + ":" + r.path }

// open reads what the commit holds, and where in it the path is.
func (r gitRevision) open(ctx context.Context) (*gitTree, string, error) {
	commit, err := git(ctx, nil, "rev-parse", "--verify", "--quiet", r.revision+"^{commit}")
	if err != nil {
		return nil, "", fmt.Errorf("read manifests: %s: git knows no such revision here%s", r, because(err))
	}
	at, err := r.fromTop(ctx)
	if err != nil {
		return nil, "", err
	}
	tree, err := readGitTree(ctx, r.revision, strings.TrimSpace(string(commit)))
	if err != nil {
		return nil, "", fmt.Errorf("read manifests: %s: %w", r, err)
	}
	return tree, at, nil
}

// fromTop is the path from the top of the repository: to git, one that begins with a dot
// leads from the directory that it runs in.
func (r gitRevision) fromTop(ctx context.Context) (string, error) {
	at := path.Clean(r.path)
	if first, _, _ := strings.Cut(r.path, "/"); first == "." || first == ".." {
		prefix, err := git(ctx, nil, "rev-parse", "--show-prefix")
		if err != nil {
			return "", fmt.Errorf("read manifests: %s: %w", r, err)
		}
		at = path.Join(strings.TrimSuffix(string(prefix), "\n"), r.path)
	}
	if at == ".." || strings.HasPrefix(at, "../") {
		return "", fmt.Errorf("read manifests: %s leads out of the repository", r)
	}
	return path.Clean(at), nil
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
