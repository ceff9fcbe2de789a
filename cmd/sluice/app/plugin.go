package app

import (
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// commandName finds the name in texts that show a command line.
var commandName = regexp.MustCompile(`\bsluice (agent|cleanup|demo|diff|doctor|explain|exposure|lint|list|observe|status|suggest|try|verify|version|wait)\b`)

// asPlugin makes the help say what a user of kubectl types, if program is what
// kubectl runs for "kubectl sluice".
func asPlugin(root *cobra.Command, program string) {
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	if name != "kubectl-sluice" {
		return
	}
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl sluice"}
	for _, c := range root.Commands() {
		c.Long = commandName.ReplaceAllString(c.Long, "kubectl sluice $1")
		c.Example = commandName.ReplaceAllString(c.Example, "kubectl sluice $1")
	}
}
