package interop

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kustomize is what "kubectl kustomize DIR" renders.
func kustomize(t *testing.T, dir string) map[string]any {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	data, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, data)
}

func TestKustomizationRendersTheManifest(t *testing.T) {
	if diff := cmp.Diff(objects(t, file(t, "../sluice.yaml")), kustomize(t, "..")); diff != "" {
		t.Errorf("(-sluice.yaml +kustomization):\n%s", diff)
	}
}

// The components give what the chart's values of the same names do.
func TestKustomizeComponents(t *testing.T) {
	for component, set := range map[string]string{"denial-events": "denials.events=true", "nri": "nri.enabled=true", "podmonitor": "metrics.podMonitor.enabled=true"} {
		dir := t.TempDir()
		deploy, err := filepath.Abs("..")
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(dir, deploy)
		if err != nil {
			t.Fatal(err)
		}
		text := "resources: [" + relative + "]\ncomponents: [" + relative + "/kustomize/" + component + "]\n"
		if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(mustTemplate(t, set), kustomize(t, dir)); diff != "" {
			t.Errorf("%s (-chart +component):\n%s", component, diff)
		}
	}
}
