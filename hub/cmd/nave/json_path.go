package main

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"k8s.io/client-go/util/jsonpath"
)

// jsonTemplate is a template of JSONPath. It may be used again, and by several goroutines: the parsed template of the
// library may not, because carrying it out changes it.
type jsonTemplate string

// parsePath reads a template. A path alone may lack its braces and its first point.
func parsePath(template string) (jsonTemplate, error) {
	text := template
	if !strings.Contains(text, "{") && text != "" {
		text = "{." + strings.TrimPrefix(text, ".") + "}"
	}
	_, err := jsonTemplate(text).parse()
	if err == nil && text == "" {
		err = errors.New("it is empty: want a template, such as {.metadata.name}")
	}
	if err != nil {
		return "", fmt.Errorf("JSONPath %q: %w", template, err)
	}
	return jsonTemplate(text), nil
}

func (j jsonTemplate) parse() (*jsonpath.JSONPath, error) {
	parsed := jsonpath.New("output").AllowMissingKeys(true)
	return parsed, parsed.Parse(string(j))
}

// find returns what a template finds in a value, for each of its parts. The library panics at some templates.
func (j jsonTemplate) find(value any) (found [][]reflect.Value, err error) {
	defer func() {
		if recover() != nil {
			found, err = nil, fmt.Errorf("JSONPath %q cannot be carried out: see whether each {range PATH} has a path, and an "+
				"{end}", string(j))
		}
	}()
	parsed, err := j.parse()
	if err != nil {
		return nil, err
	}
	return parsed.FindResults(value)
}

// print prints what a template finds in a value.
func (j jsonTemplate) print(out io.Writer, value any) error {
	found, err := j.find(value)
	for _, part := range found {
		if err := jsonpath.New("").PrintResults(out, part); err != nil {
			return err
		}
	}
	return err
}
