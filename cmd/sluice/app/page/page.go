package page

import (
	"crypto/sha256"
	_ "embed" // the parts of the page
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-net/sluice/policy"
	"github.com/sluice-net/sluice/policy/connectivity"
)

// Options are what a page says besides its answer. The zero value is of use.
type Options struct {
	// Command is what gave the answer, for a reader who wants it again.
	Command string
	// Explain is the beginning of the command that explains one connection, to which
	// the page adds two ends, e.g. "sluice explain -f deploy". Empty: it proposes none.
	Explain string
	// Version is Sluice's.
	Version string
	// Notices are what the command had to say of its input, one a line.
	Notices []string
	// Entries are the ways in from outside, or how they changed.
	Entries []Entry
	// Place is where a field of a policy stands, e.g. "deploy/db.yaml:12", empty where
	// it is not known. The path has keys (string) and indices (int); without any it is
	// that of the policy as a whole.
	Place func(policy types.NamespacedName, path ...any) string
	// OldPlace is Place for the old side of a difference.
	OldPlace func(policy types.NamespacedName, path ...any) string
	// Asked reports whether the connection from src to dst was asked for; nil: each
	// was. What was not asked for is shown as such, and not as denied. Of exposure dst is
	// nil, and src are the Pods.
	Asked func(src, dst *connectivity.End) bool
	// Denies reports which end of a pair, given by its numbers, lets nothing pass, as
	// [connectivity.Matrix.Denies]; nil: it is not known. It is asked of what is denied
	// in a list.
	Denies func(src, dst int) (egress, ingress bool)
	// Directions are those of exposure that were asked for, nil for both.
	Directions []policy.Direction
}

//go:embed assets/page.js
var program string

//go:embed assets/page.css
var style string

//go:embed assets/page.html
var skeleton string

// write lays a document out as a page.
func write(w io.Writer, d *document) error {
	// Marshal writes <, > and & as \u003c, \u003e and \u0026, and U+2028 and U+2029
	// alike: nothing in a string can end the element or begin a comment.
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write the data of the page: %w", err)
	}
	// The text that is put in is not searched again, so data cannot name a place.
	fill := strings.NewReplacer(
		"{policy}", html.EscapeString(contentPolicy()), "{title}", html.EscapeString(d.Title),
		"{style}", style, "{program}", program, "{data}", string(data),
	)
	if _, err := fill.WriteString(w, skeleton); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// contentPolicy lets the page's own style and program through, by their digests, and
// nothing else: no request of any kind, no other script, no markup made from text
// (https://www.w3.org/TR/CSP3/).
func contentPolicy() string {
	return "default-src 'none'; script-src " + digest(program) + "; style-src " + digest(style) +
		"; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
