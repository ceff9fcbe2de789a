package diagnosis

import (
	"time"

	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// Limits on what is kept of things that others can make many of. What is beyond is counted.
const (
	MaxInterfaces = 2000
	MaxCNIFiles   = 50
	MaxMarkUsers  = 200
)

// Facts are what was seen on a node. What could not be seen is missing, and Unread says
// why.
type Facts struct {
	// Container: who looked is in a container of the node's network, as the agent is. It
	// sees the node's network, and not the node's files.
	Container bool `json:"container,omitempty"`
	// Kernel is the release, such as "6.1.0-18-amd64".
	Kernel string `json:"kernel,omitempty"`
	// Features are what of nftables was tried, FeaturesUntried why nothing was.
	Features        []Feature `json:"features,omitempty"`
	FeaturesUntried string    `json:"featuresUntried,omitempty"`
	Nft             *Nft      `json:"nft,omitempty"`
	// Bridges has the switches of bridge filtering.
	Bridges *BridgeFilter `json:"bridges,omitempty"`
	// CNI is what the node's CNI configuration says.
	CNI        *CNI        `json:"cni,omitempty"`
	Interfaces []Interface `json:"interfaces,omitempty"`
	// MoreInterfaces are beyond the limit.
	MoreInterfaces int `json:"moreInterfaces,omitempty"`
	// Tables are the numbers of other routing tables than the usual ones that rules lead to.
	Tables []int `json:"tables,omitempty"`
	// Proxies are the traces of kube-proxy, by its mode.
	Proxies map[string][]string `json:"proxies,omitempty"`
	// LegacyNAT: there is a table nat of legacy iptables, whose rules cannot be read.
	LegacyNAT bool       `json:"legacyNAT,omitempty"`
	Conntrack *Conntrack `json:"conntrack,omitempty"`
	// Marks are the rules of others that write the conntrack mark, and Mask the bits that
	// are Sluice's.
	Marks     []MarkUser `json:"marks,omitempty"`
	MoreMarks int        `json:"moreMarks,omitempty"`
	Mask      uint32     `json:"mask,omitempty"`
	// ReversePath is net.ipv4.conf.all.rp_filter.
	ReversePath int `json:"reversePath,omitempty"`
	// OurTables are the families that have a table of Sluice's.
	OurTables []string `json:"ourTables,omitempty"`
	// Agent is what the node's agent says of itself, nil where none was asked.
	Agent *Agent `json:"agent,omitempty"`
	// AgentProcess is who holds the agents' lock, empty where nobody does.
	AgentProcess string `json:"agentProcess,omitempty"`
	// Conditions are what an agent would tell of the node, or tells.
	Conditions     []nodestatus.Condition `json:"conditions,omitempty"`
	MoreConditions int                    `json:"moreConditions,omitempty"`
	// Unread are what could not be looked at, by the check's ID, with the reason.
	Unread map[string]string `json:"unread,omitempty"`
}

// Feature is something of nftables that the rules need.
type Feature struct {
	Name string `json:"name"`
	// For is what the rules need it for, Since the kernel that has it.
	For   string `json:"for"`
	Since string `json:"since,omitempty"`
	// Error is why it does not work, empty if it does.
	Error string `json:"error,omitempty"`
}

// Nft is the program.
type Nft struct {
	// Path is where it was found, Real where that leads to.
	Path    string `json:"path,omitempty"`
	Real    string `json:"real,omitempty"`
	Version string `json:"version,omitempty"`
	Error   string `json:"error,omitempty"`
}

// BridgeFilter is what brings packets of bridges past the hooks.
type BridgeFilter struct {
	// Missing says that br_netfilter is not loaded.
	Missing string `json:"missing,omitempty"`
	// IPv4 and IPv6 are bridge-nf-call-iptables and its twin.
	IPv4 bool `json:"ipv4,omitempty"`
	IPv6 bool `json:"ipv6,omitempty"`
	// Tagged is bridge-nf-filter-vlan-tagged.
	Tagged bool `json:"tagged,omitempty"`
}

// CNI is the configuration of the network plug-in.
type CNI struct {
	Dir   string      `json:"dir,omitempty"`
	Files []CNIConfig `json:"files,omitempty"`
	// Error is why there is nothing to read.
	Error string `json:"error,omitempty"`
}

// CNIConfig is what matters of one file. Container runtimes take the first by name.
type CNIConfig struct {
	File string `json:"file"`
	Name string `json:"name,omitempty"`
	// Types are the plug-ins of the chain.
	Types []string `json:"types,omitempty"`
	// MTU is what the first of them is told, 0 for what it finds.
	MTU   int    `json:"mtu,omitempty"`
	Error string `json:"error,omitempty"`
}

// What an interface is for Pods.
const (
	RolePod    = "pod"    // a veth to another namespace, and no port of another program's bridge
	RoleBridge = "bridge" // a bridge with ports of Pods
	RoleUplink = "uplink" // what the default route leads out of
	RoleTunnel = "tunnel"
)

// Interface is a network interface of the node.
type Interface struct {
	Name string `json:"name"`
	Kind string `json:"kind,omitempty"`
	Role string `json:"role,omitempty"`
	// Master is the bridge that it is a port of, Lower what a tunnel sends by.
	Master string `json:"master,omitempty"`
	Lower  string `json:"lower,omitempty"`
	MTU    int    `json:"mtu,omitempty"`
	Up     bool   `json:"up,omitempty"`
	// IPv4 and IPv6 are a bridge's own switches of bridge filtering.
	IPv4 bool `json:"ipv4,omitempty"`
	IPv6 bool `json:"ipv6,omitempty"`
	// HidesTagged: a bridge filters VLANs, and has a port that is no Pod's, so that frames
	// with tags reach Pods.
	HidesTagged bool `json:"hidesTagged,omitempty"`
	// ReversePath is its own rp_filter.
	ReversePath int `json:"reversePath,omitempty"`
}

// Conntrack is the table of connections.
type Conntrack struct {
	Count int `json:"count"`
	Max   int `json:"max"`
	// Dropped and Early are connections that did not get into the table, and those that
	// had to go for others, since the namespace is there.
	Dropped uint64 `json:"dropped,omitempty"`
	Early   uint64 `json:"early,omitempty"`
}

// MarkUser is a chain with a rule that writes the conntrack mark.
type MarkUser struct {
	Chain string `json:"chain"`
	Bits  uint32 `json:"bits"`
}

// Agent is what an agent says of itself.
type Agent struct {
	Version string    `json:"version,omitempty"`
	Time    time.Time `json:"time"`
	Ready   bool      `json:"ready"`
	Waiting string    `json:"waiting,omitempty"`
	// PodStart is how the first packets of new Pods are dealt with.
	PodStart   string `json:"podStart,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
}
