package document

import "github.com/sluice-net/sluice/conformance/bench/packetpath"

// watchingNames are what an agent does besides enforcing, for readers.
var watchingNames = []struct {
	watching packetpath.Watching
	name     string
}{
	{packetpath.Denials, "denials are read and explained"},
	{packetpath.Followed, "somebody follows what passes"},
	{packetpath.Audited, "an audited policy would deny it"},
}

// watching is what denials, audit and followers cost, on and off.
func (r *report) watching() {
	r.section("watching", "Watching: what denials, audit and followers cost")
	r.paragraph(`
An agent that watches, and in turns with it the same one that does not, under the same
traffic: denials beside ` + "`--denials=off`" + `, somebody who follows all flows that pass
(` + "`sluice observe --allowed`" + `) beside nobody, and a policy that is audited and would deny
all of the traffic beside none. Processor time is that of clients, servers and the agent,
and what the kernel does in their name. A change is that of a policy of another Pod, from
when the agent is told to when it is in force, while the traffic goes on.`)
	if !r.ran(Watching) {
		return
	}
	for _, topology := range []string{"bridge", "ptp"} {
		var rows [][]string
		for _, w := range watchingNames {
			for _, f := range r.run.Of(Watching, topology) {
				if f.Variant == string(w.watching) {
					rows = append(rows, []string{w.name, f.Note, f.Name, spread(f.Base), spread(f.Samples), times(f.Ratio())})
				}
			}
		}
		if len(rows) == 0 {
			continue
		}
		r.printf("<a id=\"watching-%s\"></a>\n\n### %s\n", topology, topologyName(topology))
		r.table([]string{"watching", "traffic", "what", "off", "on", "ratio"}, rows)
	}
}
