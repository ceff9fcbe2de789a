package app

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// outputs are the formats of a command, by the names that -o takes. A format that
// another package writes is one more entry in the command's own.
type outputs[T any] map[string]func(io.Writer, T) error

// names are those that -o takes, text first.
func (o outputs[T]) names() []string {
	all := slices.Sorted(maps.Keys(o))
	return append([]string{"text"}, slices.DeleteFunc(all, func(s string) bool { return s == "text" })...)
}

// usage is the help of -o.
func (o outputs[T]) usage() string {
	all := o.names()
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

func (o outputs[T]) validate(name string) error {
	if o[name] == nil {
		return fmt.Errorf("--output: %q is none of %v", name, o.names())
	}
	return nil
}

// write writes what was found.
func (o outputs[T]) write(w io.Writer, name string, found T) error {
	if err := o[name](w, found); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}
