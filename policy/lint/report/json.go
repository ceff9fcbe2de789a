package report

import (
	"encoding/json"
	"io"

	"github.com/sluice-net/sluice/policy/lint"
)

// Version is that of the JSON document.
const Version = "sluice-net.github.io/v1alpha1"

// Document is the JSON that [JSON] writes.
type Document struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Objects    lint.Counts    `json:"objects"`
	Findings   []lint.Finding `json:"findings"`
	Silenced   []lint.Finding `json:"silenced"`
}

// JSON writes the result as one document. Lists are never null.
func JSON(w io.Writer, r lint.Result) error {
	return encode(w, Document{
		APIVersion: Version, Kind: "LintResult", Objects: r.Objects,
		Findings: append([]lint.Finding{}, r.Findings...), Silenced: append([]lint.Finding{}, r.Silenced...),
	})
}

func encode(w io.Writer, document any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(document)
}
