package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// flagTest is a flag of a command line.
type flagTest struct {
	base []string
	flag string
	// bad values are refused, with want in the message; good ones are not.
	bad, good []string
	want      string
}

// What a flag cannot mean is refused with the flag, the value and what is right;
// nothing is taken in part.
func TestFlagsAreChecked(t *testing.T) {
	t.Setenv("NODE_NAME", "")
	t.Setenv("KUBECONFIG", "")
	dir := t.TempDir()
	file := write(t, "pods.yaml", twoPods)
	kubeconfig := write(t, "kubeconfig", "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n")
	agent := []string{"agent", "--manifests", dir}
	explain := []string{"explain", "a", "b:8080", "-f", file}
	verify := []string{"verify", "-f", file}
	lint := []string{"lint", "-f", file}
	live := []string{"explain", "a", "b:8080", "--kubeconfig", kubeconfig}
	tests := []flagTest{
		{agent, "ct-mark-mask", []string{"", " ", "0xff00,0x3000", "0xff000000zz", "0xff00 3000", "ff003000", "4278202368", "-0xff00", "0x", "0x0", "0x1", "0x7", "0x7f", "0xffffffff", "0x1ff003000"}, []string{"0xff003000", "0xff"}, "--ct-mark-mask: "},
		{agent, "nri-socket", []string{" ", "nri.sock", "/var/run/nri/", "unix:///var/run/nri/nri.sock"}, []string{"", "/var/run/nri/nri.sock"}, "--nri-socket: "},
		{agent, "unknown-pods", []string{"", "ignore", "Drop", "drop,pass", "true"}, []string{"drop", "pass"}, "--unknown-pods: "},
		{agent, "node-dns", []string{"", "169.254.20.10,", ",169.254.20.10", "169.254.20.10/32", "169.254.20.256", "node-local-dns", "fe80::1%eth0", "0.0.0.0", "::", "127.0.0.1", "::1", "224.0.0.251", "255.255.255.255", "169.254.20.10 10.96.0.10", "169.254.20.10:53"}, []string{"169.254.20.10", "169.254.20.10,10.96.0.10,fd00::10", "::ffff:169.254.20.10"}, "--node-dns: "},
		{agent, "pod-interfaces", []string{"", "cali*,", "[", "*", "l?", "lo", "*o", "eth0/1", "my interface", "an-interface-of-20-c"}, []string{"cali*", "cali*,veth[0-9]*", "eth0"}, "interface"},
		{agent, "uplinks", []string{"[", "*", "lo", "eth0/1", "eth0,"}, []string{"none", "eth*,bond0"}, "interface"},
		{agent, "other-interfaces", []string{"[", "*", "l?", "my interface"}, []string{"none", "docker0,br-*"}, "interface"},
		{agent, "harmless-programs", []string{"["}, []string{"xdp@eth0,cil_*"}, "program"},
		{agent, "metrics-address", []string{" ", ":9470", "9470", "localhost", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.256:9470", "127.0.0:9470", "::1:9470", "http://127.0.0.1:9470", "a b:9470"}, []string{"", "127.0.0.1:9470", "[::1]:9470", "localhost:9470"}, "--metrics-address: "},
		{agent, "health-address", []string{" ", "9470", "127.0.0.1:x", "http://127.0.0.1:9470"}, []string{"", ":9470", "127.0.0.1:9470"}, "--health-address: "},
		{agent, "socket", []string{"", " ", "agent.sock", "/" + strings.Repeat("a", 80)}, []string{"/run/sluice.sock"}, "--socket: "},
		{agent, "tls-cert", []string{"", "cert.pem"}, nil, "--tls-cert"},
		{agent, "tls-key", []string{"", "key.pem"}, nil, "--tls-key"},
		{agent, "allow-pod-tunnels", []string{"", "maybe"}, []string{"true"}, "allow-pod-tunnels"},
		{agent, "log-group", []string{"", "-1", "65536", "1,2", "x"}, []string{"0", "65535"}, "log-group"},
		{agent, "denials", []string{"", "Stdout", "stderr", "keep,stdout"}, []string{"keep", "stdout", "off"}, "--denials: "},
		{agent, "denials-per-pod", []string{"", "maybe"}, []string{"true"}, "denials-per-pod"},
		{[]string{"agent", "--manifests", dir, "--denials=off"}, "denials-per-pod", []string{"true"}, []string{"false"}, "--denials-per-pod: "},
		{[]string{"agent", "--node-name", "a", "--kubeconfig", kubeconfig}, "denial-events", []string{"", "maybe"}, []string{"true"}, "denial-events"},
		{agent, "denial-events", []string{"true"}, []string{"false"}, "--denial-events: "},
		{agent, "v", []string{"", "-1", "x", "1.5"}, []string{"9", "0"}, "v"},
		{agent, "node-egress", []string{"", "maybe"}, []string{"true", "false"}, "node-egress"},
		{agent, "reject", []string{"", "maybe"}, []string{"true"}, "reject"},
		{agent, "guard-opt-out", []string{"", "maybe"}, []string{"true"}, "guard-opt-out"},
		{[]string{"agent"}, "manifests", []string{"", " ", "/nonexistent", file}, []string{dir}, "--manifests: "},
		{[]string{"agent", "--kubeconfig", kubeconfig}, "node-name", []string{"", " ", "Worker-1", "worker_1", "worker 1", "worker-1,worker-2", "-worker"}, []string{"worker-1", "ip-10-0-0-1.eu-west-1.compute.internal"}, "--node-name: "},
		{[]string{"agent", "--node-name", "a"}, "kubeconfig", []string{"", "/nonexistent", dir}, []string{kubeconfig}, "--kubeconfig: "},
		{[]string{"agent", "--node-name", "a", "--kubeconfig", kubeconfig}, "context", []string{""}, []string{"c"}, "--context: "},
		{[]string{"agent", "--node-name", "a", "--kubeconfig", kubeconfig}, "remove-startup-taint", []string{"", "maybe"}, []string{"true"}, "remove-startup-taint"},
		{agent, "remove-startup-taint", []string{"true"}, []string{"false"}, "--remove-startup-taint: "},
		{[]string{"cleanup"}, "ct-mark-mask", []string{"", "0xff00,0x3000", "0x1"}, []string{"0xff003000"}, "--ct-mark-mask: "},
		{[]string{"cleanup"}, "wait", []string{"maybe"}, []string{"true"}, "wait"},
		{[]string{"demo"}, "keep", []string{"", "maybe"}, []string{"true"}, "keep"},
		{explain, "output", []string{"", "yaml", "JSON", "text,json"}, []string{"text", "json"}, "--output: "},
		{explain, "namespace", []string{"a/b", "A", "a b"}, []string{"default", ""}, "--namespace: "},
		{explain, "recursive", []string{"maybe"}, []string{"true"}, "recursive"},
		{[]string{"explain", "a", "b:8080"}, "filename", []string{"", " "}, []string{file}, "--filename: "},
		{live, "request-timeout", []string{"-5s", "-1", "soon", "5 s"}, []string{"0", "", "10s", "10"}, "--request-timeout: "},
		{live, "context", []string{"other"}, []string{"c", ""}, "--context: "},
		{[]string{"explain", "a", "b:8080"}, "kubeconfig", []string{"/nonexistent"}, []string{kubeconfig}, "kubeconfig"},
		{append(verify, "--flows", file), "output", []string{"", "yaml"}, []string{"text", "json"}, "--output: "},
		{verify, "flows", []string{""}, []string{file}, "--flows: "},
		{append(verify, "--flows", file), "topology", []string{"", "ring", "ptp"}, nil, "--topology"},
		{append(verify, "--flows", file), "in-kernel", []string{"", "maybe"}, []string{"false"}, "in-kernel"},
		{[]string{"lint"}, "filename", []string{"", " "}, []string{file}, "--filename: "},
		{lint, "namespace", []string{"Shop", "a/b"}, []string{"shop"}, "--namespace: "},
		{lint, "verbose", []string{"", "maybe"}, []string{"true"}, "verbose"},
		{lint, "quiet", []string{"", "maybe"}, []string{"true"}, "quiet"},
		{lint, "recursive", []string{"maybe"}, []string{"true"}, "recursive"},
		{lint, "output", []string{"", "yaml", "SARIF"}, []string{"text", "json", "sarif", "github", "junit"}, "--output: "},
		{lint, "fail-on", []string{"", "info", "warning,error"}, []string{"error", "warning", "note"}, "--fail-on: "},
		{[]string{"verify", "--kubeconfig", kubeconfig, "--flows", file}, "recursive", []string{"true"}, []string{"false"}, "-R"},
	}
	built := filepath.Dir(write(t, "kustomization.yaml", "resources: []\n"))
	list, exposure, diff := []string{"list", "-f", file}, []string{"exposure", "-f", file}, []string{"diff", file, file}
	suggest := []string{"suggest", "-f", file, "--flows", file}
	tests = append(tests, []flagTest{
		{explain, "exit-code", []string{"", "maybe"}, []string{"true"}, "exit-code"},
		{explain, "color", []string{"", "yes", "Always", "auto,never"}, []string{"auto", "always", "never"}, "is none of [auto always never]"},
		{[]string{"demo"}, "color", []string{"yes"}, []string{"always"}, "is none of [auto always never]"},
		{explain, "verbose", []string{"", "maybe"}, []string{"true"}, "verbose"},
		{explain, "quiet", []string{"", "maybe"}, []string{"true"}, "quiet"},
		{append(verify, "--flows", file), "only-mismatches", []string{"", "maybe"}, []string{"true"}, "only-mismatches"},
		{list, "output", []string{"", "xml", "JSON", "text,json"}, []string{"text", "json", "yaml", "csv", "md", "dot", "mermaid", "html"}, "--output: "},
		{list, "why", []string{"", "maybe"}, []string{"true"}, "why"},
		{list, "focus", []string{"", "a/b/c", "10.0.0.1/8", "svc/a", "node/a", "a=b=c"}, []string{"shop/db", "deploy/shop/db", "internet", "10.0.0.0/8", "app=db"}, "--focus"},
		{list, "direction", []string{"", "up"}, []string{"both"}, "--direction: "},
		{list, "direction", []string{"ingress"}, nil, "give --focus"},
		{list, "port", []string{"", "0", "65536", "9-1", "80/ICMP", "80/x", "/TCP"}, []string{"443", "8000-8100", "53/UDP", "http", "TCP", "icmp"}, "--port: "},
		{exposure, "output", []string{"", "xml"}, []string{"text", "json", "yaml", "csv", "md", "dot", "mermaid", "html"}, "--output: "},
		{exposure, "focus", []string{"", "a/b/c", "svc/a"}, []string{"shop/db", "ns/shop"}, "--focus"},
		{exposure, "direction", []string{"", "up"}, []string{"both", "ingress", "egress"}, "--direction: "},
		{diff, "output", []string{"", "csv"}, []string{"text", "json", "md", "github", "sarif", "junit", "html"}, "--output: "},
		{diff, "fail-on", []string{"", "denied", "any,allowed"}, []string{"any", "allowed", "never"}, "--fail-on: "},
		{[]string{"diff", built, built}, "kustomize", []string{"", "maybe"}, []string{"true", "false"}, "kustomize"},
		{diff, "kustomize", []string{"true"}, []string{"false"}, "-k: neither OLD nor NEW"},
		{diff, "context", []string{"c", ""}, nil, "--context is for a cluster"},
		{diff, "apply", []string{"", "maybe"}, []string{"true", "false"}, "apply"},
		{suggest, "output", []string{"", "text"}, []string{"yaml", "json"}, "--output: "},
		{suggest, "direction", []string{"", "up"}, []string{"both", "ingress", "egress"}, "--direction: "},
		{suggest, "mode", []string{"", "on"}, []string{"audit", "enforce"}, "--mode: "},
		{suggest[:3], "flows", []string{"", " "}, []string{file}, "--flows: "},
	}...)
	status := []string{"status", "--kubeconfig", kubeconfig}
	wait := []string{"wait", "netpol/db", "--kubeconfig", kubeconfig}
	observe := []string{"observe", "--kubeconfig", kubeconfig}
	socket := filepath.Join(dir, "agent.sock")
	for _, of := range [][]string{status, observe} {
		tests = append(tests, []flagTest{
			{of[:1], "socket", []string{"", " ", "agent.sock"}, []string{socket}, "--socket: "},
			{append(of[:1:1], "--socket", socket), "context", []string{"c"}, nil, "--socket is instead"},
		}...)
	}
	doctor := []string{"doctor", "--kubeconfig", kubeconfig}
	tests = append(tests, []flagTest{
		{doctor, "output", []string{"", "yaml", "wide"}, []string{"text", "json"}, "--output: "},
		{doctor, "fail-on", []string{"", "ok", "error", "problem,warning"}, []string{"problem", "warning", "note"}, "--fail-on: "},
		{doctor, "quiet", []string{"maybe"}, []string{"true"}, "quiet"},
		{doctor, "agents", []string{"maybe"}, []string{"true"}, "agents"},
		{doctor, "bundle", []string{"", " ", "bundle.zip", "bundle"}, []string{"a.tar.gz", "/tmp/a.tgz"}, "--bundle: "},
		{doctor, "redact", []string{"maybe"}, []string{"false"}, "redact"},
		{append(doctor, "--bundle", "a.tgz"), "redact", nil, []string{"true"}, "redact"},
		{doctor, "redact", []string{"true"}, nil, "--redact is for a bundle"},
		{doctor[:1], "socket", []string{"", " ", "agent.sock"}, []string{socket}, "--socket: "},
		{append(doctor[:1:1], "--agents"), "socket", []string{socket}, nil, "--socket is of this machine's agent"},
		{append(doctor[:1:1], "--socket", socket), "context", []string{"c"}, nil, "--socket is instead"},
		{doctor, "agent-namespace", []string{"", "a/b", "A"}, []string{"sluice-system"}, "--agent-namespace: "},
		{doctor, "agent-certificate-authority", []string{"", "/nonexistent"}, []string{file}, "--agent-certificate-authority: "},
		{doctor, "request-timeout", []string{"-5s", "soon"}, []string{"0", "10s"}, "--request-timeout: "},
		{doctor, "context", []string{"other"}, []string{"c"}, "--context: "},
		{doctor[:1], "kubeconfig", []string{"/nonexistent"}, []string{kubeconfig}, "kubeconfig"},
	}...)
	try := []string{"try", "-f", file, "--kubeconfig", kubeconfig}
	for _, of := range [][]string{status, wait, observe, try} {
		tests = append(tests, []flagTest{
			{of, "agent-namespace", []string{"", "a/b", "A"}, []string{"sluice-system"}, "--agent-namespace: "},
			{of, "agent-certificate-authority", []string{"", "/nonexistent"}, []string{file}, "--agent-certificate-authority: "},
			{of, "request-timeout", []string{"-5s", "soon"}, []string{"0", "10s"}, "--request-timeout: "},
			{of, "namespace", []string{"a/b", "A"}, []string{"shop", ""}, "--namespace: "},
		}...)
	}
	for _, of := range [][]string{status, observe, try} {
		tests = append(tests, flagTest{of, "color", []string{"", "yes"}, []string{"never"}, "is none of [auto always never]"})
	}
	tests = append(tests, []flagTest{
		{status, "output", []string{"", "yaml", "wide"}, []string{"text", "json"}, "--output: "},
		{status, "all-namespaces", []string{"", "maybe"}, []string{"true"}, "all-namespaces"},
		{append(status, "-n", "shop"), "all-namespaces", []string{"true"}, nil, "-A is for all"},
		{status[:1], "kubeconfig", []string{"/nonexistent"}, []string{kubeconfig}, "kubeconfig"},
		{wait[:2], "kubeconfig", []string{"/nonexistent"}, []string{kubeconfig}, "kubeconfig"},
		{observe[:1], "kubeconfig", nil, []string{kubeconfig}, "kubeconfig"},
		{wait, "context", []string{"other"}, []string{"c"}, "--context: "},
		{wait, "socket", []string{"", "/run/sluice.sock"}, nil, "--socket"},
		{wait, "for", []string{"", "ready", "delete"}, []string{"enforced", "deleted"}, "--for: "},
		{wait, "timeout", []string{"0s", "-1s", "soon"}, []string{"30s"}, "timeout"},
		{wait, "uid", []string{"", " "}, []string{"7b0c"}, "--uid: "},
		{wait, "ignore-nodes-without-agent", []string{"maybe"}, []string{"true"}, "ignore-nodes-without-agent"},
		{observe, "output", []string{"", "yaml"}, []string{"text", "wide", "json"}, "--output: "},
		{observe, "follow", []string{"maybe"}, []string{"true"}, "follow"},
		{observe, "pod", []string{"", "a/b/c", "deploy/"}, []string{"web", "shop/web", "deploy/web", "10.0.0.7"}, "--pod: "},
		{observe, "from", []string{"", "a/b/c", "app=web"}, []string{"ns/shop", "outside", "internet"}, "--from: "},
		{observe, "to", []string{"", "a/b/c"}, []string{"10.0.0.0/8", "node/a"}, "--to: "},
		{observe, "reason", []string{"", "Because"}, []string{"Policy", "Policy,Guard"}, "--reason: "},
		{observe, "last", []string{"-1m", "soon"}, []string{"10m"}, "last"},
		{observe, "tail", []string{"-1", "x", "100001"}, []string{"10"}, "tail"},
		{observe, "node", []string{"", " "}, []string{"n1"}, "--node: "},
		{observe, "allowed", []string{"maybe"}, []string{"true"}, "allowed"},
		{append(observe, "--allowed"), "last", []string{"5m"}, nil, "--allowed: "},
		{observe, "for", []string{"1h", "soon"}, nil, "for"},
		{append(observe, "-f"), "for", []string{"-1s"}, []string{"1h"}, "for"},
		{[]string{"suggest", "--kubeconfig", kubeconfig}, "for", []string{"-1s", "soon"}, []string{"1h"}, "for"},
		{suggest, "for", []string{"1h"}, nil, "--for asks a cluster"},
		{try, "for", []string{"0s", "-1s", "soon"}, []string{"1h"}, "for"},
		{try, "output", []string{"", "yaml"}, []string{"text", "wide", "json"}, "--output: "},
		{try[:3], "socket", []string{"", socket}, nil, "--socket"},
		{try[:1], "filename", []string{"", " "}, nil, "--filename: "},
	}...)
	for _, of := range [][]string{explain, lint, {"list", "-f", file}, {"exposure", "-f", file}, suggest, try, append(verify, "--flows", file)} {
		tests = append(tests, flagTest{of, "kustomize", []string{"", " "}, nil, "--kustomize: "})
	}
	tried := map[string]bool{}
	for _, tt := range tests {
		tried[tt.base[0]+" "+tt.flag] = true
		if !worksHere(t, tt.base[0]) {
			continue
		}
		for _, value := range tt.bad {
			args := append(tt.base[:len(tt.base):len(tt.base)], "--"+tt.flag+"="+value)
			err := checked(t, args)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q: %v, want %q in it", args, err, tt.want)
			}
		}
		for _, value := range tt.good {
			args := append(tt.base[:len(tt.base):len(tt.base)], "--"+tt.flag+"="+value)
			if err := checked(t, args); err != nil && !onlyNeedsRoot(err) {
				t.Errorf("%q: %v", args, err)
			}
		}
	}
	everyFlagWasTried(t, tried)
}

// worksHere reports whether a command is more than listed in this binary.
func worksHere(t *testing.T, name string) bool {
	t.Helper()
	cmd, _, err := newRootCommand(IOStreams{}).Find([]string{name})
	return err != nil || !cmd.DisableFlagParsing
}

// onlyNeedsRoot reports whether a command line was accepted by a command that goes no
// further without root.
func onlyNeedsRoot(err error) bool {
	return os.Geteuid() != 0 && strings.Contains(err.Error(), "need root: run it with sudo")
}

// checked completes and validates a command line, and runs nothing.
func checked(t *testing.T, args []string) error {
	t.Helper()
	cmd, rest, err := newRootCommand(IOStreams{In: strings.NewReader("")}).Find(args)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.PreRunE(cmd, cmd.Flags().Args())
}

// free are flags of which any value means something, or that are kubectl's own
// and checked where the kubeconfig is read.
var free = map[string]bool{"help": true, "vmodule": true, "as": true, "as-group": true, "as-user-extra": true, "cluster": true, "user": true}

// ofSources are the flags that say where the objects of a question are: those of all
// commands that have them are one set.
var ofSources = map[string]bool{
	"filename": true, "recursive": true, "namespace": true, "verbose": true, "quiet": true, "context": true, "kubeconfig": true, "request-timeout": true,
}

// A flag that is added is checked, too, or named as free; those of verify that
// explain has are the same.
func everyFlagWasTried(t *testing.T, tried map[string]bool) {
	t.Helper()
	for _, cmd := range newRootCommand(IOStreams{}).Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			shared := cmd.Name() == "verify" && tried["explain "+f.Name] || ofSources[f.Name] && tried["explain "+f.Name]
			if !f.Hidden && !free[f.Name] && !tried[cmd.Name()+" "+f.Name] && !shared {
				t.Errorf("%s --%s is not in the table", cmd.Name(), f.Name)
			}
		})
	}
}

// Whoever gets a command line wrong is shown a right one; what is wrong with the
// machine or the manifests has nothing to do with it.
func TestUsageErrorsShowAnExample(t *testing.T) {
	file := write(t, "pods.yaml", twoPods)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"agent", "--ct-mark-mask", "0x7", "--manifests", t.TempDir()}, "sluice agent"},
		{[]string{"explain", "a"}, "sluice explain shop/frontend shop/db:5432"},
		{[]string{"explain", "a", "b:80/", "-f", file}, "sluice explain shop/frontend shop/db:5432"},
		{[]string{"verify", "-f", file, "-o", "xml"}, "sluice verify -f manifests/ --flows flows.jsonl"},
		{[]string{"cleanup", "--bogus"}, "sudo sluice cleanup"},
		{[]string{"enforce"}, "sluice --help"},
		{[]string{"explain", "a", "c:80", "-f", file}, ""},
		{[]string{"verify", "-f", "/nonexistent", "--flows", file}, ""},
	} {
		if !worksHere(t, tt.args[0]) {
			continue
		}
		got := sluice(t, "", tt.args...)
		if got.code != exitUnusable || !strings.Contains(got.err, tt.want) || strings.Contains(got.err, "--help") != (tt.want != "") {
			t.Errorf("%q: exit code %d, want %q in\n%s", tt.args, got.code, tt.want, got.err)
		}
	}
}
