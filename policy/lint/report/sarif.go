package report

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"strings"

	"github.com/sluice-net/sluice/policy/lint"
)

// The parts of SARIF 2.1.0 that are written.
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string      `json:"id"`
		ShortDescription sarifText   `json:"shortDescription"`
		FullDescription  sarifText   `json:"fullDescription"`
		Help             sarifText   `json:"help"`
		HelpURI          string      `json:"helpUri"`
		Default          sarifConfig `json:"defaultConfiguration"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifConfig struct {
		Level string `json:"level"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations,omitempty"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Justification string `json:"justification"`
	}
)

const (
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	// home is where the checks are documented, each under its ID.
	home     = "https://github.com/sluice-net/sluice"
	homeDocs = home + "/blob/main/docs/lint.md"
)

// SARIF writes the result as a log of one run. What was silenced is in it, as
// suppressed in the source. The version is the program's, and may be empty.
func SARIF(w io.Writer, r lint.Result, version string) error {
	driver := sarifDriver{Name: "sluice", Version: version, InformationURI: home}
	index := map[string]int{}
	for i, c := range lint.Checks() {
		index[c.ID] = i
		driver.Rules = append(driver.Rules, sarifRule{
			ID: c.ID, ShortDescription: sarifText{c.Says}, FullDescription: sarifText{c.Says + " " + c.Why},
			Help: sarifText{c.Mend}, HelpURI: homeDocs + "#" + c.ID, Default: sarifConfig{c.Severity.String()},
		})
	}
	run := sarifRun{Tool: sarifTool{driver}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	for _, list := range [][]lint.Finding{r.Findings, r.Silenced} {
		for i := range list {
			run.Results = append(run.Results, sarifOf(&list[i], index[list[i].ID]))
		}
	}
	return encode(w, sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

func sarifOf(f *lint.Finding, rule int) sarifResult {
	out := sarifResult{
		RuleID: f.ID, RuleIndex: rule, Level: f.Severity.String(),
		Message:      sarifText{about(f) + f.Message + ". " + f.Mend},
		Fingerprints: map[string]string{"sluiceLint/v1": fingerprint(f)},
	}
	var at sarifLocation
	if f.Place.File != "" {
		at.Physical = &sarifPhysical{Artifact: sarifArtifact{uri(f.Place.File)}}
		if f.Place.Line > 0 {
			at.Physical.Region = &sarifRegion{f.Place.Line}
		}
	}
	if o := f.Object.String(); o != "" {
		at.Logical = []sarifLogical{{strings.TrimSuffix(o+" "+f.Field, " "), "resource"}}
	}
	if at.Physical != nil || at.Logical != nil {
		out.Locations = []sarifLocation{at}
	}
	if f.Silenced != "" {
		out.Suppressions = []sarifSuppression{{"inSource", f.Silenced}}
	}
	return out
}

// fingerprint stays as lines move, so that a finding is known again.
func fingerprint(f *lint.Finding) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{f.ID, f.Object.String(), f.Field}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// uri is a file's path as a reference that is relative where the path is.
func uri(file string) string {
	file = strings.TrimPrefix(strings.ReplaceAll(file, `\`, "/"), "./")
	if strings.HasPrefix(file, "/") {
		return (&url.URL{Scheme: "file", Path: file}).String()
	}
	// A colon in the first segment would be a scheme's: String puts "./" before it.
	return (&url.URL{Path: file}).String()
}
