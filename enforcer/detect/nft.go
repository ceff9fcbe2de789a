package detect

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-net/sluice/compiler"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/netns"
)

// nftWithin bounds one run of nft: a ruleset of thousands of Pods is listed in seconds.
const nftWithin = 30 * time.Second

// nftVersion finds the number in what "nft --version" says, such as "nftables v1.0.6
// (Lester Gooch #5)".
var nftVersion = regexp.MustCompile(`\bv?([0-9]{1,4}(?:\.[0-9]{1,4}){1,3})\b`)

// findNft looks for the program where the agent would.
func findNft(ctx context.Context) *diagnosis.Nft {
	path, err := exec.LookPath("nft")
	if err != nil {
		return &diagnosis.Nft{Error: "it is not in PATH"}
	}
	out := &diagnosis.Nft{Path: path}
	if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
		out.Real = real
	}
	said, err := runNft(ctx, "", "--version")
	if err != nil {
		out.Error = err.Error()
		return out
	}
	if out.Version = versionOf(said); out.Version == "" {
		out.Error = fmt.Sprintf("%s --version says no version: %.80q", path, said)
	}
	return out
}

// versionOf reads what nft says of itself.
func versionOf(said string) string {
	found := nftVersion.FindStringSubmatch(said)
	if found == nil {
		return ""
	}
	return found[1]
}

// runNft runs nft in the thread's namespace, with some input, and returns what it says.
func runNft(ctx context.Context, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, nftWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nft", args...)
	cmd.Stdin = strings.NewReader(input)
	out, complaint := &bounded{most: diagnosis.MaxRuleset}, &bounded{most: 4000}
	cmd.Stdout, cmd.Stderr = out, complaint
	if err := cmd.Run(); err != nil {
		if said := complaint.String(); said != "" {
			return "", errors.New("nft: " + firstComplaint(said))
		}
		return "", err
	}
	if out.over {
		return "", fmt.Errorf("it has more than %d bytes", out.most)
	}
	return out.String(), nil
}

// firstComplaint is nft's first line about an error, without where in the input it is.
func firstComplaint(said string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	if _, rest, ok := strings.Cut(line, "Error: "); ok {
		line = rest
	}
	if line = strings.TrimSpace(line); len(line) > 200 {
		line = line[:200]
	}
	return line
}

// bounded keeps as much as it may.
//
// It has no other way in: whoever copies would take a ReadFrom, which knows no bound.
type bounded struct {
	kept []byte
	most int
	over bool
}

func (b *bounded) String() string { return string(b.kept) }

func (b *bounded) Write(p []byte) (int, error) {
	room := b.most - len(b.kept)
	b.over = b.over || len(p) > room
	b.kept = append(b.kept, p[:min(len(p), room)]...)
	return len(p), nil
}

// OurRuleset lists our tables as nft does, and nobody else's.
func OurRuleset(ctx context.Context, ns netns.Namespace) (string, error) {
	ns = netns.OrOwn(ns)
	look := Look{NS: ns}
	f := &diagnosis.Facts{}
	if err := look.ourTables(f); err != nil {
		return "", err
	}
	var out strings.Builder
	var errs []error
	for _, family := range f.OurTables {
		err := ns.Do(func() error {
			text, err := runNft(ctx, "", "-n", "list", "table", family, compiler.TableName)
			out.WriteString(text)
			return err
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("list table %s %s: %w", family, compiler.TableName, err))
		}
	}
	return out.String(), errors.Join(errs...)
}
