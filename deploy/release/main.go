// Command release makes of what was built the files that a release publishes: the
// plugin's archives and its krew manifest, the Helm chart and the manifests with
// the image's name in the registry, checksums, and the provenance of all of them
// and of the image. It asks nobody and sends nothing; that is the workflow's.
//
// The same inputs give the same bytes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// options are the command line.
type options struct {
	version string
	image   string
	archive string
	dir     string
	source  string
	// binaries are sluice by "os/arch".
	binaries binaries
	// downloads is where the files of the release will be.
	downloads string
	build
}

// build says who built, from what.
type build struct {
	repository, revision string
	builder, invocation  string
}

// binaries is a repeatable flag OS/ARCH=FILE.
type binaries map[string]string

func (b binaries) String() string { return "" }

func (b binaries) Set(s string) error {
	platform, file, ok := strings.Cut(s, "=")
	if os, arch, two := strings.Cut(platform, "/"); !ok || !two || os == "" || arch == "" || file == "" {
		return errors.New("want OS/ARCH=FILE")
	}
	b[platform] = file
	return nil
}

func main() {
	o := options{binaries: binaries{}}
	flag.StringVar(&o.version, "version", "", "`version` of the release, such as v1.2.3")
	flag.StringVar(&o.image, "image", "", "`name` of the image, where it is published, without tag")
	flag.StringVar(&o.archive, "archive", "", "`file` with the image, as deploy/image writes it")
	flag.StringVar(&o.dir, "dir", "", "`directory` for the release's files; what is in it already is part of the release")
	flag.StringVar(&o.source, "source", ".", "`directory` of the sources")
	flag.Var(o.binaries, "sluice", "`OS/ARCH=FILE` of a sluice binary; again for another platform")
	flag.StringVar(&o.downloads, "downloads", "", "`URL` below which the release's files will be")
	flag.StringVar(&o.repository, "repository", "", "`URI` of the repository")
	flag.StringVar(&o.revision, "revision", "", "`commit` that was built")
	flag.StringVar(&o.builder, "builder", "", "`URI` of who builds: of the workflow, in its version")
	flag.StringVar(&o.invocation, "invocation", "", "`URI` of this run of the builder")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// semver is what Helm and krew take for a version, after the v.
var semver = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

var commit = regexp.MustCompile(`^[0-9a-f]{40}$`)

func (o options) validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	need(semver.MatchString(o.version), "-version: want a version such as v1.2.3")
	need(o.image != "" && !strings.ContainsAny(path.Base(o.image), ":@"), "-image: want a name without tag or digest")
	need(o.archive != "" && o.dir != "", "-archive and -dir: both are needed")
	need(len(o.binaries) > 0, "-sluice: name at least one binary")
	need(commit.MatchString(o.revision), "-revision: want a commit, 40 hexadecimal digits")
	for name, uri := range map[string]string{"downloads": o.downloads, "repository": o.repository, "builder": o.builder} {
		need(strings.Contains(uri, ":"), "-"+name+": want a URI")
	}
	return errors.Join(errs...)
}

func run(o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	if err := o.plugins(); err != nil {
		return err
	}
	if err := o.chart(); err != nil {
		return err
	}
	if err := o.manifests(); err != nil {
		return err
	}
	sums, err := o.sums()
	if err != nil {
		return err
	}
	return o.provenance(sums)
}

// place is where a file of the release is written to.
func (o options) place(name string) string { return filepath.Join(o.dir, name) }

func (o options) write(name string, data []byte) error {
	if err := os.WriteFile(o.place(name), data, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (o options) read(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(o.source, name))
	if err != nil {
		return nil, fmt.Errorf("read the sources: %w", err)
	}
	return data, nil
}

// manifests writes those of deploy with the image's name.
func (o options) manifests() error {
	for name, times := range map[string]int{"sluice.yaml": 1, "cleanup.yaml": 2} {
		text, err := o.read("deploy/" + name)
		if err != nil {
			return err
		}
		changed, err := replace(string(text), times, "image: sluice.invalid/sluice:dev", "image: "+o.image+":"+o.version)
		if err != nil {
			return fmt.Errorf("put the image's name into %s: %w", name, err)
		}
		if err := o.write(name, []byte(changed)); err != nil {
			return err
		}
	}
	return nil
}

// replace replaces what must be there so often: less would publish a name that
// leads nowhere.
func replace(text string, times int, old, by string) (string, error) {
	if n := strings.Count(text, old); n != times {
		return "", fmt.Errorf("%q is there %d times, not %d", old, n, times)
	}
	return strings.ReplaceAll(text, old, by), nil
}
