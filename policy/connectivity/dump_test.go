package connectivity_test

import (
	"encoding/json"
	"fmt"
)

// dump writes a value out with all that it points to.
func dump(v any) string {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Sprintf("cannot be written: %v", err)
	}
	return string(text)
}
