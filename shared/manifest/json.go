package manifest

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"
)

// parseJSON returns the JSON value in data. If data is not JSON, parseJSON returns no document and no error: data may
// be YAML, whose parser has the better message.
func parseJSON(data []byte) ([]document, *ParseError) {
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' || !utf8.Valid(data) {
		return nil, nil
	}
	var value any
	strict, err := kjson.UnmarshalStrict(data, &value, kjson.DisallowDuplicateFields)
	if err != nil {
		return nil, nil
	}
	if len(strict) > 0 {
		return nil, &ParseError{Document: 1, Err: strict[0]}
	}
	if tooDeep(value, MaxDepth) {
		return nil, &ParseError{Document: 1, Err: errDepth}
	}
	return []document{{number: 1, line: 1, value: value}}, nil
}

var errDepth = fmt.Errorf("more than %d maps and lists inside each other", MaxDepth)

// tooDeep reports whether value has more than depth levels.
func tooDeep(value any, depth int) bool {
	switch value := value.(type) {
	case map[string]any:
		for _, v := range value {
			if depth == 0 || tooDeep(v, depth-1) {
				return true
			}
		}
	case []any:
		for _, v := range value {
			if depth == 0 || tooDeep(v, depth-1) {
				return true
			}
		}
	}
	return false
}
