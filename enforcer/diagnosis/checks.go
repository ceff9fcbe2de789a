package diagnosis

// The names of checks that others than this table speak of.
const (
	IDKernel       = "kernel"
	IDNftables     = "nftables"
	IDNft          = "nft"
	IDBridges      = "bridge-filtering"
	IDCNI          = "cni"
	IDSecond       = "second-interfaces"
	IDTunnels      = "tunnels"
	IDProxy        = "kube-proxy"
	IDIPVS         = "ipvs"
	IDNodeDNS      = "node-local-dns"
	IDFlowtables   = "flowtables"
	IDTraffic      = "traffic-control"
	IDChains       = "other-chains"
	IDEngines      = "policy-engines"
	IDConntrack    = "conntrack"
	IDMarks        = "conntrack-marks"
	IDMTU          = "mtu"
	IDReversePath  = "reverse-path"
	IDPods         = "pods"
	IDSource       = "source"
	IDRights       = "rights"
	IDCoverage     = "coverage"
	IDVersions     = "versions"
	IDClocks       = "clocks"
	IDStartupTaint = "startup-taint"
	IDPolicies     = "policies"
	IDAgent        = "agent"
)

// Checks are all there are, in the order in which they are told.
var Checks = []Check{
	{
		ID: IDRights, Cluster: true,
		Looks:       "whether you may do what doctor, status and observe need: list the agents' Pods, forward a port to them, have a token of ServiceAccount sluice-reader, list Nodes and NetworkPolicies",
		Consequence: "doctor cannot look at all, and says less than there is to say",
		Mend:        "have somebody bind the roles to you who may",
		Clean:       "you may ask all that doctor asks",
	},
	{
		ID: IDCoverage, Cluster: true,
		Looks:       "whether each Linux node has an agent that answers",
		Consequence: "no policy is enforced on a node without an agent; where one does not answer, its last rules stay in force, and no change comes",
		Mend:        "see why the agent's Pod is not there, or not running",
		Clean:       "every node has an agent that answers",
	},
	{
		ID:          IDAgent,
		Looks:       "whether an agent is at work, is ready, and what of its own work failed: guards, repairs of its tables, the log of denied packets, a second agent",
		Consequence: "what the policies say may not be what holds on the node",
		Mend:        "read the agent's log: it names each condition once",
		Clean:       "nobody asked an agent",
		Conditions: map[string]State{
			"Asleep": Problem, "DenialsUnread": Warning, "GuardFailed": Problem, "NoLock": Note, "NodeUnknown": Problem, "PortGuardsFailed": Problem,
			"RuntimeSilent": Warning, "SearchFailed": Warning, "SecondAgent": Problem, "SyncHangs": Problem, "TableContested": Problem, "TableFailed": Problem, "TableNotRepaired": Problem,
		},
		judge: judgeAgent,
	},
	{
		ID: IDSource, AgentOnly: true,
		Looks:       "whether the agent hears the API server, or reads its directory of manifests, and understands all of it",
		Consequence: "what was said last stays in force, and changes do not come",
		Mend:        "see whether the API server can be reached from the node, and what the agent's role allows",
		Clean:       "nothing is known against it",
		Conditions: map[string]State{
			"SourceEmpty": Warning, "SourceFailed": Problem, "SourceRefused": Problem, "SourceSilent": Problem, "SourceUnreadable": Problem, "SourceUnwatched": Note,
		},
	},
	{
		ID: IDPods, AgentOnly: true,
		Looks:       "whether the interface of each Pod of the node is known, and nobody else claims its address",
		Consequence: "an isolated Pod whose interface is not known gets nothing; one with a rival is held to the policies of both",
		Mend:        "see whether the Pod still has its addresses, and what its interface is",
		Clean:       "nothing is known against it",
		Conditions:  map[string]State{"AddressConflict": Warning, "InterfaceConflict": Warning, "PodUnplaced": Warning, "PodUnresolved": Problem},
	},
	{
		ID:          IDKernel,
		Looks:       "the kernel's release: 5.16 is the oldest that has all that the rules need",
		Consequence: "an older kernel has no netdev egress hook, without which a Pod can pass for another",
		Mend:        "boot a newer kernel",
		judge:       judgeKernel,
	},
	{
		ID:          IDNftables,
		Looks:       "each feature of nftables that the rules are made of, by loading a small table of it in a network namespace that doctor makes and that goes with it; never in the node's tables. The kernel may load modules for it, as it would for the agent",
		Consequence: "the rules do not load, and nothing is enforced",
		Mend:        "use a kernel with that feature, or install the package with its modules (linux-modules-extra of some distributions)",
		judge:       judgeFeatures,
	},
	{
		ID:          IDNft,
		Looks:       "the program nft: where it is, and its version; 1.0.6 is the oldest that the rules are written for",
		Consequence: "starts and repairs of the agent are made with nft, and fail without it",
		Mend:        "install nftables; the agent's image brings its own",
		judge:       judgeNft,
	},
	{
		ID:          IDBridges,
		Looks:       "whether packets between two Pods of one bridge come past the hooks: the module br_netfilter, the namespace's bridge-nf-call-iptables and bridge-nf-call-ip6tables, and the bridges' own nf_call_iptables and nf_call_ip6tables; either is enough. Where a bridge of Pods filters VLANs and has other ports, bridge-nf-filter-vlan-tagged besides",
		Consequence: "Pods of one bridge reach each other past all policies, or what is tagged does",
		Mend:        "load the module on each start; the agent sets the bridges' own switches, and not the one for tags, which is of the whole node",
		Clean:       "no Pod is behind a bridge, so that it does not matter",
		Conditions:  map[string]State{"BridgeSwitch": Note, "BridgeUnfiltered": Problem},
		judge:       judgeBridges,
	},
	{
		ID:          IDCNI,
		Looks:       "the network plug-in: the configuration that the container runtime reads, where it can be read, and what shape the Pods' interfaces have: ports of a bridge, routed veths, AWS VPC's tables, Azure's, Calico's, Cilium's, Open vSwitch",
		Consequence: "what Pods send does not come past the kernel's hooks, or their interfaces are not on the node",
		Mend:        "use a plug-in whose Pods hang on veths that the node routes or bridges",
		judge:       judgeCNI,
	},
	{
		ID:          IDSecond,
		Looks:       "whether Pods have more than one interface (Multus and its like)",
		Consequence: "policies are enforced on the interface of the addresses that the API knows, and on no other",
		Mend:        "trust the second network with nothing that policies are to keep apart",
		Clean:       "no second interface is known",
		Conditions:  map[string]State{"SecondInterface": Warning},
		judge:       judgeSecond,
	},
	{
		ID:          IDTunnels,
		Looks:       "whether the far ends of tunnels are known beforehand",
		Consequence: "who is no Pod of the node may send packets into the tunnel that pass for another node's Pods",
		Mend:        "have the plug-in write the far ends into the forwarding database, as flannel does, or filter the tunnel's port at the network's edge",
		Clean:       "no tunnel is open to others",
		Conditions:  map[string]State{"TunnelOpen": Warning},
	},
	{
		ID:          IDProxy,
		Looks:       "by which means Services are made: kube-proxy with iptables, nftables or IPVS, or none of these",
		Consequence: "rules of a mode that is not used any more still catch packets to Services",
		Mend:        "remove what the former mode left, with kube-proxy stopped, and start it again",
		judge:       judgeProxy,
	},
	{
		ID:          IDIPVS,
		Looks:       "services of IPVS that cannot be judged: by tunnel, by direct routing, packet by packet, or without conntrack",
		Consequence: "packets to such a Service are judged by the wrong address, or not at all",
		Mend:        "have IPVS masquerade, as kube-proxy does",
		Clean:       "no service of IPVS is in the way",
		Conditions:  map[string]State{"IPVS": Problem},
	},
	{
		ID:          IDNodeDNS,
		Looks:       "whether NodeLocal DNSCache answers on the node",
		Consequence: "Pods whose egress is isolated cannot resolve names, unless a policy allows the cache's address",
		Mend:        "name its addresses to the agent with --node-dns",
		Clean:       "no NodeLocal DNSCache, or the agent knows it",
		Conditions:  map[string]State{"NodeLocalDNS": Warning},
	},
	{
		ID:          IDFlowtables,
		Looks:       "flowtables that take connections of Pods off the usual path",
		Consequence: "what they took over passes no hook until it ends, so that no change of policy cuts it",
		Mend:        "switch the offloading off in what made it",
		Clean:       "no flowtable takes connections of Pods",
		Conditions:  map[string]State{"Flowtable": Problem},
	},
	{
		ID:          IDTraffic,
		Looks:       "filters at tc that redirect or mirror, and BPF programs (tc, tcx, XDP), on the interfaces that packets of Pods come by",
		Consequence: "packets that are sent elsewhere there never come to a hook that judges",
		Mend:        "see what put it there, and switch that off",
		Clean:       "nothing takes packets of Pods elsewhere",
		Conditions:  map[string]State{"TrafficBypass": Problem, "TrafficProgram": Note, "TrafficRedirect": Note},
	},
	{
		ID:          IDChains,
		Looks:       "base chains of others that packets of Pods pass (ingress, prerouting, forward, input; of the bridge and netdev families, too), those at output that the node's own packets to Pods pass, those with policy drop first, and tables of legacy iptables",
		Consequence: "they may drop what policies allow, and nothing that Sluice says shows it",
		Mend:        "let them accept what Pods send and get: Sluice judges that",
		Clean:       "no other chain is in the way of Pods",
		Conditions:  map[string]State{"DropPolicy": Warning, "LegacyTables": Note, "OtherChains": Note},
	},
	{
		ID:          IDEngines,
		Looks:       "traces of other programs that enforce NetworkPolicy: chains, tables, interfaces with their names",
		Consequence: "a packet passes only where both let it, and explain speaks for one of them",
		Mend:        "keep one, and switch the other's policies off",
		Clean:       "no trace of another policy engine",
		Conditions:  map[string]State{"PolicyEngine": Warning},
	},
	{
		ID:          IDConntrack,
		Looks:       "how full the kernel's table of connections is, and whether it had to refuse any",
		Consequence: "when it is full, new connections of everybody on the node fail, allowed or not",
		Mend:        "give it room; kube-proxy sets it with --conntrack-max-per-core, and may set it back",
		judge:       judgeConntrack,
	},
	{
		ID:          IDMarks,
		Looks:       "which rules of others write the conntrack mark, and whether they write Sluice's bits (24-31 and 12-13, or those of --ct-mark-mask)",
		Consequence: "connections lose the note that they were judged: all packets are judged instead, which is slower and never open",
		Mend:        "give Sluice other bits with the agent's --ct-mark-mask, or the other program",
		Clean:       "nobody else writes the conntrack mark, as far as nftables shows it",
		Conditions:  map[string]State{"ForeignMarks": Problem},
		judge:       judgeMarks,
	},
	{
		ID:          IDMTU,
		Looks:       "whether the Pods' MTU fits through the tunnel and the uplink, whether the tunnel's fits through the uplink, and whether it is large enough for IPv6",
		Consequence: "small packets pass and large ones vanish: connections open and then hang",
		Mend:        "set the plug-in's MTU to the uplink's less what the tunnel adds; Pods have it when they start anew",
		judge:       judgeMTU,
	},
	{
		ID:          IDReversePath,
		Looks:       "whether rp_filter is strict on an interface whose answers may go another way: several uplinks, or rules to other routing tables",
		Consequence: "packets that come by another interface than the answer would go by are dropped before any rule sees them",
		Mend:        "make it loose there",
		judge:       judgeReversePath,
	},
	{
		ID: IDVersions, Cluster: true,
		Looks:       "whether all agents, and this command, are of one version",
		Consequence: "nodes may judge differently where a version mended a mistake; during an update it is as it should be",
		Mend:        "finish the update",
		Clean:       "all are of one version",
	},
	{
		ID: IDClocks, Cluster: true,
		Looks:       "whether the nodes' clocks agree with this machine's, to within five seconds and the time that the answer took",
		Consequence: "times of denials cannot be compared, and tokens may be refused",
		Mend:        "let a time service run on the node",
		Clean:       "the clocks agree",
	},
	{
		ID: IDStartupTaint, Cluster: true,
		Looks:       "whether a node whose agent is ready still has the startup taint (sluice-net.github.io/agent-not-ready)",
		Consequence: "no Pod without a toleration comes to the node",
		Mend:        "run the agents with --remove-startup-taint, or take it away by hand",
		Clean:       "no ready node has it",
	},
	{
		ID: IDPolicies, Cluster: true,
		Looks:       "NetworkPolicies that cannot be understood in full, by the evaluator that the agents use",
		Consequence: "what cannot be understood allows nothing: the Pods stay isolated",
		Mend:        "correct the field, and try with sluice lint",
		Clean:       "every policy is understood",
	},
}
