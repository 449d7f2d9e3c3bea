package main

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
)

// goal is what "nave wait" waits for. is is nil if only the existence of an object matters.
type goal struct {
	name    string // for messages
	created bool
	deleted bool
	is      check
}

// parseGoal reads the flag --for, with the words of kubectl, and "ready".
func parseGoal(text string) (goal, error) {
	kind, rest, _ := strings.Cut(text, "=")
	switch strings.ToLower(kind) {
	case "delete":
		return goal{name: "its deletion", deleted: true}, needNothing(text, rest)
	case "create":
		return goal{name: "its creation", created: true}, needNothing(text, rest)
	case "ready":
		return conditionGoal(condition.Ready, condition.True), needNothing(text, rest)
	case "condition":
		name, value, _ := strings.Cut(rest, "=")
		if name == "" {
			return goal{}, usageError("--for=condition needs the type of a condition, such as --for=condition=Healthy")
		}
		return conditionGoal(name, cmp.Or(value, condition.True)), nil
	case "jsonpath":
		return jsonpathGoal(rest)
	}
	return goal{}, usageError("--for=%s: want ready, delete, create, condition=TYPE[=STATUS] or "+
		"jsonpath='{.PATH}'[=VALUE]", text)
}

func needNothing(text, rest string) error {
	if rest == "" {
		return nil
	}
	return usageError("--for=%s: want nothing after the first word", text)
}

// conditionGoal waits until a condition has a status. A stalled object will not become ready, which is an error.
func conditionGoal(name, value string) goal {
	awaitsReady := strings.EqualFold(name, condition.Ready) && strings.EqualFold(value, condition.True)
	return goal{name: name + "=" + value, is: func(object map[string]any) (bool, string, error) {
		c := conditionOf(object, name)
		if c == nil {
			return false, "it has no condition " + name + " yet", nil
		}
		message := cmp.Or(fieldText(c, "message"), fieldText(c, "reason"))
		if seen := intField(c, "observedGeneration"); seen > 0 && seen < intField(object, "metadata", "generation") {
			return false, "the newest version of the object was not processed yet", nil
		}
		stalled := api.FindCondition(object, condition.Stalled)
		if awaitsReady && stalled != nil && stalled["status"] == condition.True {
			return false, "", fmt.Errorf("it will not become ready before it is changed: %s", message)
		}
		return strings.EqualFold(fieldText(c, "status"), value), message, nil
	}}
}

// conditionOf returns a condition of an object by its type, in upper or lower case.
func conditionOf(object map[string]any, name string) map[string]any {
	list, _, _ := unstructured.NestedSlice(object, "status", "conditions")
	for _, item := range list {
		if c, ok := item.(map[string]any); ok && strings.EqualFold(fieldText(c, "type"), name) {
			return c
		}
	}
	return nil
}

// jsonpathGoal waits until a path leads to a value, or if the text has none, to any value.
func jsonpathGoal(text string) (goal, error) {
	path, want, wants := cutPath(text)
	if want = strings.Trim(want, `'"`); path == "" || wants && want == "" {
		return goal{}, usageError("--for=jsonpath=%s: want jsonpath='{.PATH}' or jsonpath='{.PATH}'=VALUE", text)
	}
	parsed, err := parsePath(path)
	if err != nil {
		return goal{}, usageError("--for: %w", err)
	}
	return goal{name: text, is: func(object map[string]any) (bool, string, error) {
		results, err := parsed.find(object)
		switch {
		case err != nil:
			return false, "", fmt.Errorf("jsonpath %s: %w", path, err)
		case len(results) == 0 || len(results[0]) == 0:
			return false, path + " is not set yet", nil
		case len(results) > 1 || len(results[0]) > 1:
			return false, "", fmt.Errorf("jsonpath %s leads to several values: want one that leads to one", path)
		}
		var out bytes.Buffer
		if err := parsed.print(&out, object); err != nil {
			return false, "", fmt.Errorf("jsonpath %s: %w", path, err)
		}
		value := strings.TrimSpace(out.String())
		if wants && strings.ContainsAny(value[:min(1, len(value))], "[{") && value != want {
			return false, "", fmt.Errorf("jsonpath %s leads to an object or a list: want one that leads to one value", path)
		}
		return !wants || value == want, fmt.Sprintf("%s is %s", path, value), nil
	}}, nil
}

// cutPath cuts "{PATH}=VALUE", in which the path may have equals signs, or "PATH=VALUE".
func cutPath(text string) (path, value string, found bool) {
	text = strings.Trim(text, "'")
	if end := strings.LastIndex(text, "}"); strings.HasPrefix(text, "{") && end > 0 {
		value, found = strings.CutPrefix(strings.TrimPrefix(text[end+1:], "'"), "=")
		return text[:end+1], value, found
	}
	return strings.Cut(text, "=")
}

// fieldText returns a field as text; "" if there is none.
func fieldText(o map[string]any, name string) string {
	if v, has := o[name]; has {
		return fmt.Sprint(v)
	}
	return ""
}

// intField returns a number of a decoded object; 0 if there is none.
func intField(o map[string]any, path ...string) int64 {
	n, _, _ := unstructured.NestedInt64(o, path...)
	return n
}
