// Package bundle packs what a bug report needs into one archive, and keeps out of it what
// nobody should send: tokens, passwords, certificates, keys, settings of the environment. It
// is the last gate, whatever the files came from: what looks like a secret is replaced, and
// what is known to be one must not be there, or nothing is written. It can also give names
// and addresses pseudonyms.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"time"
)

// Form is how a file is to be read.
type Form int

// The forms.
const (
	// Text is anything.
	Text Form = iota
	// JSON is one document.
	JSON
	// Metrics are in Prometheus' text format.
	Metrics
	// Ruleset is as nft lists it.
	Ruleset
)

// File is one of a bundle.
type File struct {
	Name string
	Data []byte
	Form Form
}

// Options say what must not get in.
type Options struct {
	// Secrets are the caller's own, such as the token of its kubeconfig.
	Secrets []string
	// Names gives pseudonyms; nil: names stay.
	Names *Names
	// Time is that of all files.
	Time time.Time
}

// MaxFile bounds one file. What is beyond is cut, and said to be.
const MaxFile = 32 << 20

// Write writes the files as a .tar.gz, each below one directory.
func Write(w io.Writer, dir string, files []File, o Options) error {
	packed := gzip.NewWriter(w)
	archive := tar.NewWriter(packed)
	for _, f := range files {
		data, err := o.clean(f)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: dir + "/" + o.cleanName(f.Name), Mode: 0o600, Size: int64(len(data)), ModTime: o.Time}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("write the bundle: %w", err)
		}
		if _, err := archive.Write(data); err != nil {
			return fmt.Errorf("write the bundle: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

// clean is what of a file may get in.
func (o Options) clean(f File) ([]byte, error) {
	data := f.Data
	if len(data) > MaxFile {
		data = append(data[:MaxFile:MaxFile], "\n(cut)\n"...)
	}
	if f.Form == JSON {
		data = scrubJSON(data, o.Secrets)
	} else {
		data = Scrub(data, o.Secrets)
	}
	if o.Names != nil {
		var err error
		if data, err = o.Names.redact(data, f.Form); err != nil {
			return nil, fmt.Errorf("redact %s: %w", f.Name, err)
		}
	}
	for _, s := range o.Secrets {
		if s = string(bytes.TrimSpace([]byte(s))); len(s) >= shortest && bytes.Contains(data, []byte(s)) {
			return nil, fmt.Errorf("write the bundle: %s would hold a credential of yours: nothing was written", f.Name)
		}
	}
	return data, nil
}

func (o Options) cleanName(name string) string {
	name = string(Scrub([]byte(name), o.Secrets))
	if o.Names != nil {
		name = o.Names.Text(name)
	}
	return name
}
