// Package substitution puts the values of variables into texts, as Flux's post-build substitution does: ${NAME},
// ${NAME:-default} and the other forms of github.com/fluxcd/pkg/envsubst. The hub substitutes the variables that it can
// read, the spoke those that only the cluster knows.
package substitution

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/fluxcd/pkg/envsubst"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// Lookup returns the value of a variable, and whether the variable is set. A lookup that is not strict returns an empty
// value and true for a variable that is not set.
type Lookup = func(name string) (string, bool)

var namePattern = regexp.MustCompile(`^[_A-Za-z][_A-Za-z0-9]*$`)

// IsName reports whether a text can name a variable: letters, digits and _, and no digit at its beginning.
func IsName(s string) bool { return namePattern.MatchString(s) }

// OneLine returns a value without its line breaks, as Flux substitutes it.
func OneLine(value string) string { return strings.ReplaceAll(value, "\n", "") }

// maxReferences limits the dollar signs of a text, because the parser calls itself for each.
const maxReferences = 1 << 16

// UnsetError is the error of a variable that has no value and no default.
type UnsetError struct{ Name string }

// Error names the variable.
func (e *UnsetError) Error() string {
	return fmt.Sprintf("no value and no default for variable %q", e.Name)
}

// Evaluate replaces the references to variables in a text; "$$" becomes "$". The error is an *UnsetError, or that of
// the parser. It holds no value and no text but the name of a variable.
func Evaluate(text string, value Lookup) (out string, err error) {
	defer func() {
		if recover() != nil {
			out, err = "", errors.New("the expression in ${…} is not supported")
		}
	}()
	if strings.Count(text, "$") > maxReferences {
		return "", fmt.Errorf("the text has more than %d dollar signs", maxReferences)
	}
	template, err := envsubst.Parse(text)
	if err != nil {
		return "", err
	}
	asked, found := "", false // the last variable; the library stops at the first that it misses
	out, err = template.Execute(func(name string) (v string, ok bool) {
		v, ok = value(name)
		asked, found = name, ok
		return v, ok
	})
	if err != nil && !found {
		err = &UnsetError{asked}
	}
	return out, err
}

// Escape returns a text that Evaluate turns back into s.
func Escape(s string) string { return strings.ReplaceAll(s, "$", "$$") }

const field = "v"

// Errors of Scalar. They do not quote the text, which may hold a secret.
var (
	errNotYAML  = errors.New("after the substitution it is not YAML")
	errTooLarge = errors.New("with the values of its variables it is too large")
)

// Scalar replaces the references to variables in the text of a field and reads the result as YAML, as Flux does with
// the whole object: the text may become a number, a boolean, a list or a map. size is an estimate of the
// memory of the result in bytes. If size is over the limit, Scalar returns an error. No error holds a value.
func Scalar(text string, value Lookup, limit int) (result any, size int, err error) {
	if !strings.Contains(text, "$") {
		return text, len(text), nil
	}
	written, err := yaml.Marshal(map[string]string{field: text})
	if err != nil {
		return nil, 0, errNotYAML
	}
	if size, err = Bound(string(written), value); err != nil {
		return nil, 0, err
	}
	if size > limit {
		return nil, size, errTooLarge
	}
	evaluated, err := Evaluate(string(written), value)
	if err != nil {
		return nil, 0, err
	}
	if size = weight(evaluated); size > limit {
		return nil, size, errTooLarge
	}
	result, err = read(evaluated)
	return result, size, err
}

// weight returns the size of an evaluated text. A list or a map may hold a value in every other byte, each of which
// takes the memory of a long text.
func weight(text string) int {
	const most = 20
	if rest := strings.TrimLeft(strings.TrimPrefix(text, field+":"), " "); strings.HasPrefix(rest, "[") ||
		strings.HasPrefix(rest, "{") {
		return most * len(text)
	}
	return len(text)
}

// read returns the value of the one field of a YAML text.
func read(text string) (any, error) {
	if strings.Contains(text, "*") && strings.Contains(text, "&") && hasAlias(text) {
		return nil, errors.New("after the substitution it has YAML aliases, which are not supported")
	}
	json, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, errNotYAML
	}
	var fields map[string]any
	if utiljson.Unmarshal(json, &fields) != nil || len(fields) != 1 {
		return nil, errNotYAML
	}
	return fields[field], nil
}
