package diagnosis

import (
	"fmt"
	"strconv"
	"strings"
)

// judgeAgent tells of the agent. A node without any is not ill: it may be looked at before
// there is one.
func judgeAgent(f *Facts) []Finding {
	a := f.Agent
	switch {
	case a != nil && a.Waiting != "":
		return []Finding{{State: Problem, Found: "the agent is not ready: " + a.Waiting, Mend: "wait; if it stays so, read the agent's log", Run: "kubectl logs -n sluice-system -l app.kubernetes.io/name=sluice --tail=50"}}
	case a != nil && !a.Ready:
		return []Finding{{State: Problem, Found: "the agent is not ready: the problems of this node say why"}}
	case a != nil:
		found := "the agent is ready"
		if a.PodStart != "" {
			found += "; pod start: " + a.PodStart
		}
		return []Finding{{State: OK, Found: found}}
	case f.AgentProcess != "":
		return []Finding{{
			State: Note, Found: "an agent runs (" + f.AgentProcess + "), and was not asked",
			Consequence: "its own conditions are missing here", Mend: "ask it over the cluster, or run it with --socket /run/sluice.sock", Run: "sluice doctor --agents",
		}}
	case len(f.OurTables) > 0:
		return []Finding{{
			State: Warning, Found: "no agent runs, and rules of an earlier one are in force: table sluice of " + strings.Join(f.OurTables, ", "),
			Consequence: "they hold as they are, and no change of a policy or of a Pod comes: new Pods are cut off", Mend: "start the agent, or take the rules away", Run: "sudo sluice cleanup",
		}}
	}
	return []Finding{{
		State: Note, Found: "there is no agent on this node, and no rule of one", Consequence: "no policy is enforced here",
		Mend: "install Sluice (docs/install), if it is to be",
	}}
}

// OldestKernel has all that the rules need.
const oldestMajor, oldestMinor = 5, 16

func judgeKernel(f *Facts) []Finding {
	if f.Kernel == "" {
		return []Finding{{State: Note, Found: "the kernel's release is not known", Run: "uname -r"}}
	}
	major, minor, ok := release(f.Kernel)
	switch {
	case !ok:
		return []Finding{{State: Note, Found: fmt.Sprintf("the kernel's release %.60q is none that can be compared", f.Kernel), Run: "uname -r"}}
	case major < oldestMajor || major == oldestMajor && minor < oldestMinor:
		return []Finding{{State: Problem, Found: fmt.Sprintf("Linux %s is older than %d.%d", f.Kernel, oldestMajor, oldestMinor)}}
	}
	return []Finding{{State: OK, Found: "Linux " + f.Kernel}}
}

// release reads the first two numbers of a kernel's release, or of a version.
func release(text string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(text, ".")
	second := rest
	if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		second = rest[:i]
	}
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(second)
	return major, minor, err1 == nil && err2 == nil && major >= 0
}

func judgeFeatures(f *Facts) []Finding {
	var out []Finding
	for _, feature := range f.Features {
		if feature.Error == "" {
			continue
		}
		found := "it does not work: " + feature.Error
		if feature.Since != "" {
			found += " (Linux " + feature.Since + " has it)"
		}
		out = append(out, Finding{State: Problem, Object: feature.Name, Found: found, Consequence: "the rules need it: " + feature.For})
	}
	switch {
	case len(out) > 0:
		return out
	case len(f.Features) > 0:
		return []Finding{{State: OK, Found: count(len(f.Features), "feature", "features") + " tried, and all work"}}
	case len(f.OurTables) > 0:
		return []Finding{{State: OK, Found: "Sluice's own rules are loaded, so that they are known to work"}}
	}
	return []Finding{{
		State: Note, Found: "nothing of nftables was tried: " + f.FeaturesUntried,
		Consequence: "whether the rules load is not known", Mend: "look on the node itself, as root", Run: "sudo sluice doctor",
	}}
}

func judgeNft(f *Facts) []Finding {
	n := f.Nft
	if n == nil || n.Error != "" {
		why := "it was not looked for"
		if n != nil {
			why = n.Error
		}
		return []Finding{{State: Problem, Found: "nft does not run: " + why, Run: "sudo apt-get install nftables"}}
	}
	where := n.Path
	if n.Real != "" && n.Real != n.Path {
		where += ", which is " + n.Real
	}
	if f.Container {
		where += " of the agent's image"
	}
	if olderNft(n.Version) {
		return []Finding{{State: Warning, Found: fmt.Sprintf("nft %s (%s) is older than 1.0.6", n.Version, where), Consequence: "starts and repairs may fail, and Sluice was never tried with it", Mend: "install a newer one, or run the agent from its image, which has one"}}
	}
	return []Finding{{State: OK, Found: fmt.Sprintf("nft %s (%s)", n.Version, where)}}
}

// olderNft reports whether a version is before 1.0.6. One that cannot be read counts as
// older: it is told.
func olderNft(version string) bool {
	parts := strings.Split(version, ".")
	oldest := []int{1, 0, 6}
	for i, want := range oldest {
		if i >= len(parts) {
			return true
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < want {
			return true
		}
		if n > want {
			return false
		}
	}
	return false
}

// The fill of the table of connections, in percent, from which on it is told.
const (
	conntrackHigh = 75
	conntrackFull = 95
)

func judgeConntrack(f *Facts) []Finding {
	c := f.Conntrack
	if c == nil || c.Max <= 0 {
		return []Finding{{State: OK, Found: "conntrack is not loaded: no rule has asked for it yet"}}
	}
	percent := int(float64(c.Count) / float64(c.Max) * 100)
	found := fmt.Sprintf("%d of %d connections (%d %%)", c.Count, c.Max, percent)
	if c.Early > 0 {
		found += fmt.Sprintf("; %d had to go for others", c.Early)
	}
	if c.Dropped > 0 {
		found += fmt.Sprintf("; %d packets were dropped because it was full", c.Dropped)
	}
	run := fmt.Sprintf("sudo sysctl -w net.netfilter.nf_conntrack_max=%d", 2*c.Max)
	switch {
	case percent >= conntrackFull:
		return []Finding{{State: Problem, Found: found, Run: run}}
	case percent >= conntrackHigh:
		return []Finding{{State: Warning, Found: found, Run: run}}
	case c.Dropped > 0 || c.Early > 0:
		return []Finding{{State: Note, Found: found, Consequence: "it was full at some time since the node started", Run: run}}
	}
	return []Finding{{State: OK, Found: found}}
}

// knownMarks are bits of the conntrack mark that are known to be others'.
var knownMarks = []struct {
	bits uint32
	who  string
}{
	{0x80, "AWS VPC CNI"}, {0xf00, "Cilium"}, {0xff0000, "Tailscale"}, {0x111, "Istio"},
}

func judgeMarks(f *Facts) []Finding {
	mask := f.Mask
	if mask == 0 {
		mask = 0xff003000
	}
	var out []Finding
	for _, m := range f.Marks {
		who := ""
		for _, k := range knownMarks {
			if m.Bits != 0 && m.Bits&^k.bits == 0 {
				who = ", as those of " + k.who
				break
			}
		}
		if m.Bits&mask != 0 {
			out = append(out, Finding{
				State: Warning, Object: "chain " + m.Chain,
				Found: fmt.Sprintf("a rule writes bits %#x of the conntrack mark, and %#x of these are Sluice's", m.Bits, m.Bits&mask), Run: "sudo nft list chain " + m.Chain,
			})
			continue
		}
		out = append(out, Finding{
			State: OK, Object: "chain " + m.Chain, Found: fmt.Sprintf("a rule writes bits %#x of the conntrack mark%s: none of Sluice's %#x", m.Bits, who, mask),
		})
	}
	if f.MoreMarks > 0 {
		out = append(out, Finding{State: Note, Found: count(f.MoreMarks, "more rule writes", "more rules write") + " the conntrack mark", Consequence: "they were not looked at"})
	}
	return out
}
