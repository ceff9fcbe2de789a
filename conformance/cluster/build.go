package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// program is something that is built from a pinned module below the source
// directory.
type program struct {
	name   string
	module string // directory of the module
	of     string // the package, or for tests the directory
	test   bool
	tags   string
	sctp   bool // it uses the kernel's SCTP sockets
	// main is the program's only file, where that has to be made first.
	main mainFile
}

// mainFile is the main.go of another module, less some of its imports. It is never
// written among the sources: the compiler sees it there by an overlay.
type mainFile struct {
	from    string
	without []string
}

var hyper = program{name: "hyper", module: "kubernetes", of: "./hyper"}

// clusterPrograms are what machines run.
var clusterPrograms = []program{
	hyper,
	{name: "agnhost", module: "kubernetes", of: "k8s.io/kubernetes/test/images/agnhost", sctp: true},
	{name: "etcd", module: "etcd", of: "go.etcd.io/etcd/server/v3"},
	{name: "containerd", module: "containerd", of: "github.com/containerd/containerd/v2/cmd/containerd", tags: containerdTags},
	{name: "containerd-shim-runc-v2", module: "containerd", of: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", tags: containerdTags},
	{name: "ctr", module: "containerd", of: "github.com/containerd/containerd/v2/cmd/ctr", tags: containerdTags},
	{name: "pause", module: ".", of: "./pause"},
}

// flannelPrograms are what machines run besides, with that plug-in. Two of its
// backends cannot be built everywhere: one wants cgo, and one a provider's library
// that not every proxy of Go modules hands out. Nobody here uses either.
var flannelPrograms = []program{{name: "flanneld", module: "flannel", of: ".", main: mainFile{
	from:    "github.com/flannel-io/flannel",
	without: []string{"github.com/flannel-io/flannel/pkg/backend/tencentvpc", "github.com/flannel-io/flannel/pkg/backend/udp"},
}}}

// programs are what a cluster's machines run.
func (o *Options) programs() []program {
	if o.flannel() {
		return slices.Concat(clusterPrograms, flannelPrograms)
	}
	return clusterPrograms
}

// suitePrograms run the upstream tests, against any cluster.
var suitePrograms = []program{
	hyper,
	{name: "netpol.test", module: "kubernetes", of: "./netpol", test: true},
	{name: "ginkgo", module: "kubernetes", of: "github.com/onsi/ginkgo/v2/ginkgo"},
}

// These filesystems need C libraries.
const containerdTags = "no_btrfs,no_devmapper,no_zfs"

// hyperNames are what hyper is called.
var hyperNames = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"}

// builder builds what is missing from the cache.
type builder struct {
	source string // this module's directory
	out    io.Writer
}

// build returns the directory that the programs are in. It is named for all
// that they are built from, so that a newer version of anything gets its own.
func (b *builder) build(want []program) (string, error) {
	dir, err := b.dir()
	if err != nil {
		return "", err
	}
	unlock, err := lockFile(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, p := range want {
		if exists(filepath.Join(dir, p.name)) {
			continue
		}
		if err := b.buildOne(p, dir); err != nil {
			return "", err
		}
	}
	for _, name := range hyperNames {
		link := filepath.Join(dir, name)
		if err := os.Symlink("hyper", link); err != nil && !os.IsExist(err) {
			return "", err
		}
	}
	return dir, nil
}

// buildImages writes the archives of the images that nodes start with.
func (b *builder) buildImages(dir string) error {
	for _, i := range images {
		if exists(filepath.Join(dir, i.file())) {
			continue
		}
		contents := map[string]string{"/" + i.program: filepath.Join(dir, i.program)}
		for inside, outside := range i.extra {
			module, err := b.output(i.module, "go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", outside.module)
			if err != nil {
				return err
			}
			contents[inside] = filepath.Join(module, outside.path)
		}
		if err := writeImage(filepath.Join(dir, i.file()), i.reference, i.program, i.args, contents); err != nil {
			return fmt.Errorf("write image %s: %w", i.reference, err)
		}
	}
	return nil
}

func (b *builder) buildOne(p program, dir string) error {
	began := time.Now()
	fmt.Fprintf(b.out, "building %s, once … ", p.name)
	flags, err := b.linkFlags(p)
	if err != nil {
		return err
	}
	next := filepath.Join(dir, p.name+".next")
	args := []string{"build"}
	if p.test {
		args = []string{"test", "-c"}
	}
	if p.main.from != "" {
		overlay, done, err := b.overlay(p)
		if err != nil {
			return err
		}
		defer done()
		args = append(args, "-overlay="+overlay)
	}
	args = append(args, "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags="+p.tags, "-ldflags="+flags, "-o", next, p.of)
	if p.sctp && !kernelHasSCTP() {
		modfile, err := b.withRawSCTP(p, dir)
		if err != nil {
			return err
		}
		args = slices.Insert(args, 1, "-modfile="+modfile)
	}
	cmd := b.command(p.module, "go", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintln(b.out)
		return fmt.Errorf("build %s: %w\n%s", p.name, err, out)
	}
	fmt.Fprintf(b.out, "%.0f s\n", time.Since(began).Seconds())
	return os.Rename(next, filepath.Join(dir, p.name))
}

// rawSCTP takes the place of the package through which a program uses the
// kernel's SCTP sockets, see sctp/doc.go.
const rawSCTP = "github.com/ishidawataru/sctp=../sctp"

// kernelHasSCTP asks for a socket. The kernel loads the module, if there is one.
func kernelHasSCTP() bool {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, syscall.IPPROTO_SCTP)
	if err != nil {
		return false
	}
	_ = syscall.Close(fd)
	return true
}

// withRawSCTP writes the program's go.mod and go.sum once more, with rawSCTP.
func (b *builder) withRawSCTP(p program, dir string) (string, error) {
	modfile, err := b.output(p.module, "go", "mod", "edit", "-replace="+rawSCTP, "-print")
	if err != nil {
		return "", err
	}
	sums, err := os.ReadFile(filepath.Join(b.source, p.module, "go.sum"))
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, p.name+".mod")
	if err := os.WriteFile(path, []byte(modfile+"\n"), 0o644); err != nil {
		return "", err
	}
	return path, os.WriteFile(filepath.Join(dir, p.name+".sum"), sums, 0o644)
}

// overlay puts a program's main.go where the compiler looks for it.
func (b *builder) overlay(p program) (path string, done func(), err error) {
	// Of a module that nobody has had yet, list knows no directory.
	if _, err := b.output(p.module, "go", "mod", "download", p.main.from); err != nil {
		return "", nil, err
	}
	from, err := b.output(p.module, "go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", p.main.from)
	if err != nil {
		return "", nil, err
	}
	text, err := os.ReadFile(filepath.Join(from, "main.go"))
	if err != nil {
		return "", nil, err
	}
	less, err := withoutImports(string(text), p.main.without)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", p.main.from, err)
	}
	place, err := filepath.Abs(filepath.Join(b.source, p.module, "main.go"))
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "sluice-cluster-")
	if err != nil {
		return "", nil, err
	}
	err = files{
		"main.go":      less,
		"overlay.json": object{"Replace": object{place: filepath.Join(dir, "main.go")}},
	}.write(dir)
	return filepath.Join(dir, "overlay.json"), func() { os.RemoveAll(dir) }, err
}

// withoutImports leaves out imports that are there for what they register.
func withoutImports(text string, imports []string) (string, error) {
	for _, i := range imports {
		line := fmt.Sprintf("\t_ %q\n", i)
		if strings.Count(text, line) != 1 {
			return "", fmt.Errorf("main.go does not import %s in a line of its own, for what it registers", i)
		}
		text = strings.Replace(text, line, "", 1)
	}
	return text, nil
}

// linkFlags leave out what only debuggers want. Kubernetes' programs also have
// to be told their version: without it, they are 0.0.0 to each other.
func (b *builder) linkFlags(p program) (string, error) {
	if p.module == "flannel" {
		version, err := b.output(p.module, "go", "list", "-mod=readonly", "-m", "-f", "{{.Version}}", p.main.from)
		return "-s -w -X github.com/flannel-io/flannel/pkg/version.Version=" + version, err
	}
	if p.module != "kubernetes" || p.name == "ginkgo" {
		return "-s -w", nil
	}
	version, err := b.kubernetesVersion()
	if err != nil {
		return "", err
	}
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	const pkg = "k8s.io/component-base/version."
	return fmt.Sprintf("-s -w -X %sgitVersion=%s -X %sgitMajor=%s -X %sgitMinor=%s", pkg, version, pkg, parts[0], pkg, parts[1]), nil
}

func (b *builder) kubernetesVersion() (string, error) {
	return b.output("kubernetes", "go", "list", "-mod=readonly", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
}

// dir is the place in the user's cache for exactly these versions.
func (b *builder) dir() (string, error) {
	hash := sha256.New()
	var files []string
	for _, pattern := range []string{"*/go.mod", "*/go.sum", "kubernetes/*/*.go", "pause/*.go", "sctp/*.go"} {
		found, err := filepath.Glob(filepath.Join(b.source, pattern))
		if err != nil {
			return "", err
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return "", fmt.Errorf("%s does not hold the cluster's modules: say where they are with -source", b.source)
	}
	// The tests of what is built are not built.
	files = slices.DeleteFunc(files, func(file string) bool {
		return strings.HasSuffix(file, "_test.go") && filepath.Base(filepath.Dir(file)) == "sctp"
	})
	slices.Sort(files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %d\n%s", filepath.Base(file), len(data), data)
	}
	toolchain, err := b.output(".", "go", "env", "GOVERSION", "GOARCH")
	if err != nil {
		return "", err
	}
	version, err := b.kubernetesVersion()
	if err != nil {
		return "", err
	}
	fmt.Fprintln(hash, toolchain, clusterPrograms, flannelPrograms, suitePrograms, images, kernelHasSCTP())
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "sluice-cluster", fmt.Sprintf("%s-%x", version, hash.Sum(nil)[:6])), nil
}

func (b *builder) command(module, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = filepath.Join(b.source, module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	return cmd
}

func (b *builder) output(module, name string, args ...string) (string, error) {
	cmd := b.command(module, name, args...)
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(append([]string{name}, args...), " "), err, problem.String())
	}
	return strings.TrimSpace(string(out)), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
