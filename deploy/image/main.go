// Command image writes Sluice's container image as an OCI archive, without a
// registry and without Docker: the static sluice binary, and nft with the
// libraries that it is linked with, from the Debian packages of the machine it
// runs on. There is nothing else in it but what licences and scanners ask for:
// no shell, no package manager.
//
// The same inputs give the same bytes: nothing of the archive depends on the
// time, the user or the machine.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// options are the command line.
type options struct {
	sluice, nft string
	name        string
	version     string
	out, layer  string
}

func main() {
	var o options
	flag.StringVar(&o.sluice, "sluice", "bin/image/sluice", "the sluice `binary`, statically linked")
	flag.StringVar(&o.nft, "nft", "/usr/sbin/nft", "the nft `binary`, from a Debian package")
	flag.StringVar(&o.name, "name", "sluice.invalid/sluice:dev", "`name` of the image, with its tag")
	flag.StringVar(&o.version, "version", "", "`version` of Sluice that the image's label tells")
	flag.StringVar(&o.out, "out", "", "`file` to write the image to, as an OCI archive that Docker can load too")
	flag.StringVar(&o.layer, "layer", "", "`file` to write the root file system to, as a tar archive")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	r, arch, err := buildRoot(o.sluice, o.nft)
	if err != nil {
		return err
	}
	layer, err := r.tar()
	if err != nil {
		return err
	}
	if o.layer != "" {
		if err := writeFile(o.layer, func(w io.Writer) error {
			_, err := w.Write(layer)
			return err
		}); err != nil {
			return err
		}
	}
	if o.out == "" {
		return nil
	}
	img := image{name: o.name, version: o.version, arch: arch, layer: layer}
	return writeFile(o.out, img.write)
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
