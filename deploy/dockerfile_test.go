package deploy_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// No Docker here to build it: what it repeats of elsewhere is compared.
func TestDockerfileSaysWhatTheRestSays(t *testing.T) {
	text := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	dockerfile := text("Dockerfile")
	if v := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(text("../go.mod")); len(v) == 0 || !strings.Contains(dockerfile, "golang:"+v[1]+"-") {
		t.Errorf("it does not build with go.mod's Go %v", v)
	}
	for _, want := range []string{
		"-trimpath -buildvcs=false -tags " + imageTags + " ", "CGO_ENABLED=0", "PATH=/usr/sbin:/usr/bin", `"/usr/bin/sluice"`,
		"github.com/sluice-net/sluice/cmd/sluice/app.version=", "./deploy/image",
	} {
		if !strings.Contains(dockerfile, want) {
			t.Errorf("it lacks %s", want)
		}
	}
	for _, want := range []string{"-trimpath -buildvcs=false -tags " + imageTags + " ", "CGO_ENABLED=0", "github.com/sluice-net/sluice/cmd/sluice/app.version=", "./deploy/image"} {
		if !strings.Contains(text("../Makefile"), want) {
			t.Errorf("the Makefile lacks %s", want)
		}
	}
}
