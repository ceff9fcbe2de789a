package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func podYAML(name, ip string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {namespace: shop, name: %s}\nspec: {nodeName: n1, containers: [{name: c, image: i}]}\nstatus: {phase: Running, podIP: %s, podIPs: [{ip: %s}]}\n", name, ip, ip)
}

func policyYAML(name string) string {
	return fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {namespace: shop, name: %s}\nspec: {podSelector: {}}\n", name)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func startDir(t *testing.T, path string) *memorySink {
	t.Helper()
	sink := newMemorySink()
	runSource(t, NewDir(path), sink)
	sink.until(t, "synced", func(s *memorySink) bool { return s.synced })
	return sink
}

func hasPod(name string) func(*memorySink) bool {
	return func(s *memorySink) bool { return s.has(PodEvent, "shop", name) }
}

func lacksPod(name string) func(*memorySink) bool {
	return func(s *memorySink) bool { return !s.has(PodEvent, "shop", name) }
}

func TestDirSourceTakesEffectAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), podYAML("a", "10.0.0.1"))
	write(t, filepath.Join(dir, "notes.txt"), "not a manifest")
	write(t, filepath.Join(dir, ".hidden.yaml"), podYAML("hidden", "10.0.0.9"))
	sink := startDir(t, dir)
	sink.until(t, "first file and the implied namespace", func(s *memorySink) bool {
		return hasPod("a")(s) && s.has(NamespaceEvent, "", "shop") && lacksPod("hidden")(s)
	})
	started := time.Now()
	write(t, filepath.Join(dir, "b.yaml"), podYAML("b", "10.0.0.2")+"---\n"+policyYAML("deny"))
	sink.until(t, "new file", func(s *memorySink) bool { return hasPod("b")(s) && s.has(PolicyEvent, "shop", "deny") })
	write(t, filepath.Join(dir, "b.yaml"), podYAML("c", "10.0.0.2"))
	sink.until(t, "changed file", func(s *memorySink) bool {
		return hasPod("c")(s) && lacksPod("b")(s) && !s.has(PolicyEvent, "shop", "deny")
	})
	must(t, os.Remove(filepath.Join(dir, "b.yaml")))
	sink.until(t, "deleted file", lacksPod("c"))
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	write(t, filepath.Join(dir, "sub", "d.yml"), podYAML("d", "10.0.0.3"))
	sink.until(t, "file in a new directory", hasPod("d"))
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("four changes took %v", took)
	}
}

func TestDirSourceKeepsTheLastGoodState(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	write(t, a, podYAML("a", "10.0.0.1")+"---\n"+policyYAML("deny"))
	sink := startDir(t, dir)
	write(t, a, podYAML("a", "10.0.0.1")+"---\n"+strings.TrimSuffix(policyYAML("deny"), "}\n"))
	write(t, b, podYAML("b", "10.0.0.2"))
	sink.until(t, "broken file reported, the other one taken", func(s *memorySink) bool {
		return s.trouble[a] != nil && hasPod("b")(s)
	})
	sink.until(t, "what the broken file said stays", func(s *memorySink) bool {
		return hasPod("a")(s) && s.has(PolicyEvent, "shop", "deny")
	})
	if !sink.holds(func(s *memorySink) bool { return strings.Contains(errorText(s.trouble[a]), "a.yaml:") }) {
		t.Error("the report names no line")
	}
	write(t, a, policyYAML("other"))
	sink.until(t, "mended", func(s *memorySink) bool {
		return len(s.trouble) == 0 && lacksPod("a")(s) && s.has(PolicyEvent, "shop", "other")
	})
	write(t, a, "{")
	sink.until(t, "broken again", func(s *memorySink) bool { return s.trouble[a] != nil })
	must(t, os.Remove(a))
	sink.until(t, "removed: its objects and its trouble go", func(s *memorySink) bool {
		return len(s.trouble) == 0 && !s.has(PolicyEvent, "shop", "other")
	})
}

func TestDirSourceRefusesAFileThatContradictsAnother(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b.yaml"), policyYAML("deny"))
	sink := startDir(t, dir)
	a := filepath.Join(dir, "a.yaml")
	write(t, a, policyYAML("deny")+"---\n"+policyYAML("more"))
	sink.until(t, "reported", func(s *memorySink) bool { return len(s.trouble) > 0 })
	sink.until(t, "old one stays, new one not taken", func(s *memorySink) bool {
		return s.has(PolicyEvent, "shop", "deny") && !s.has(PolicyEvent, "shop", "more")
	})
}

func TestDirSourceBrokenAtTheStartIsNotSynced(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	write(t, a, "kind: [")
	sink := newMemorySink()
	runSource(t, NewDir(dir), sink)
	sink.until(t, "reported", func(s *memorySink) bool { return s.trouble[a] != nil && !s.synced })
	write(t, a, podYAML("a", "10.0.0.1"))
	sink.until(t, "synced once mended", func(s *memorySink) bool { return s.synced && hasPod("a")(s) })
}

func TestDirSourceBrokenAtTheStartIsolatesWhatItNames(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.yaml")
	write(t, a, policyYAML("deny")[:len(policyYAML("deny"))-2]+", ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}\n")
	write(t, b, podYAML("b", "10.0.0.2"))
	sink := newMemorySink()
	runSource(t, NewDir(dir), sink)
	sink.until(t, "synced in part, with the broken policy in force", func(s *memorySink) bool {
		return s.partly && !s.synced && s.trouble[a] != nil && hasPod("b")(s) && s.has(PolicyEvent, "shop", "deny")
	})
	write(t, b, podYAML("c", "10.0.0.3"))
	sink.until(t, "still in force after another file changed", func(s *memorySink) bool {
		return hasPod("c")(s) && s.has(PolicyEvent, "shop", "deny")
	})
	write(t, a, policyYAML("whole"))
	sink.until(t, "synced once mended", func(s *memorySink) bool {
		return s.synced && s.has(PolicyEvent, "shop", "whole") && !s.has(PolicyEvent, "shop", "deny")
	})
}

// What is wrong with objects that a node does not enforce stops nothing that it does.
func TestDirSourceGoesOnWithoutWorkloads(t *testing.T) {
	dir := t.TempDir()
	bad := ""
	for _, object := range []string{
		"{apiVersion: v1, kind: Deployment, metadata: {name: a}}", "{apiVersion: apps/v1, kind: deployment, metadata: {name: a}}",
		"{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: {containers: [{ports: [{containerPort: '80'}]}]}}}}",
		"{apiVersion: apps/v1, kind: Deployment, metadata: {}}", "{apiVersion: networking.k8s.io/v1beta1, kind: Ingress, metadata: {name: a}}",
		"{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {defaultBackend: {}}}",
	} {
		bad += object + "\n---\n"
	}
	write(t, filepath.Join(dir, "a.yaml"), bad+podYAML("a", "10.0.0.1")+"---\n"+policyYAML("deny"))
	write(t, filepath.Join(dir, "b.json"), `[{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"namespace": "shop", "name": "listed"}, "spec": {"podSelector": {}}}]`)
	sink := startDir(t, dir)
	if !sink.has(PolicyEvent, "shop", "deny") || !sink.has(PolicyEvent, "shop", "listed") || !sink.has(PodEvent, "shop", "a") {
		t.Error("what is to be enforced is not there")
	}
}

func TestDirSourceUnderstandsHowEditorsSave(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	write(t, a, podYAML("a", "10.0.0.1"))
	sink := startDir(t, dir)
	t.Run("rename over", func(t *testing.T) {
		write(t, filepath.Join(dir, ".a.yaml.swp"), podYAML("b", "10.0.0.1"))
		must(t, os.Rename(filepath.Join(dir, ".a.yaml.swp"), a))
		sink.until(t, "new content", func(s *memorySink) bool { return hasPod("b")(s) && lacksPod("a")(s) })
	})
	t.Run("move away and write anew", func(t *testing.T) {
		must(t, os.Rename(a, a+"~"))
		write(t, a, podYAML("c", "10.0.0.1"))
		sink.until(t, "new content", func(s *memorySink) bool { return hasPod("c")(s) && lacksPod("b")(s) })
	})
	t.Run("empty and fill", func(t *testing.T) {
		write(t, a, "")
		time.Sleep(300 * time.Millisecond)
		if !sink.holds(hasPod("c")) {
			t.Error("an empty file was taken at its word at once")
		}
		write(t, a, podYAML("d", "10.0.0.1"))
		sink.until(t, "new content", func(s *memorySink) bool { return hasPod("d")(s) && lacksPod("c")(s) })
	})
	t.Run("empty for good", func(t *testing.T) {
		write(t, a, "")
		sink.until(t, "nothing left", lacksPod("d"))
	})
}

// A mounted ConfigMap: the files are links into ..data, which is a link that is
// swapped.
func TestDirSourceUnderstandsMountedConfigMaps(t *testing.T) {
	dir := t.TempDir()
	version := func(n, content string) {
		must(t, os.Mkdir(filepath.Join(dir, "..v"+n), 0o700))
		write(t, filepath.Join(dir, "..v"+n, "a.yaml"), content)
		must(t, os.Symlink("..v"+n, filepath.Join(dir, "..data_tmp")))
		must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("1", podYAML("a", "10.0.0.1"))
	must(t, os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(dir, "a.yaml")))
	sink := startDir(t, dir)
	sink.until(t, "first version", hasPod("a"))
	version("2", podYAML("b", "10.0.0.1"))
	must(t, os.RemoveAll(filepath.Join(dir, "..v1")))
	sink.until(t, "second version", func(s *memorySink) bool { return hasPod("b")(s) && lacksPod("a")(s) })
}

func TestDirSourceReadsASingleFile(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	write(t, a, podYAML("a", "10.0.0.1"))
	write(t, filepath.Join(dir, "b.yaml"), podYAML("b", "10.0.0.2"))
	sink := startDir(t, a)
	sink.until(t, "that file alone", func(s *memorySink) bool { return hasPod("a")(s) && lacksPod("b")(s) })
	write(t, a, podYAML("c", "10.0.0.1"))
	sink.until(t, "its change", hasPod("c"))
}
