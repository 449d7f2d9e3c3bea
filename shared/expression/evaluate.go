package expression

import (
	"errors"
	"fmt"
	"math"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// Limits of all variables together.
const (
	maxValues = 10_000  // texts, numbers, words, lists and maps
	maxText   = 1 << 18 // bytes of texts and keys
)

var errLarge = errors.New("the object is too large for an expression")

// Evaluate returns whether the expression is true. Values are decoded JSON. If the expression names a missing field, is
// not a boolean, or exceeds a limit, Evaluate returns an error, which may quote the object.
func (e *Expression) Evaluate(variables map[string]any) (bool, error) {
	if values, text := weigh(variables, maxValues, maxText); values < 0 || text < 0 {
		return false, errLarge
	}
	out, _, err := e.program.Eval(variables)
	if err != nil {
		return false, err
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

// prices computes the cost of a call: one step, and one for every ten bytes of the texts that it reads and makes.
// cel-go's own prices need types, which a parsed expression does not have.
type prices struct{}

// CallCost returns the cost of a call.
func (prices) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	const bytesOfStep = 10
	read := 0
	for _, arg := range args {
		read += length(arg)
	}
	cost := uint64(1 + (read+length(result))/bytesOfStep)
	switch function {
	case "split":
		cost += uint64(listLength(result))
	case "matches":
		cost *= uint64(1 + length(args[len(args)-1])/bytesOfStep)
	case "sets.contains", "sets.equivalent", "sets.intersects":
		cost += uint64(listLength(args[0]) * listLength(args[1]))
	}
	cost = min(cost, math.MaxInt32)
	return &cost
}

// length returns the bytes of a text. For any other value length returns 0.
func length(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	}
	return 0
}

func listLength(v ref.Val) int {
	if list, ok := v.(traits.Lister); ok {
		if n, ok := list.Size().(types.Int); ok {
			return int(n)
		}
	}
	return 0
}
