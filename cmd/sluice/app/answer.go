package app

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// printAnswer prints what a command found, as -o says: a document for programs, or text
// for people. It is written whole, so that a pipe that closes is noticed once.
func (s *IOStreams) printAnswer(what, output string, document any, text func(*bytes.Buffer)) error {
	var out bytes.Buffer
	if output == "json" {
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(document); err != nil {
			return fmt.Errorf("encode %s: %w", what, err)
		}
	} else {
		text(&out)
	}
	if _, err := s.Out.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	return nil
}
