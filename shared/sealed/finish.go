package sealed

import (
	"errors"
	"fmt"
	"strings"

	"github.com/navefleet/nave/shared/substitution"
)

// Variables are the values of variables that are substituted in values.
type Variables struct {
	// Value returns the value of a variable, and whether the variable is set.
	Value func(name string) (Value, bool)
	// Strict makes a variable that is neither set nor has a default an error. Otherwise such a variable is empty.
	Strict bool
	// Limit is how many bytes all texts together have at most after the substitution.
	Limit int
}

var errExpression = errors.New(": a text with variables can only be the whole value of a field")

// template returns a text in which sealed values and expressions stand in the place of placeholders, to be evaluated.
// What the hub substituted already is escaped. open is false if there is nothing to evaluate.
func (r replacer) template(s string) (text string, open bool, err error) {
	if r.variables == nil || next(s, 0) < 0 {
		return s, false, nil
	}
	var b strings.Builder
	rest := 0
	for i := next(s, 0); i >= 0; i = next(s, rest) {
		v, err := r.value(Placeholder(s[i : i+Length]))
		if err != nil {
			return "", false, err
		}
		piece, err := r.piece(v)
		if err != nil {
			return "", false, err
		}
		open = open || strings.Contains(piece, "$")
		b.WriteString(substitution.Escape(s[rest:i]))
		b.WriteString(piece)
		rest = i + Length
	}
	b.WriteString(substitution.Escape(s[rest:]))
	return b.String(), open, nil
}

// piece returns the text of a value that is still to be evaluated. An expression may hold placeholders of sealed
// values.
func (r replacer) piece(v Value) (string, error) {
	if v.kind == isExpression {
		text, err := r.pieces(v.text, Value.string)
		return string(text), err
	}
	return v.string()
}

// evaluate returns what a text comes to. Errors name variables, never values.
func (v *Variables) evaluate(text string) (any, error) {
	result, size, err := substitution.Scalar(text, func(name string) (string, bool) {
		value, ok := v.Value(name)
		return value.text, ok || !v.Strict
	}, v.Limit)
	if err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	v.Limit -= size
	return result, nil
}
