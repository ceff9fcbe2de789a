package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// shortest is what a known secret must have to be looked for: shorter ones are words.
const shortest = 6

// removed stands for what was taken out.
const removed = "[removed]"

// pemBlock is a certificate or a key; also where JSON or a log has \n for the ends of lines,
// and where the end is missing.
var pemBlock = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]+-----(?s:.*?)(?:-----END [A-Z0-9 ]+-----|\z)`)

// saysSecret are patterns that say by a word what follows: it stays, and the rest goes. They
// are tried only where one of the words is.
var saysSecret = []*regexp.Regexp{
	// HTTP's header, wherever it is shown.
	regexp.MustCompile(`(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}`),
	// Fields of kubeconfigs, Secrets and others.
	regexp.MustCompile(`(?i)("?\b(?:[a-z0-9-]*token|password|passwd|[a-z0-9-]*secret|client-key(?:-data)?|client-certificate-data|certificate-authority-data|authorization|api-?key|access-?key[a-z-]*)"?\s*[:=]\s*)(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"',}\]]+)`),
	// Settings of the environment whose names say what they hold.
	regexp.MustCompile(`\b([A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|KEY)[A-Z0-9_]*=)\S+`),
}

// words are those of saysSecret, in lower case.
var words = []string{"bearer", "basic", "token", "passw", "secret", "key", "certificate", "authori", "credential"}

// shapes are credentials that are known by their form alone: JSON Web Tokens, those of
// ServiceAccounts among them; kubeadm's bootstrap tokens; those of clouds.
var shapes = []*regexp.Regexp{
	regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?`),
	regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`),
	regexp.MustCompile(`k8s-aws-v1\.[A-Za-z0-9_-]+|(?:AKIA|ASIA)[A-Z0-9]{16}|ya29\.[A-Za-z0-9_-]+`),
}

// longest is the longest run of letters of base64 that is no data of a Secret, nor a
// certificate without its frame: no name of ours has as many.
const longest = 120

// Scrub replaces known secrets, in whatever form, and what looks like one.
func Scrub(data []byte, secrets []string) []byte {
	for _, s := range forms(secrets) {
		data = bytes.ReplaceAll(data, []byte(s), []byte(removed))
	}
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		data = pemBlock.ReplaceAll(data, []byte(removed))
	}
	var out bytes.Buffer
	out.Grow(len(data))
	for line := range bytes.Lines(data) {
		lower := bytes.ToLower(line)
		if slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(lower, []byte(w)) }) {
			for _, p := range saysSecret {
				line = p.ReplaceAll(line, []byte("${1}"+removed))
			}
		}
		scrubShapes(&out, line)
	}
	return out.Bytes()
}

// scrubShapes copies a line without what has the form of a credential.
func scrubShapes(out *bytes.Buffer, line []byte) {
	for len(line) > 0 {
		n := 0
		for n < len(line) && ofCredential(line[n]) {
			n++
		}
		if n == 0 {
			out.WriteByte(line[0])
			line = line[1:]
			continue
		}
		run := line[:n]
		line = line[n:]
		if n >= shortest {
			run = withoutShapes(run)
		}
		out.Write(run)
	}
}

// withoutShapes takes credentials out of a run of their letters.
func withoutShapes(run []byte) []byte {
	for _, p := range shapes {
		run = p.ReplaceAll(run, []byte(removed))
	}
	for part := range bytes.SplitSeq(run, []byte(".")) {
		if len(part) >= longest {
			return []byte(removed)
		}
	}
	return run
}

// ofCredential: letters, digits, and what base64, its other alphabet, and tokens have besides.
func ofCredential(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '_' || c == '-' || c == '.' || c == '='
}

// secretField is a field's name that says that it holds a secret.
var secretField = regexp.MustCompile(`(?i)^(?:[a-z0-9-]*token|password|passwd|[a-z0-9-]*secret|client-key(?:-data)?|client-certificate-data|certificate-authority-data|authorization|api-?key|access-?key[a-z-]*)$`)

// scrubJSON scrubs the strings of a document one by one, so that it stays a document. What
// is none is scrubbed as text.
func scrubJSON(data []byte, secrets []string) []byte {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var doc any
	if d.Decode(&doc) != nil || d.More() {
		return Scrub(data, secrets)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if e.Encode(scrubbed(doc, secrets)) != nil {
		return Scrub(data, secrets)
	}
	return out.Bytes()
}

func scrubbed(doc any, secrets []string) any {
	switch v := doc.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, inner := range v {
			name := string(Scrub([]byte(k), secrets))
			if _, deeper := inner.(map[string]any); secretField.MatchString(k) && !deeper {
				out[name] = removed
				continue
			}
			out[name] = scrubbed(inner, secrets)
		}
		return out
	case []any:
		for i := range v {
			v[i] = scrubbed(v[i], secrets)
		}
	case string:
		return string(Scrub([]byte(v), secrets))
	}
	return doc
}

// forms are secrets as they may be written: as they are, in base64 of both alphabets, and as
// JSON and logs have the ends of lines. The longest come first, for one may hold another.
func forms(secrets []string) []string {
	var out []string
	for _, s := range secrets {
		if s = strings.TrimSpace(s); len(s) < shortest {
			continue
		}
		out = append(out, s, strings.ReplaceAll(s, "\n", `\n`))
		for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			out = append(out, e.EncodeToString([]byte(s)), e.EncodeToString([]byte(s+"\n")))
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(out)
}
