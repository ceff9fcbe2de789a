package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/encoding/protojson"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/krew/pkg/index"
	"sigs.k8s.io/yaml"
)

// scratch is where the release is made.
var scratch string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "sluice-interop-"); err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(scratch) }()
		return m.Run()
	}())
}

// made is a release as "make release" makes it, but of this machine's architecture
// alone: what others read of it is the same.
var made = sync.OnceValues(func() (string, error) {
	dir, sluice := filepath.Join(scratch, "release"), filepath.Join(scratch, "sluice")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	archive := filepath.Join(dir, "sluice-image.tar")
	const name = "registry.example/org/sluice"
	for _, args := range [][]string{
		{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", sluice, "./cmd/sluice"},
		{"run", "./deploy/image", "-sluice", sluice, "-name", name + ":v1.2.3", "-version", "v1.2.3", "-out", archive, "-sbom", filepath.Join(dir, "sluice-image-")},
		{
			"run", "./deploy/release", "-version", "v1.2.3", "-image", name, "-archive", archive, "-dir", dir,
			"-sluice", "linux/" + runtime.GOARCH + "=" + sluice, "-sluice", "windows/" + runtime.GOARCH + "=" + sluice, "-downloads", "https://downloads.example/v1.2.3", "-repository", "https://code.example/sluice",
			"-revision", strings.Repeat("0a", 20), "-builder", "https://ci.example/release", "-invocation", "https://ci.example/run/5",
		},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", &failed{args, out, err}
		}
	}
	return dir, nil
})

type failed struct {
	args []string
	out  []byte
	err  error
}

func (f *failed) Error() string {
	return "go " + strings.Join(f.args, " ") + ": " + f.err.Error() + ": " + string(f.out)
}

func published(t *testing.T, name string) []byte {
	t.Helper()
	dir, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return file(t, filepath.Join(dir, name))
}

// The bill of materials is what CycloneDX's schema demands, of the version that it
// names.
func TestBillOfMaterialsIsCycloneDX(t *testing.T) {
	data := published(t, "sluice-image-"+runtime.GOARCH+".cdx.json")
	where, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schemax.json"} {
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(file(t, filepath.Join(strings.TrimSpace(string(where)), "schema", name))))
		if err != nil {
			t.Fatal(err)
		}
		// The schema's name for it is without the x.
		if err := c.AddResource("http://cyclonedx.org/schema/"+strings.Replace(name, "schemax", "schema", 1), schema); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(instance); err != nil {
		t.Errorf("%v", err)
	}
	bad, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(string(data), `"type": "library"`, `"type": "book"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if schema.Validate(bad) == nil {
		t.Error("the schema takes anything")
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(data), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.SpecVersion != cyclonedx.SpecVersion1_6 || bom.Components == nil || len(*bom.Components) < 20 {
		t.Errorf("version %v, components %v", bom.SpecVersion, bom.Components)
	}
	refs := map[string]bool{bom.Metadata.Component.BOMRef: true}
	for _, c := range *bom.Components {
		if refs[c.BOMRef] {
			t.Errorf("two components are %s", c.BOMRef)
		}
		refs[c.BOMRef] = true
	}
	for _, d := range *bom.Dependencies {
		for _, ref := range append([]string{d.Ref}, *d.Dependencies...) {
			if !refs[ref] {
				t.Errorf("%s is nothing", ref)
			}
		}
	}
}

func TestProvenanceIsInToto(t *testing.T) {
	var s intoto.Statement
	if err := protojson.Unmarshal(published(t, "sluice-provenance.intoto.json"), &s); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	data, err := protojson.Marshal(s.Predicate)
	if err != nil {
		t.Fatal(err)
	}
	var p provenance.Provenance
	if err := protojson.Unmarshal(data, &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Validate(); err != nil {
		t.Error(err)
	}
	if p.GetRunDetails().GetMetadata().GetInvocationId() == "" {
		t.Error("it does not say which run it was")
	}
	modules := 0
	for _, d := range p.GetBuildDefinition().GetResolvedDependencies() {
		if strings.HasPrefix(d.GetUri(), "pkg:golang/k8s.io/") && len(d.GetDigest()["dirHash1"]) == 64 {
			modules++
		}
	}
	if modules < 3 {
		t.Errorf("%d modules of Kubernetes", modules)
	}
}

// The chart of a release is one that Helm loads, and asks for its image.
func TestPublishedChart(t *testing.T) {
	published(t, "SHA256SUMS")
	got, err := template(t, filepath.Join(scratch, "release", "sluice-1.2.3.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	if image := container(agent(t, got)).Image; image != "registry.example/org/sluice:v1.2.3" {
		t.Errorf("image %s", image)
	}
}

// What krew's index demands of a manifest, besides its types: its own check is
// internal to it.
func TestKrewManifest(t *testing.T) {
	data := published(t, "sluice-krew.yaml")
	var p index.Plugin
	if err := yaml.UnmarshalStrict(data, &p); err != nil {
		t.Fatal(err)
	}
	switch {
	case p.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || p.Kind != "Plugin":
		t.Errorf("%s %s", p.APIVersion, p.Kind)
	case p.Name != "sluice" || len(validation.IsDNS1123Label(p.Name)) > 0:
		t.Errorf("name %q", p.Name)
	case p.Spec.Version != "v1.2.3":
		t.Errorf("version %q", p.Spec.Version)
	case p.Spec.ShortDescription == "" || len(p.Spec.ShortDescription) > 80 || strings.ContainsAny(p.Spec.ShortDescription, "\r\n"):
		t.Errorf("short description %q", p.Spec.ShortDescription)
	case len(p.Spec.Platforms) != 2:
		t.Fatalf("platforms %+v", p.Spec.Platforms)
	}
	sums := string(published(t, "SHA256SUMS"))
	for _, platform := range p.Spec.Platforms {
		selector, err := metav1.LabelSelectorAsSelector(platform.Selector)
		if err != nil {
			t.Fatal(err)
		}
		bin := map[string]string{"arch=" + runtime.GOARCH + ",os=linux": "sluice", "arch=" + runtime.GOARCH + ",os=windows": "sluice.exe"}[selector.String()]
		if bin == "" {
			t.Errorf("selector %v", selector)
		}
		name := platform.URI[strings.LastIndex(platform.URI, "/")+1:]
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(platform.Sha256) || !strings.Contains(sums, platform.Sha256+"  "+name+"\n") {
			t.Errorf("%s: sum %q is none of the release's", name, platform.Sha256)
		}
		if !strings.HasPrefix(platform.URI, "https://downloads.example/v1.2.3/") || platform.Bin != bin || len(platform.Files) != 3 {
			t.Errorf("%+v", platform)
		}
		for _, f := range platform.Files {
			if f.From == "" || f.To != "." {
				t.Errorf("file %+v", f)
			}
		}
	}
}

// Every flag that the chart can give exists: sluice parses them all before it says
// how it is used.
func TestChartFlagsExist(t *testing.T) {
	published(t, "SHA256SUMS")
	ds := agent(t, mustTemplate(t, "uplinks={eth0}", "otherInterfaces={docker0}", "nodeDNS={169.254.20.10}", "guardOptOut=true", "reject=true", "nri.enabled=true"))
	cmd := exec.Command(filepath.Join(scratch, "sluice"), append(container(ds).Args, "--help")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %v: %s", cmd.Args, err, out)
	}
}

// The workflow hands make what it needs, and names no registry itself.
func TestReleaseWorkflow(t *testing.T) {
	text := file(t, "../../.github/workflows/release.yml")
	type step struct {
		Name, Uses, Run string
		Env             map[string]string
		With            map[string]any
		Directory       string `json:"working-directory"`
	}
	var w struct {
		Name        string
		On          map[string]any `json:"on"`
		Permissions map[string]string
		Concurrency map[string]any
		Jobs        map[string]struct {
			Needs       string
			RunsOn      string `json:"runs-on"`
			Container   string
			Permissions map[string]string
			Env         map[string]string
			Steps       []step
		}
	}
	// To YAML 1.1 "on" is a boolean.
	if err := yaml.UnmarshalStrict(bytes.Replace(text, []byte("\non:"), []byte("\n\"on\":"), 1), &w); err != nil {
		t.Fatal(err)
	}
	if len(w.Permissions) != 0 || len(w.Jobs) != 2 {
		t.Errorf("permissions %v, %d jobs", w.Permissions, len(w.Jobs))
	}
	build := w.Jobs["build"]
	if got, _ := json.Marshal(build.Permissions); string(got) != `{"contents":"read"}` {
		t.Errorf("what builds may %s", got)
	}
	gomod := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(file(t, "../../go.mod"))
	if build.Container != "golang:"+string(gomod[1])+"-bookworm" {
		t.Errorf("it builds in %s, with go.mod at %s", build.Container, gomod[1])
	}
	given := map[string]string{}
	for _, s := range build.Steps {
		if strings.Contains(s.Run, "make release") {
			given = s.Env
		}
	}
	for _, name := range []string{"VERSION", "IMAGE", "REPOSITORY", "BUILDER", "INVOCATION"} {
		if given[name] == "" || !bytes.Contains(file(t, "../../Makefile"), []byte("$("+name+")")) {
			t.Errorf("make release is not given %s, or does not take it", name)
		}
	}
	// The type of the statement is a name, not a place.
	text = bytes.ReplaceAll(text, []byte("https://slsa.dev/provenance/v1"), nil)
	if host := regexp.MustCompile(`[a-z0-9-]+\.(io|dev|com|net|org)/`).Find(text); host != nil {
		t.Errorf("it names %s: registries are the repository's variables", host)
	}
}
