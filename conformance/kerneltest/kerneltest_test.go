package kerneltest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

func TestPackageOf(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, pkg, err := packageOf(dir)
	if err != nil || pkg != "github.com/sluice-net/sluice/conformance/kerneltest" {
		t.Fatalf("%q, %v", pkg, err)
	}
	if _, err := os.Stat(filepath.Join(root, list)); err != nil {
		t.Error(err)
	}
	if _, _, err := packageOf("/"); err == nil {
		t.Error("the root of the file system is a module")
	}
}

func TestNamesOf(t *testing.T) {
	const text = "# what needs root\n\nm/a TestOne\nm/a TestTwo\nm/a/b TestThree\n"
	if got := namesOf(text, "m/a"); !slices.Equal(got, []string{"TestOne", "TestTwo"}) {
		t.Errorf("%q", got)
	}
}

// What is left out is what is named, and no more.
func TestPattern(t *testing.T) {
	p := regexp.MustCompile(pattern("Slow", []string{"TestOne", "TestTwo"}))
	for name, want := range map[string]bool{"TestOne": true, "TestTwo": true, "TestOneMore": false, "MyTestOne": false, "TestSlow": true, "TestThree": false} {
		if p.MatchString(name) != want {
			t.Errorf("%s is left out: %t", name, !want)
		}
	}
}
