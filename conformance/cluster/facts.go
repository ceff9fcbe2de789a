package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// facts are what a table of results has to say about where it comes from.
type facts struct {
	about                               Options
	local                               bool
	kubernetes, runtime, kernel, system string
	nftables                            string // local only
	daemonSets                          []string
	nodes                               int
	processes                           int
	took                                time.Duration
}

// askCluster asks a cluster what it is. Of one that is not ours, the CNI plugin
// and kube-proxy's mode are what the user said.
func askCluster(ctx context.Context, program string, t target) (facts, error) {
	f := facts{about: t.about, local: t.local}
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
		return f, fmt.Errorf("the cluster has no nodes")
	}
	info := nodes.Items[0].Status.NodeInfo
	f.nodes, f.kubernetes, f.runtime = len(nodes.Items), info.KubeletVersion, info.ContainerRuntimeVersion
	f.kernel, f.system = info.KernelVersion, info.OSImage

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
			f.daemonSets = append(f.daemonSets, fmt.Sprintf("%s/%s (%s)", set.Metadata.Namespace, set.Metadata.Name, c.Image))
		}
	}
	slices.Sort(f.daemonSets)
	if t.local {
		out, err := exec.CommandContext(ctx, "nft", "--version").Output()
		if err != nil {
			return f, fmt.Errorf("nft --version: %w", err)
		}
		f.nftables = strings.TrimSpace(string(out))
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
