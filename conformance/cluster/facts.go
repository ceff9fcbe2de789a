package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// Facts are what a table of results has to say about where it comes from.
type Facts struct {
	About      Options  `json:"about"`
	Local      bool     `json:"local"`
	Kubernetes string   `json:"kubernetes"`
	Runtime    string   `json:"runtime"`
	Kernel     string   `json:"kernel"`
	System     string   `json:"system"`
	NFTables   string   `json:"nftables,omitempty"` // on this computer
	RawSCTP    bool     `json:"rawSCTP,omitempty"`  // see sctp/doc.go
	DaemonSets []string `json:"daemonSets"`
	Nodes      int      `json:"nodes"`
	Processes  int      `json:"processes"`
	Seconds    float64  `json:"seconds"`
}

func (f *Facts) lines() []string {
	lines := []string{
		fmt.Sprintf("Kubernetes %s, %d nodes, %s", f.Kubernetes, f.Nodes, f.Runtime),
		fmt.Sprintf("Linux %s, %s", f.Kernel, f.System),
	}
	if f.NFTables != "" {
		lines = append(lines, f.NFTables)
	}
	if f.RawSCTP {
		lines = append(lines, "upstream's test image, but for its SCTP: that goes over raw sockets, as the kernel has no SCTP sockets")
	}
	if len(f.DaemonSets) == 0 {
		lines = append(lines, "no DaemonSet, so no policy engine from one")
	}
	for _, set := range f.DaemonSets {
		lines = append(lines, "DaemonSet "+set)
	}
	if !f.Local {
		lines = append(lines, "CNI, kube-proxy's mode and addresses are as whoever ran the tests stated them")
	}
	return lines
}

// askCluster asks a cluster what it is. Of one that is not ours, the CNI plugin
// and kube-proxy's mode are what the user said.
func askCluster(ctx context.Context, program string, t target) (Facts, error) {
	f := Facts{About: t.about, Local: t.local}
	var nodes struct {
		Items []struct {
			Status struct {
				NodeInfo struct{ KubeletVersion, ContainerRuntimeVersion, KernelVersion, OSImage string }
			}
		}
	}
	if err := get(ctx, program, t.kubeconfig, &nodes, "nodes"); err != nil {
		return f, err
	}
	if len(nodes.Items) == 0 {
		return f, errors.New("the cluster has no nodes")
	}
	info := nodes.Items[0].Status.NodeInfo
	f.Nodes, f.Kubernetes, f.Runtime = len(nodes.Items), info.KubeletVersion, info.ContainerRuntimeVersion
	f.Kernel, f.System = info.KernelVersion, info.OSImage

	var sets struct {
		Items []struct {
			Metadata struct{ Namespace, Name string }
			Spec     struct {
				Template struct {
					Spec struct{ Containers []struct{ Image string } }
				}
			}
		}
	}
	if err := get(ctx, program, t.kubeconfig, &sets, "daemonsets", "--all-namespaces"); err != nil {
		return f, err
	}
	for _, set := range sets.Items {
		for _, c := range set.Spec.Template.Spec.Containers {
			text := fmt.Sprintf("%s/%s (%s)", set.Metadata.Namespace, set.Metadata.Name, c.Image)
			if set.Metadata.Name == "sluice" {
				// The image's name says little: it is the same for every tree.
				version, err := kubectl(ctx, program, t.kubeconfig, nil, "exec", "--namespace="+set.Metadata.Namespace, "daemonset/sluice", "--", "sluice", "version")
				if err != nil {
					return f, err
				}
				text += ": " + strings.TrimSpace(version)
			}
			f.DaemonSets = append(f.DaemonSets, text)
		}
	}
	slices.Sort(f.DaemonSets)
	if t.local {
		out, err := exec.CommandContext(ctx, "nft", "--version").Output()
		if err != nil {
			return f, fmt.Errorf("nft --version: %w", err)
		}
		f.NFTables = strings.TrimSpace(string(out))
		f.RawSCTP = !kernelHasSCTP()
	}
	return f, nil
}

func get(ctx context.Context, program, kubeconfig string, into any, args ...string) error {
	out, err := kubectl(ctx, program, kubeconfig, nil, append([]string{"get", "--output=json"}, args...)...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}
