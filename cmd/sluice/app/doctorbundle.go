package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/sluice-net/sluice/cmd/sluice/app/agents"
	"github.com/sluice-net/sluice/cmd/sluice/app/bundle"
	"github.com/sluice-net/sluice/enforcer/diagnosis"
	"github.com/sluice-net/sluice/enforcer/nodestatus"
)

// Limits on what a bundle takes of one node.
const (
	maxMetrics  = 8 << 20
	maxLog      = 1 << 20
	lastLines   = 500
	mostBundled = 200
)

// bundleDir is the directory in the archive.
const bundleDir = "sluice-doctor"

const bundleReadme = `A bundle of sluice doctor, for a bug report. What may be in it, each where it could be had:

  version.txt            the command's version
  doctor.json            what sluice doctor -o json says, and the facts that it is made of
  nodes/NODE/status.json what the agent enforces: Pods, policies, conditions
  nodes/NODE/metrics.txt the agent's metrics
  nodes/NODE/ruleset.nft Sluice's own nftables, as nft lists them; nobody else's
  nodes/NODE/log.txt     the last lines of the agent's log; not with --redact
  left-out.txt           what could not be had, and why

What is never in it: Secrets, tokens, passwords, certificates, keys, kubeconfigs,
environment variables, other programs' rules, the content of any packet. What looks like
one of these in a log is replaced by [removed].

`

// writeBundle gathers and packs. What one node does not give is left out, and told.
func (o *DoctorOptions) writeBundle(ctx context.Context, found doctored) error {
	g := &gathering{options: o}
	text := bundleReadme + "Names of Pods, policies, namespaces and nodes, and addresses, are as they are. --redact gives them pseudonyms.\n"
	if o.redact {
		text = bundleReadme + "Names of Pods, policies, namespaces and nodes, and addresses, have pseudonyms: the same one for the same name.\n"
	}
	g.add("README.txt", []byte(text), bundle.Text)
	g.add("version.txt", []byte(versionLine()+"\n"), bundle.Text)
	g.addReport(found.report)
	if found.connection != nil {
		g.askAgents(ctx, found.connection)
	}
	if found.report.Scope == "node" {
		g.addMachine(ctx, found.report)
	}
	slices.Sort(g.leftOut)
	if len(g.leftOut) > 0 {
		g.add("left-out.txt", []byte(strings.Join(g.leftOut, "\n")+"\n"), bundle.Text)
	}
	slices.SortFunc(g.files, func(a, b bundle.File) int { return strings.Compare(a.Name, b.Name) })
	options := bundle.Options{Time: time.Now().UTC(), Secrets: o.secrets()}
	if o.redact {
		options.Names = bundle.NewNames(o.salt(ctx, found.connection))
		learnNames(options.Names, g)
	}
	if err := writeWhole(o.bundle, func(w io.Writer) error { return bundle.Write(w, bundleDir, g.files, options) }); err != nil {
		return err
	}
	fmt.Fprintf(o.ErrOut, "wrote %s: %s; look into it before you send it\n", o.bundle, count(len(g.files), "file", "files"))
	return nil
}

// writeWhole writes a file that is there as a whole or not at all. Only its owner may read it.
func writeWhole(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part")
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if err = write(file); err != nil {
		_ = file.Close()
		return err
	}
	if err = file.Close(); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

// gathering is what gets into a bundle.
type gathering struct {
	options *DoctorOptions

	mu      sync.Mutex
	files   []bundle.File
	leftOut []string
}

func (g *gathering) add(name string, data []byte, form bundle.Form) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.files = append(g.files, bundle.File{Name: name, Data: data, Form: form})
}

func (g *gathering) leaveOut(name string, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leftOut = append(g.leftOut, name+": "+why.Error())
}

// addReport adds the diagnosis, and each node's ruleset as a file of its own.
func (g *gathering) addReport(r *diagnosis.Report) {
	without := *r
	without.Nodes = nil
	for _, n := range r.Nodes {
		if n.Ruleset != "" {
			g.add(nodeFile(n.Node, "ruleset.nft"), []byte(n.Ruleset), bundle.Ruleset)
		}
		c := *n
		c.Ruleset = ""
		without.Nodes = append(without.Nodes, &c)
	}
	data, err := json.MarshalIndent(without, "", "  ")
	if err != nil {
		g.leaveOut("doctor.json", err)
		return
	}
	g.add("doctor.json", append(data, '\n'), bundle.JSON)
}

// nodeFile is where a node's file is. A node's name is a DNS name, but whoever answers for
// it says it.
func nodeFile(node, name string) string {
	node = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '_'
	}, node)
	return "nodes/" + strings.Trim(cmp.Or(node, "this"), ".") + "/" + name
}

// askAgents asks each agent for its status, metrics and log.
func (g *gathering) askAgents(ctx context.Context, c *connection) {
	if len(c.fleet.Agents) > mostBundled {
		g.leaveOut("nodes", fmt.Errorf("only the first %d of %d nodes are in it", mostBundled, len(c.fleet.Agents)))
		c.fleet.Agents = c.fleet.Agents[:mostBundled]
	}
	failures := c.fleet.Each(ctx, func(ctx context.Context, a agents.Agent) error {
		ctx, cancel := context.WithTimeout(ctx, doctorWithin)
		defer cancel()
		for _, ask := range []struct {
			path, file string
			most       int64
			form       bundle.Form
		}{
			{nodestatus.StatusPath, "status.json", nodestatus.MaxAnswer, bundle.JSON},
			{"/metrics", "metrics.txt", maxMetrics, bundle.Metrics},
		} {
			data, err := c.fleet.Read(ctx, a, ask.path, nil, ask.most)
			if err == nil && ask.form == bundle.JSON {
				data, err = onlyStatus(data)
			}
			if err != nil {
				g.leaveOut(nodeFile(a.Node, ask.file), err)
				continue
			}
			g.add(nodeFile(a.Node, ask.file), data, ask.form)
		}
		g.addLog(ctx, c, a)
		return nil
	})
	for _, f := range failures {
		g.leaveOut(nodeFile(f.Node, ""), f.Err)
	}
}

// onlyStatus is a status as this version knows it: nothing else that an agent may say gets
// in.
func onlyStatus(data []byte) ([]byte, error) {
	n, err := nodestatus.ParseNode(data)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(n, "", "  ")
}

// addLog adds the last lines of an agent's log. They may name what nobody else knows, so
// that no pseudonym could be found for it: with --redact there is none.
func (g *gathering) addLog(ctx context.Context, c *connection, a agents.Agent) {
	if c.client == nil || g.options.redact {
		return
	}
	lines, most := int64(lastLines), int64(maxLog)
	data, err := c.client.CoreV1().Pods(g.options.where.Namespace).GetLogs(a.Pod, &corev1.PodLogOptions{TailLines: &lines, LimitBytes: &most}).Do(ctx).Raw()
	if err != nil {
		g.leaveOut(nodeFile(a.Node, "log.txt"), err)
		return
	}
	g.add(nodeFile(a.Node, "log.txt"), data[:min(len(data), maxLog)], bundle.Text)
}

// addMachine adds what only this machine has: the ruleset, and the log where the kubelet
// keeps it.
func (g *gathering) addMachine(ctx context.Context, r *diagnosis.Report) {
	node := ""
	if len(r.Nodes) > 0 {
		node = r.Nodes[0].Node
	}
	text, err := machineRuleset(ctx)
	if err != nil {
		g.leaveOut(nodeFile(node, "ruleset.nft"), err)
	}
	if text != "" {
		g.add(nodeFile(node, "ruleset.nft"), []byte(text), bundle.Ruleset)
	}
	if g.options.redact {
		return
	}
	logs, _ := filepath.Glob("/var/log/containers/sluice-*_" + g.options.where.Namespace + "_agent-*.log")
	if len(logs) == 0 {
		g.leaveOut(nodeFile(node, "log.txt"), errors.New("there is none in /var/log/containers"))
		return
	}
	data, err := endOf(logs[len(logs)-1], maxLog)
	if err != nil {
		g.leaveOut(nodeFile(node, "log.txt"), err)
		return
	}
	g.add(nodeFile(node, "log.txt"), data, bundle.Text)
}

// endOf reads the last bytes of a file, from the beginning of a line on.
func endOf(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	from := max(0, info.Size()-most)
	data, err := io.ReadAll(io.LimitReader(io.NewSectionReader(file, from, most), most))
	if err != nil {
		return nil, err
	}
	if i := bytes.IndexByte(data, '\n'); from > 0 && i >= 0 {
		data = data[i+1:]
	}
	return data, nil
}

// secrets are the caller's own credentials, which must not get in whoever says them.
func (o *DoctorOptions) secrets() []string {
	config, err := o.kube.config()
	if err != nil {
		return nil
	}
	out := []string{config.BearerToken, config.Password, string(config.KeyData), string(config.CertData)}
	for _, file := range []string{config.BearerTokenFile, config.KeyFile, config.CertFile} {
		if file == "" {
			continue
		}
		if data, err := os.ReadFile(file); err == nil {
			out = append(out, string(data))
		}
	}
	return append(out, providerSecrets(config)...)
}

// providerSecrets are what the settings of an auth plug-in of the kubeconfig hold.
func providerSecrets(config *rest.Config) (out []string) {
	if config.AuthProvider != nil {
		for _, v := range config.AuthProvider.Config {
			out = append(out, v)
		}
	}
	if config.ExecProvider != nil {
		for _, e := range config.ExecProvider.Env {
			out = append(out, e.Value)
		}
	}
	return out
}

// salt is what pseudonyms depend on. That of a cluster, or of a machine, is the same in the
// next bundle, and in none of them; where it cannot be had it is for this one alone.
func (o *DoctorOptions) salt(ctx context.Context, c *connection) []byte {
	if c != nil && c.client != nil {
		if ns, err := c.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{}); err == nil && ns.UID != "" {
			return []byte(ns.UID)
		}
	}
	if o.here {
		if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(bytes.TrimSpace(id)) >= 32 {
			return bytes.TrimSpace(id)
		}
	}
	out := make([]byte, 32)
	_, _ = rand.Read(out) // never fails
	return out
}

// learnNames tells of all names that the documents hold, so that they are found in the
// texts as well, whichever comes first.
func learnNames(names *bundle.Names, g *gathering) {
	for _, f := range g.files {
		if f.Form == bundle.JSON {
			names.Learn(f.Data)
		}
	}
}
