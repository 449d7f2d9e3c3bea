package expression

import (
	"errors"
	"fmt"

	"github.com/google/cel-go/common/types"
)

// Limits of all variables together.
const (
	maxValues = 10_000  // texts, numbers, words, lists and maps
	maxText   = 1 << 18 // bytes of texts and keys
)

var errLarge = errors.New("the object is too large for an expression")

// Evaluate returns whether the expression is true. Values are decoded JSON. If the expression names a missing field, is
// not a boolean, or exceeds a limit, Evaluate returns an error with the place in the expression. The error quotes the
// expression, never a value, because values may be secret.
func (e *Expression) Evaluate(variables map[string]any) (bool, error) {
	if values, text := weigh(variables, maxValues, maxText); values < 0 || text < 0 {
		return false, errLarge
	}
	out, _, err := e.program.Eval(variables)
	if err != nil {
		return false, e.failure(err)
	}
	holds, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("the expression is a %s, want true or false", out.Type().TypeName())
	}
	return bool(holds), nil
}

// weigh subtracts the values and the bytes of text of v from both budgets. It stops when one of them is negative.
func weigh(v any, values, text int) (valuesLeft, textLeft int) {
	values--
	switch v := v.(type) {
	case string:
		text -= len(v)
	case map[string]any:
		for key, item := range v {
			if values < 0 || text < 0 {
				break
			}
			values, text = weigh(item, values, text-len(key))
		}
	case []any:
		for _, item := range v {
			if values < 0 || text < 0 {
				break
			}
			values, text = weigh(item, values, text)
		}
	}
	return values, text
}
