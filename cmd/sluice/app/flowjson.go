package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/policy/question"
)

// wholeTarget is a dst that says the port and the protocol as a line of text does, for
// verify writes such a line's dst as it stood there. Where it does not, what it
// is, and what is wrong with it, is found when it is read as an end.
func wholeTarget(values map[string]json.RawMessage, defaultNamespace string) (q question.Question, whole bool, err error) {
	var dst string
	if json.Unmarshal(values["dst"], &dst) != nil {
		return q, false, nil //nolint:nilerr // told when it is read as an end
	}
	q, err = question.Parse("any", dst, defaultNamespace)
	switch {
	case err != nil || q.Port == "" && q.Protocol.HasPorts():
		return q, false, nil //nolint:nilerr // likewise
	case isNull(values["port"]) && isNull(values["proto"]):
		return q, true, nil
	}
	if _, err := question.ParseEnd(dst, defaultNamespace); err == nil {
		return q, false, nil // as the label of ns/shop:web
	}
	return q, false, errors.New(`dst: it has a port or a protocol, and so has the line: write "port" and "proto" alone`)
}

// found adds to a line of text that names no port the one that was found for it, which a
// line of JSON must name.
func (a *answer) found() []field {
	at := strings.LastIndexByte(a.Question, ':')
	port, proto, said := strings.Cut(a.Question[at+1:], "/")
	if !a.line.question.GuessPort || a.line.question.Dst.Entry() || !said || port == "" {
		return nil
	}
	return []field{{"port", jsonText(port)}, {"proto", jsonText(proto)}}
}

// json appends the answer as a JSON line: the fields of the input, then ours.
func (a *answer) json(b *bytes.Buffer, inKernel bool, reasons []string) {
	b.WriteByte('{')
	fields := slices.Clone(a.line.fields)
	if a.err != nil {
		if len(fields) == 0 {
			fields = append(fields, field{"input", jsonText(string(a.input))})
		}
		fields = append(fields, field{"error", jsonText(fmt.Sprintf("line %d: %v", a.line.number, a.err))})
	} else {
		fields = slices.Concat(fields, a.found(), a.verdictFields(reasons))
		if a.kernel == nil && inKernel {
			fields = append(fields, field{"kernel", json.RawMessage("null")})
		} else if inKernel {
			fields = append(fields, field{"kernel", jsonBool(*a.kernel)})
		}
		notices := slices.Concat(a.Notices, a.First().Path.Notices)
		if a.kernelWhy != "" {
			notices = append(notices, "kernel: "+a.kernelWhy)
		}
		if len(notices) > 0 {
			fields = append(fields, field{"notice", jsonText(strings.Join(notices, "; "))})
		}
	}
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(jsonText(f.key))
		b.WriteByte(':')
		b.Write(f.value)
	}
	b.WriteString("}\n")
}

// verdictFields are what the policies say. "allowed" is true or false for those who ask
// for no more; "result" tells what is denied from what is so in part, or hangs on an
// address.
func (a *answer) verdictFields(reasons []string) []field {
	verdict, result := &a.First().Verdict, a.Result()
	policies, nearest := deciders(verdict)
	out := []field{
		{"result", jsonText(string(result))},
		{"allowed", jsonBool(verdict.Allowed && result == question.Allowed)},
		{"egress", jsonBool(verdict.Egress.Allowed)},
		{"ingress", jsonBool(verdict.Ingress.Allowed)},
		{"reason", jsonText(strings.Join(reasons, "; "))},
		{"policies", jsonTexts(policies)},
	}
	if nearest != "" {
		out = append(out, field{"nearest", jsonText(nearest)})
	}
	if doubts := a.doubts(); len(doubts) > 0 {
		out = append(out, field{"dependsOn", jsonTexts(doubts)})
	}
	if m := a.mismatch(); m != "" {
		out = append(out, field{"mismatch", jsonText(m)})
	}
	if a.Plural {
		out = append(out, field{"paths", fmt.Appendf(nil, `{"allowed":%d,"total":%d}`, a.Allowed, a.Total)})
	}
	return out
}

func jsonBool(v bool) json.RawMessage {
	if v {
		return json.RawMessage("true")
	}
	return json.RawMessage("false")
}

// jsonText leaves "<" and "&" as they are: lines are read by people, too.
func jsonText(s string) json.RawMessage {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string
	return bytes.TrimSpace(out.Bytes())
}

func jsonTexts(list []string) json.RawMessage {
	parts := make([][]byte, len(list))
	for i, s := range list {
		parts[i] = jsonText(s)
	}
	return slices.Concat([]byte("["), bytes.Join(parts, []byte(",")), []byte("]"))
}
