package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// flanneld carries packets between nodes, and tells each node which addresses its
// Pods have. Its own plug-in only hands those on to the plug-in bridge, and is no Go
// module that anybody could build; so a machine writes what that would delegate.

const (
	flannelUser = "sluice-cluster:flannel"
	// subnetFile is what flanneld says of the node; it writes it when it is ready.
	subnetFile = "/run/flannel/subnet.env"
)

func (c *Cluster) flannelFiles(ca *authority, into files) error {
	user, err := ca.user(flannelUser)
	if err != nil {
		return err
	}
	into["etc/kubernetes/flannel.conf"] = ca.kubeconfig("https://"+c.Options.apiServer().String(), user)
	into["etc/kube-flannel/net-conf.json"] = c.Options.flannelConfig()
	return nil
}

// flannelConfig: it writes its masquerade rules with what kube-proxy writes its own
// with, so that both are seen.
func (o *Options) flannelConfig() object {
	config := object{
		"EnableIPv4":     false,
		"EnableIPv6":     false,
		"EnableNFTables": o.Proxy == "nftables",
		"Backend":        object{"Type": o.Flannel},
	}
	for _, n := range o.networks() {
		if n.pods.Addr().Is4() {
			config["EnableIPv4"], config["Network"] = true, n.pods.String()
		} else {
			config["EnableIPv6"], config["IPv6Network"] = true, n.pods.String()
		}
	}
	return config
}

// flannelService is upstream's, but for its place: on the machine, not in a Pod. It
// ends as long as there is no Node of its name, and is started again.
func flannelService(node string) Service {
	return Service{Name: "flanneld", Args: []string{
		"env", "NODE_NAME=" + node,
		"flanneld", "--kube-subnet-mgr", "--kubeconfig-file=/etc/kubernetes/flannel.conf", "--iface=eth0", "--ip-masq",
		"--subnet-file=" + subnetFile,
	}}
}

// flannelObjects are the rights that upstream's manifest gives it.
func flannelObjects() []object {
	const group, name = "rbac.authorization.k8s.io", "flannel"
	rule := func(resource string, verbs ...string) object {
		return object{"apiGroups": []string{""}, "resources": []string{resource}, "verbs": verbs}
	}
	return []object{
		{
			"apiVersion": group + "/v1", "kind": "ClusterRole", "metadata": object{"name": name},
			"rules": []object{rule("pods", "get"), rule("nodes", "get", "list", "watch"), rule("nodes/status", "patch")},
		},
		{
			"apiVersion": group + "/v1", "kind": "ClusterRoleBinding", "metadata": object{"name": name},
			"roleRef":  object{"apiGroup": group, "kind": "ClusterRole", "name": name},
			"subjects": []object{{"apiGroup": group, "kind": "User", "name": flannelUser}},
		},
	}
}

// attachByFlannel waits for what flanneld says of the node and has Pods attached so.
// Until then the node is not ready.
func attachByFlannel(log io.Writer) {
	for {
		text, err := os.ReadFile(subnetFile)
		if err == nil {
			if err = writeConflist(string(text), "/"+conflistPath); err == nil {
				return
			}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(log, "attach Pods as flannel says: %v\n", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func writeConflist(subnets, path string) error {
	list, err := flannelConflist(subnets)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	// containerd must not find half of it.
	next := path + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// flannelConflist is what flannel's plug-in would delegate to the plug-in bridge.
func flannelConflist(env string) (object, error) {
	values := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(env)); lines.Scan(); {
		if key, value, found := strings.Cut(lines.Text(), "="); found {
			values[key] = value
		}
	}
	mtu, err := strconv.Atoi(values["FLANNEL_MTU"])
	if err != nil {
		return nil, fmt.Errorf("FLANNEL_MTU in %s: %w", subnetFile, err)
	}
	var subnets []netip.Prefix
	for _, key := range []string{"FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"} {
		if values[key] == "" {
			continue
		}
		// It is written as the address of the node among its Pods.
		subnet, err := netip.ParsePrefix(values[key])
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w", key, subnetFile, err)
		}
		subnets = append(subnets, subnet.Masked())
	}
	if len(subnets) == 0 {
		return nil, fmt.Errorf("%s names no subnet", subnetFile)
	}
	plugin := bridgePlugin()
	plugin["mtu"] = mtu
	return conflist(plugin, subnets), nil
}
