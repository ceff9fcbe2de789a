package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-net/sluice/policy/question"
)

// field is a member of a JSON object, with its value as written.
type field struct {
	key   string
	value json.RawMessage
}

// flowLine is a line of a flows file.
type flowLine struct {
	// number counts lines from 1.
	number int
	// fields are all that the line had, in its order, but those that verify
	// writes itself.
	fields   []field
	question question.Question
	expected *bool
}

// answerKeys are what verify adds; a line that has them is the output of an
// earlier run, and they are replaced.
var answerKeys = map[string]bool{
	"allowed": true, "egress": true, "ingress": true, "kernel": true, "error": true, "notice": true, "paths": true,
	"reason": true, "policies": true, "nearest": true, "result": true, "dependsOn": true, "mismatch": true,
}

// misnomers are fields that would be taken for comments, and so turn a flow
// into another one, or a check into none.
var misnomers = map[string]string{
	"protocol": "proto", "source": "src", "from": "src", "destination": "dst", "dest": "dst", "to": "dst",
	"dport": "port", "dstport": "port", "dst_port": "port", "expect": "expected", "expectation": "expected",
}

// parseFlowLine reads one line. The fields are filled in as far as they could
// be read, also with an error.
func parseFlowLine(number int, data []byte, defaultNamespace string) (flowLine, error) {
	line := flowLine{number: number}
	fields, err := objectFields(data)
	if err != nil {
		return line, err
	}
	values := map[string]json.RawMessage{}
	for _, f := range fields {
		if answerKeys[f.key] {
			continue
		}
		if f.key == "<<" {
			return line, errors.New(`"<<" merges nothing here, in quotes or in JSON: write the fields out`)
		}
		line.fields = append(line.fields, f)
		if _, twice := values[f.key]; twice {
			return line, fmt.Errorf("%s: given twice", f.key)
		}
		values[f.key] = f.value
	}
	if err := checkNames(values); err != nil {
		return line, err
	}
	if line.expected, err = boolField(values["expected"]); err != nil {
		return line, fmt.Errorf("expected: %w", err)
	}
	line.question, err = questionOf(values, defaultNamespace)
	return line, err
}

func questionOf(values map[string]json.RawMessage, defaultNamespace string) (q question.Question, err error) {
	if q.Src, err = endField(values["src"], defaultNamespace); err != nil {
		return q, fmt.Errorf("src: %w", err)
	}
	if target, whole, err := wholeTarget(values, defaultNamespace); whole || err != nil {
		target.Src = q.Src
		return target, err
	}
	if q.Dst, err = endField(values["dst"], defaultNamespace); err != nil {
		return q, fmt.Errorf("dst: %w", err)
	}
	q.AnyProtocol = isNull(values["proto"])
	proto, err := stringOrInteger(values["proto"])
	if err == nil {
		q.Protocol, err = question.ParseProtocol(proto)
	}
	if err != nil {
		return q, fmt.Errorf("proto: %w", err)
	}
	if q.Port, err = stringOrInteger(values["port"]); err != nil {
		return q, fmt.Errorf("port: %w", err)
	}
	return q, nil
}

// checkNames refuses fields that were meant to be ones that we know.
func checkNames(values map[string]json.RawMessage) error {
	known := []string{"src", "dst", "proto", "port", "expected"}
	for key := range values {
		meant := misnomers[strings.ToLower(key)]
		for _, k := range known {
			if strings.EqualFold(k, key) {
				meant = k
			}
		}
		if meant == "" || meant == key {
			continue
		}
		if _, ok := values[meant]; !ok {
			return fmt.Errorf("unknown field %q: did you mean %q?", key, meant)
		}
	}
	return nil
}

// objectFields reads a JSON object without losing its order.
func objectFields(data []byte) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	start, err := d.Token()
	if err != nil {
		return nil, jsonError(err)
	}
	if start != json.Delim('{') {
		return nil, errors.New(`not a JSON object: want {"src":…,"dst":…,"port":…}`)
	}
	var fields []field
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fields, jsonError(err)
		}
		name, ok := key.(string)
		if !ok {
			return fields, fmt.Errorf("JSON: %v where a field name should be", key)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fields, fmt.Errorf("%s: %w", name, jsonError(err))
		}
		fields = append(fields, field{name, value})
	}
	if _, err := d.Token(); err != nil {
		return fields, jsonError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fields, errors.New("more than one JSON value on the line: one flow a line")
	}
	return fields, nil
}

func jsonError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("JSON: the line ends in the middle of an object")
	}
	return fmt.Errorf("JSON: %w", err)
}

func isNull(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }

func endField(v json.RawMessage, defaultNamespace string) (question.End, error) {
	if isNull(v) {
		return question.End{}, errors.New("missing: " + question.WantEnd)
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return question.End{}, fmt.Errorf("%s is not a string: %s", v, question.WantEnd)
	}
	return question.ParseEnd(s, defaultNamespace)
}

func boolField(v json.RawMessage) (*bool, error) {
	if isNull(v) {
		return nil, nil
	}
	var b bool
	if json.Unmarshal(v, &b) != nil {
		return nil, fmt.Errorf("%s is not true or false", v)
	}
	return &b, nil
}

// stringOrInteger gives the text of a string or an integer, "" for none.
func stringOrInteger(v json.RawMessage) (string, error) {
	if isNull(v) {
		return "", nil
	}
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s, nil
	}
	if strings.Trim(string(v), "-0123456789") != "" {
		return "", fmt.Errorf("%s is neither a name nor a whole number", v)
	}
	return string(v), nil
}

// answer is what verify found out about a line.
type answer struct {
	question.Answer
	line  flowLine
	input []byte
	// err: the line is unusable.
	err error
	// kernel is what packets did; nil where none could be sent, and kernelWhy
	// says why.
	kernel    *bool
	kernelWhy string
}

// mismatch says what is not as it should be, or is empty.
func (a *answer) mismatch() string {
	if a.err != nil {
		return ""
	}
	word := func(b bool) string {
		if b {
			return "allowed"
		}
		return "denied"
	}
	var what []string
	allowed := a.First().Verdict.Allowed
	switch e := a.line.expected; {
	case e == nil:
	case a.Result() == question.Depends:
		what = append(what, "expected "+word(*e)+", depends on whether "+strings.Join(a.doubts(), " or "))
	case a.Result() == question.Partly:
		what = append(what, "expected "+word(*e)+", is allowed for "+a.Tally())
	case *e != allowed:
		what = append(what, "expected "+word(*e)+", is "+word(allowed))
	}
	if a.kernel != nil && *a.kernel != allowed {
		what = append(what, word(allowed)+" on paper, "+word(*a.kernel)+" in the kernel")
	}
	return strings.Join(what, "; ")
}

// doubts are what the answer hangs on.
func (a *answer) doubts() []string {
	for i := range a.Outcomes {
		if len(a.Outcomes[i].Depends) > 0 {
			return a.Outcomes[i].Depends
		}
	}
	return nil
}
