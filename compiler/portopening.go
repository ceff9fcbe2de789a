package compiler

// A port of a bridge is opened last. Where a bridge has an uplink, the main table cannot
// tell an address of a Pod that it does not know from any other behind the bridge: what
// goes there is not its business, and the guard of the port alone keeps it closed. So a
// port must not be open before the main table has the policies of its Pod in force,
// however long that takes, or whether it fails. What closes comes first: nobody may pose
// as a Pod whose address the main table trusts.

// closing are the sets of table bridge sluice whose elements close: the names of Pods,
// which nobody else may use, and the Pods that get nothing that is meant for many. The
// elements of all others open.
var closing = map[string]bool{
	podHardware: true, podTargetsSet: true, ipv4.set(podAddrsSet): true, ipv6.set(podAddrsSet): true, isolatedPorts: true,
}

// openingLast parts changes of the guards of ports: those that close, and those that open.
func openingLast(ops []Op) (closes, opens []Op) {
	for _, op := range ops {
		if e, ok := op.Object.(*SetElement); ok && closing[e.Set.Name] == (op.Verb == Add) {
			closes = append(closes, op)
		} else {
			opens = append(opens, op)
		}
	}
	return closes, opens
}

// OpeningSets are the sets of table bridge sluice whose elements open, by name.
func (c *Compiler) OpeningSets() []Set {
	var out []Set
	for _, s := range c.cfg.portTable().Sets {
		// What packets put into a set themselves is about reports.
		if s.Timeout == 0 && !closing[s.Name] {
			out = append(out, s)
		}
	}
	return out
}

// ReplacePorts puts the whole of table bridge sluice in the place of whatever there
// is. It must be one transaction.
func (c *Compiler) ReplacePorts() []Op { return replaceTable(c.PortGuards()) }

// KeepPorts is the same without what opens anything that is not open yet: it has those
// elements of the [Compiler.OpeningSets] that open has as well.
func (c *Compiler) KeepPorts(open map[string]map[Key]bool) []Op {
	return replaceTable(c.portGuards(func(set string, key Key) bool { return closing[set] || open[set][key] }))
}

func replaceTable(r *Ruleset) []Op {
	table := &Table{}
	return append([]Op{{Add, table}, {Delete, table}, {Add, table}}, create(r)...)
}
