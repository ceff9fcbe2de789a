package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-net/sluice/policy/question"
)

// arrows stand between the ends of a flow that is written as text.
var arrows = []string{" -> ", " → "}

// splitArrow divides a line of text at its arrow.
func splitArrow(line string) (src, rest string, ok bool) {
	for _, arrow := range arrows {
		if src, rest, ok = strings.Cut(line, arrow); ok {
			return strings.TrimSpace(src), strings.TrimSpace(rest), true
		}
	}
	return "", "", false
}

// untabbed is a line with a space for each tab: either may stand between its words.
func untabbed(line string) string { return strings.ReplaceAll(line, "\t", " ") }

// expectations are the words for what is expected.
var expectations = map[string]bool{"allow": true, "allowed": true, "deny": false, "denied": false}

// parseTextLine reads "SRC -> DST[:PORT[/PROTO]] [allow|deny] [# why]".
func parseTextLine(number int, text, defaultNamespace string) (flowLine, error) {
	line := flowLine{number: number}
	text, why, _ := strings.Cut(" "+untabbed(text), " #")
	src, rest, ok := splitArrow(strings.TrimSpace(text))
	if !ok {
		return line, errors.New("no flow: " + flowsHint)
	}
	add := func(key string, value any) {
		data, _ := json.Marshal(value)
		line.fields = append(line.fields, field{key, data})
	}
	target := rest
	if at := strings.LastIndexAny(rest, " \t"); at >= 0 {
		word := strings.ToLower(rest[at+1:])
		expected, known := expectations[word]
		if !known && !strings.ContainsAny(rest, "(,") {
			return line, fmt.Errorf("%q says nothing of what is expected: write allow or deny, and why behind a #", rest[at+1:])
		}
		if known {
			line.expected, target = &expected, strings.TrimSpace(rest[:at])
		}
	}
	add("src", src)
	add("dst", target)
	if line.expected != nil {
		add("expected", *line.expected)
	}
	if why = strings.TrimSpace(why); why != "" {
		add("why", why)
	}
	var err error
	line.question, err = question.Parse(src, target, defaultNamespace)
	line.question.GuessPort = line.question.Port == ""
	return line, err
}
