package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// object is anything that Kubernetes' programs read; JSON is YAML too.
type object = map[string]any

// files are written into a machine before it starts: by path in the machine's
// directory, []byte and string as they are, an object as JSON.
type files map[string]any

func (f files) write(dir string) error {
	for path, content := range f {
		var data []byte
		switch c := content.(type) {
		case []byte:
			data = c
		case string:
			data = []byte(c)
		default:
			var err error
			if data, err = json.MarshalIndent(c, "", "  "); err != nil {
				return fmt.Errorf("write %s: %w", path, err)
			}
		}
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		// Keys are among them.
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
