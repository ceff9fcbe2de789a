package app

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completeWithin is how long a shell may wait for proposals.
const completeWithin = 3 * time.Second

// completeOutputs has the shell propose the formats that a command's -o takes: those that
// its help names.
func completeOutputs(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if f := cmd.Flags().Lookup("output"); f != nil {
			_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats(f), cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// completeColours has it propose when to colour, where a command can.
func completeColours(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Flags().Lookup("color") != nil {
			_ = cmd.RegisterFlagCompletionFunc("color", cobra.FixedCompletions(colourModes, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// formats are the words of a help text like "text, json (JSON lines) or md".
func formats(f *pflag.Flag) []string {
	text := strings.ReplaceAll(f.Usage, " or ", ", ")
	var out []string
	for word := range strings.SplitSeq(text, ", ") {
		word, _, _ = strings.Cut(word, " ")
		out = append(out, word)
	}
	return out
}

// shortKinds are what kubectl calls workloads.
var shortKinds = map[string]string{
	"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds", "ReplicaSet": "rs", "Job": "job", "CronJob": "cronjob", "ReplicationController": "rc",
}

// completeNames has the shell propose what there is, in the manifests or in the cluster:
// namespaces for -n, and up to so many ends as arguments.
func (s *sourceFlags) completeNames(cmd *cobra.Command, ends int) {
	_ = cmd.RegisterFlagCompletionFunc("namespace", func(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return s.propose(cmd.Context(), begun, func(o *objects) (names []string) {
			for _, ns := range o.set.Namespaces {
				names = append(names, ns.Name)
			}
			return names
		})
	})
	if ends == 0 {
		return
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= ends {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return s.propose(cmd.Context(), begun, func(o *objects) []string { return endNames(o, s.namespace) })
	}
}

// propose reads the objects and proposes what begins as was typed; nothing where they
// cannot be read, for nobody reads an error there.
func (s *sourceFlags) propose(ctx context.Context, begun string, names func(*objects) []string) ([]string, cobra.ShellCompDirective) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	if s.manifests.stdin() || s.completeNamespace() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	reader, err := s.objectReader(nil, []string{s.namespace})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	found, err := reader.objects(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all := map[string]bool{}
	for _, name := range names(found) {
		if strings.HasPrefix(name, begun) {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all)), cobra.ShellCompDirectiveNoFileComp
}

// endNames are what explain takes for the objects: without the namespace for those of
// namespace in.
func endNames(o *objects, in string) (out []string) {
	add := func(kind, namespace, name string) {
		switch {
		case namespace != in:
			name = namespace + "/" + name
			if kind != "" {
				return // an end of a type has its namespace between the two, which nobody types so
			}
		case kind != "":
			name = kind + "/" + name
		}
		out = append(out, name)
	}
	for _, p := range o.set.Pods {
		add("", p.Namespace, p.Name)
	}
	for i := range o.set.Workloads {
		w := &o.set.Workloads[i]
		if kind := shortKinds[w.Kind]; kind != "" {
			add(kind, w.Namespace, w.Name)
		}
	}
	for _, s := range o.set.Services {
		add("svc", s.Namespace, s.Name)
	}
	for i := range o.set.Entries {
		e := &o.set.Entries[i]
		add(strings.ToLower(e.Kind), e.Namespace, e.Name)
	}
	for _, ns := range o.set.Namespaces {
		out = append(out, "ns/"+ns.Name)
	}
	return append(out, "internet", "any")
}
