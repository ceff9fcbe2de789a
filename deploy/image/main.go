// Command image writes Sluice's container image as an OCI archive, without a
// registry and without Docker: the static sluice binary, and nft with the
// libraries that it is linked with, from Debian packages: those of the machine it
// runs on, or for other architectures such as fetch-packages downloads. There is
// nothing else in it but what licences and scanners ask for: no shell, no package
// manager. Beside the image it says in CycloneDX what is in it.
//
// The same inputs give the same bytes: nothing of the archive depends on the
// time, the user or the machine.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// options are the command line.
type options struct {
	// binaries are one for each architecture.
	binaries list
	// packages are directories of downloaded packages by architecture.
	packages   directories
	nft        string
	name       string
	version    string
	out, layer string
	sbom       string
}

// list is a flag that may be repeated.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// directories is a repeatable flag ARCH=DIRECTORY.
type directories map[string]string

func (d directories) String() string { return "" }

func (d directories) Set(s string) error {
	arch, dir, ok := strings.Cut(s, "=")
	if !ok || arch == "" || dir == "" {
		return errors.New("want ARCH=DIRECTORY")
	}
	d[arch] = dir
	return nil
}

func main() {
	o := options{packages: directories{}}
	flag.Var(&o.binaries, "sluice", "a sluice `binary`, statically linked; again for another architecture")
	flag.Var(o.packages, "packages", "`ARCH=DIRECTORY` of the Debian packages for an architecture (default: those installed here)")
	flag.StringVar(&o.nft, "nft", "/usr/sbin/nft", "the nft `binary` in the packages")
	flag.StringVar(&o.name, "name", "sluice.invalid/sluice:dev", "`name` of the image, with its tag")
	flag.StringVar(&o.version, "version", "", "`version` of Sluice that the image's label tells")
	flag.StringVar(&o.out, "out", "", "`file` to write the image to, as an OCI archive that containerd and skopeo can load; Docker too, if it is of one architecture")
	flag.StringVar(&o.layer, "layer", "", "`file` to write the root file system of the one architecture to, as a tar archive")
	flag.StringVar(&o.sbom, "sbom", "", "`prefix` of files to write what is in the image to, for each architecture: PREFIXamd64.cdx.json")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if len(o.binaries) == 0 {
		return errors.New("-sluice: name the binary")
	}
	if o.layer != "" && len(o.binaries) > 1 {
		return errors.New("-layer: it is of one architecture, and there are several -sluice")
	}
	img := image{name: o.name, version: o.version}
	boms := map[string][]byte{}
	for _, binary := range o.binaries {
		r, arch, err := buildRoot(binary, o.nft, o.packages)
		if err != nil {
			return err
		}
		if boms[arch] != nil {
			return fmt.Errorf("%s: a second binary for %s", binary, arch)
		}
		layer, err := r.tar()
		if err != nil {
			return err
		}
		if boms[arch], err = r.bom(o.version, arch); err != nil {
			return err
		}
		img.variants = append(img.variants, variant{arch, layer})
	}
	return o.write(img, boms)
}

func (o options) write(img image, boms map[string][]byte) error {
	if o.layer != "" {
		if err := writeFile(o.layer, all(img.variants[0].layer)); err != nil {
			return err
		}
	}
	if o.sbom != "" {
		for arch, bom := range boms {
			if err := writeFile(o.sbom+arch+".cdx.json", all(bom)); err != nil {
				return err
			}
		}
	}
	if o.out == "" {
		return nil
	}
	return writeFile(o.out, img.write)
}

func all(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(data))
		return err
	}
}

// writeFile leaves either the whole file or what was there before.
func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
