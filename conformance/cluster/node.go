package main

import (
	"fmt"
	"net/netip"
)

func nodeName(number int) string { return fmt.Sprintf("node%d", number) }

func (c *Cluster) nodeFiles(ca *authority, number int) (files, error) {
	name := nodeName(number)
	kubelet, err := ca.user("system:node:"+name, "system:nodes")
	if err != nil {
		return nil, err
	}
	proxy, err := ca.user("system:kube-proxy")
	if err != nil {
		return nil, err
	}
	api := "https://" + c.Options.apiServer().String()
	contents := files{
		"etc/kubernetes/pki/ca.crt":      ca.pem,
		"etc/kubernetes/kubelet.conf":    ca.kubeconfig(api, kubelet),
		"etc/kubernetes/kubelet.yaml":    c.kubeletConfig(name),
		"etc/kubernetes/kube-proxy.conf": ca.kubeconfig(api, proxy),
		"etc/kubernetes/kube-proxy.yaml": c.proxyConfig(name),
		"etc/containerd/config.toml":     containerdConfig,
	}
	if c.Options.flannel() {
		return contents, c.flannelFiles(ca, contents)
	}
	contents[conflistPath] = c.cniConfig(number)
	return contents, nil
}

func (c *Cluster) nodeServices(number int) []Service {
	name := nodeName(number)
	addrs := each(c.Options.networks(), func(n network) netip.Addr { return n.node(number) })
	services := []Service{{
		Name:   "containerd",
		Args:   []string{"containerd", "--config=/etc/containerd/config.toml"},
		Socket: "/run/containerd/containerd.sock",
	}}
	for _, i := range images {
		services = append(services, Service{
			Name: "load-" + i.program,
			Args: []string{"ctr", "--namespace=k8s.io", "images", "import", programsInside + "/" + i.file()},
			Once: true,
		})
	}
	if c.Options.flannel() {
		services = append(services, flannelService(name))
	}
	return append(services,
		Service{Name: "kubelet", Args: []string{
			"kubelet", "--config=/etc/kubernetes/kubelet.yaml", "--kubeconfig=/etc/kubernetes/kubelet.conf",
			"--hostname-override=" + name, "--node-ip=" + addrs,
		}},
		Service{Name: "kube-proxy", Args: []string{
			"kube-proxy", "--config=/etc/kubernetes/kube-proxy.yaml",
		}},
	)
}

func (c *Cluster) nodeSysctls() map[string]string {
	sysctls := map[string]string{
		"net.ipv4.ip_forward":              "1",
		"net.ipv4.conf.all.rp_filter":      "0",
		"net.ipv4.conf.default.rp_filter":  "0",
		"net.ipv6.conf.all.forwarding":     "1",
		"net.ipv6.conf.default.forwarding": "1",
		"net.ipv6.conf.default.accept_dad": "0",
	}
	if c.Options.bridged() {
		// Services need it for Pods on one bridge, and so does any policy
		// engine in the inet or ip family.
		sysctls["net.bridge.bridge-nf-call-iptables"] = "1"
		sysctls["net.bridge.bridge-nf-call-ip6tables"] = "1"
	}
	return sysctls
}

// pretendedSysctls are what a kubelet insists on setting for the whole computer.
// It sees them set already, and leaves the real ones alone.
var pretendedSysctls = map[string]string{
	"vm.overcommit_memory":      "1",
	"vm.panic_on_oom":           "0",
	"kernel.panic":              "10",
	"kernel.panic_on_oops":      "1",
	"kernel.keys.root_maxkeys":  "1000000",
	"kernel.keys.root_maxbytes": "25000000",
}

const containerdConfig = `version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "` + pauseImage + `"
[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE, as in many virtual machines and containers, a
  # negative score is refused and no container starts.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/opt/cni/bin", "/usr/lib/cni"]
`

func (c *Cluster) kubeletConfig(node string) object {
	address := "0.0.0.0"
	if c.Options.IP != "ipv4" {
		address = "::"
	}
	return object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"address":                  address,
		"containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
		},
		"authorization": object{"mode": "Webhook"},
		"clusterDomain": "cluster.local",
		"resolvConf":    "", // there is no DNS in the cluster

		"failCgroupV1":           false,
		"cgroupDriver":           "cgroupfs",
		"cgroupRoot":             "/" + c.cgroup() + "/" + node,
		"enforceNodeAllocatable": []string{},

		// The computer's memory and disk are not this cluster's to guard, and a
		// test must not fail because another program fills them.
		"failSwapOn": false,
		"evictionHard": object{
			"memory.available": "1Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
			"imagefs.available": "0%", "imagefs.inodesFree": "0%",
		},
		"imageGCHighThresholdPercent":   100,
		"imageGCLowThresholdPercent":    99,
		"localStorageCapacityIsolation": false,
		"volumeStatsAggPeriod":          "0s",

		// Tests start and stop many Pods at once.
		"serializeImagePulls": false,
		"registryPullQPS":     0,
		"eventRecordQPS":      0,
		"kubeAPIQPS":          200,
		"kubeAPIBurst":        400,
	}
}

func (c *Cluster) proxyConfig(node string) object {
	return object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"mode":               c.Options.Proxy,
		"clientConnection":   object{"kubeconfig": "/etc/kubernetes/kube-proxy.conf"},
		"clusterCIDR":        each(c.Options.networks(), func(n network) netip.Prefix { return n.pods }),
		"hostnameOverride":   node,
		"healthzBindAddress": "127.0.0.1:10256",
		"metricsBindAddress": "127.0.0.1:10249",
		// Connection tracking's size is the whole computer's.
		"conntrack": object{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	}
}

func (c *Cluster) cniConfig(number int) object {
	subnets := make([]netip.Prefix, 0, 2)
	for _, n := range c.Options.networks() {
		subnets = append(subnets, n.podsOf(number))
	}
	if c.Options.bridged() {
		return conflist(bridgePlugin(), subnets)
	}
	return conflist(object{"type": "ptp", "ipMasq": false, "mtu": 1500}, subnets)
}

func bridgePlugin() object {
	return object{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false}
}

// conflistPath is where containerd looks for how Pods are attached.
const conflistPath = "etc/cni/net.d/10-sluice-cluster.conflist"

// conflist attaches Pods by a plug-in, gives them addresses of the subnets, ports of
// the node where they ask for them, and no more bandwidth than they ask for. The
// last of these is what k3s and Calico chain, too: it sends a Pod's frames through
// another device.
func conflist(plugin object, subnets []netip.Prefix) object {
	var ranges [][]object
	var routes []object
	for _, subnet := range subnets {
		ranges = append(ranges, []object{{"subnet": subnet.String()}})
		routes = append(routes, object{"dst": everywhere(subnet.Addr()).String()})
	}
	plugin["ipam"] = object{"type": "host-local", "ranges": ranges, "routes": routes}
	return object{
		"cniVersion": "1.0.0",
		"name":       "sluice-cluster",
		"plugins": []object{
			plugin,
			{"type": "portmap", "capabilities": object{"portMappings": true}},
			{"type": "bandwidth", "capabilities": object{"bandwidth": true}},
		},
	}
}
