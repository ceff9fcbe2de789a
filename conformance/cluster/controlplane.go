package main

import (
	"net/netip"
)

// controlPlaneName is the machine that etcd, the API server, the controllers
// and the scheduler run on. It is no node, and the switch between the nodes: to
// Pods, a process in it is an outside address.
const controlPlaneName = "control-plane"

func (o *Options) apiServer() netip.AddrPort {
	return netip.AddrPortFrom(o.networks()[0].controlPlane(), 6443)
}

func (c *Cluster) controlPlaneFiles(ca *authority) (files, error) {
	networks := c.Options.networks()
	// 127.0.0.1 is for those who come through the proxy.
	addrs := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	for _, n := range networks {
		addrs = append(addrs, n.controlPlane(), n.apiService())
	}
	server, err := ca.server("kube-apiserver", []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}, addrs)
	if err != nil {
		return nil, err
	}
	kubelets, err := ca.user("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return nil, err
	}
	controllers, err := ca.user("system:kube-controller-manager")
	if err != nil {
		return nil, err
	}
	scheduler, err := ca.user("system:kube-scheduler")
	if err != nil {
		return nil, err
	}
	_, accounts, err := newKey()
	if err != nil {
		return nil, err
	}
	api := "https://" + c.Options.apiServer().String()
	return files{
		"etc/kubernetes/pki/ca.crt":              ca.pem,
		"etc/kubernetes/pki/apiserver.crt":       server.certificate,
		"etc/kubernetes/pki/apiserver.key":       server.key,
		"etc/kubernetes/pki/kubelet-client.crt":  kubelets.certificate,
		"etc/kubernetes/pki/kubelet-client.key":  kubelets.key,
		"etc/kubernetes/pki/sa.key":              accounts,
		"etc/kubernetes/controller-manager.conf": ca.kubeconfig(api, controllers),
		"etc/kubernetes/scheduler.conf":          ca.kubeconfig(api, scheduler),
	}, nil
}

func (c *Cluster) controlPlaneServices() []Service {
	networks := c.Options.networks()
	const pki = "/etc/kubernetes/pki/"
	bind := "0.0.0.0"
	if c.Options.IP != "ipv4" {
		bind = "::"
	}
	services := each(networks, func(n network) netip.Prefix { return n.services })
	pods := each(networks, func(n network) netip.Prefix { return n.pods })
	// The order does not matter: each waits or is started again until what it
	// needs is there.
	return []Service{
		{Name: "etcd", Args: []string{
			"etcd", "--data-dir=/var/lib/etcd",
			// The cluster does not outlive the computer's power.
			"--unsafe-no-fsync",
			"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380",
			"--log-level=warn",
		}},
		{Name: "kube-apiserver", Args: []string{
			"kube-apiserver", "--etcd-servers=http://127.0.0.1:2379",
			"--bind-address=" + bind, "--advertise-address=" + networks[0].controlPlane().String(), "--secure-port=6443",
			"--service-cluster-ip-range=" + services,
			"--tls-cert-file=" + pki + "apiserver.crt", "--tls-private-key-file=" + pki + "apiserver.key",
			"--client-ca-file=" + pki + "ca.crt",
			"--kubelet-client-certificate=" + pki + "kubelet-client.crt", "--kubelet-client-key=" + pki + "kubelet-client.key",
			"--kubelet-preferred-address-types=InternalIP",
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pki + "sa.key", "--service-account-signing-key-file=" + pki + "sa.key",
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
			"--allow-privileged=true", "--profiling=false",
		}},
		{Name: "kube-controller-manager", Args: []string{
			"kube-controller-manager", "--kubeconfig=/etc/kubernetes/controller-manager.conf",
			"--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false",
			"--use-service-account-credentials=true",
			"--service-account-private-key-file=" + pki + "sa.key", "--root-ca-file=" + pki + "ca.crt",
			"--cluster-cidr=" + pods, "--service-cluster-ip-range=" + services, "--allocate-node-cidrs=false",
			// Tests make and delete namespaces all the time.
			"--concurrent-namespace-syncs=20", "--kube-api-qps=200", "--kube-api-burst=400",
		}},
		{Name: "kube-scheduler", Args: []string{
			"kube-scheduler", "--kubeconfig=/etc/kubernetes/scheduler.conf",
			"--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false",
		}},
	}
}

// nodeObjects are made before the kubelets are there to register them, so that
// it is known which node has which Pods' addresses: routes depend on it.
func (c *Cluster) nodeObjects() []object {
	var nodes []object
	for number := 1; number <= c.Options.Nodes; number++ {
		pods := list(c.Options.networks(), func(n network) netip.Prefix { return n.podsOf(number) })
		nodes = append(nodes, object{
			"apiVersion": "v1",
			"kind":       "Node",
			"metadata": object{
				"name":   nodeName(number),
				"labels": object{"kubernetes.io/hostname": nodeName(number), "kubernetes.io/os": "linux"},
			},
			"spec": object{"podCIDR": pods[0], "podCIDRs": pods},
		})
	}
	return nodes
}
