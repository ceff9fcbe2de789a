package findings

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"strings"
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
	home        = "https://github.com/sluice-net/sluice"
)

// SARIF writes the result as a log of one run. What was silenced is in it, as
// suppressed in the source. The version is the program's, and may be empty.
func SARIF(w io.Writer, r Result, version string) error {
	driver := sarifDriver{Name: "sluice", Version: version, InformationURI: home, Rules: []sarifRule{}}
	index := map[string]int{}
	for i, c := range r.Checks {
		index[c.ID] = i
		driver.Rules = append(driver.Rules, sarifRule{
			ID: c.ID, ShortDescription: sarifText{c.Says}, FullDescription: sarifText{strings.TrimSuffix(c.Says+" "+c.Why, " ")},
			Help: sarifText{c.Mend}, HelpURI: c.HelpURI, Default: sarifConfig{c.Level},
		})
	}
	run := sarifRun{Tool: sarifTool{driver}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	for _, list := range [][]Finding{r.Findings, r.Silenced} {
		for i := range list {
			rule, known := index[list[i].ID]
			if !known {
				rule = -1 // none, to the standard
			}
			run.Results = append(run.Results, r.sarifOf(&list[i], rule))
		}
	}
	return encode(w, sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

func (r *Result) sarifOf(f *Finding, rule int) sarifResult {
	out := sarifResult{
		RuleID: f.ID, RuleIndex: rule, Level: f.Level,
		Message:      sarifText{strings.TrimSuffix(f.about()+f.Message+". "+f.Mend, ". ")},
		Fingerprints: map[string]string{"sluice" + strings.ToUpper(r.Tool[:1]) + r.Tool[1:] + "/v1": fingerprint(f)},
	}
	var at sarifLocation
	if f.File != "" {
		at.Physical = &sarifPhysical{Artifact: sarifArtifact{uri(f.File)}}
		if f.Line > 0 {
			at.Physical.Region = &sarifRegion{f.Line}
		}
	}
	if o := f.Object; o != "" {
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
func fingerprint(f *Finding) string {
	sum := sha256.Sum256([]byte(f.ID + "\x00" + f.key()))
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
