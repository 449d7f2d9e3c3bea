package expression

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/navefleet/nave/shared/telemetry"
)

// tooManySteps is the error of what exceeds the limit of steps.
const tooManySteps = "the expression takes too many steps"

// causes are the errors of cel-go, by how their texts begin, and the texts that are told in their place: most errors of
// cel-go quote a value.
var causes = []struct{ begin, told string }{
	{"no such overload", "no such overload: a function or operator does not take values of these types"},
	{"no such key", "no such key: it is not told, because it is computed"},
	{"no such field", "no such field"},
	{"index ", "index out of bounds"},
	{"unsupported index", "the index of a list is no whole number"},
	{"division by zero", "division by zero"},
	{"modulus by zero", "modulus by zero"},
	{"integer overflow", "integer overflow"},
	{"unsigned integer overflow", "unsigned integer overflow"},
	{"duration overflow", "duration overflow"},
	{"timestamp overflow", "timestamp overflow"},
	{"type conversion error", "type conversion error"},
	{"unsupported type conversion", "type conversion error"},
	{"strconv.", "type conversion error"},
	{"got 'types.", "the macro needs a list or a map"},
	{"invalid substring range", "index out of bounds"},
	{"invalid UTF-8", "the bytes are not UTF-8"},
	{"unknown time zone", "unknown time zone"},
	{"illegal base64", "the text is not base64"},
	{"optional.none() dereference", "optional.none() dereference"},
}

// failure returns the error of an evaluation with its place, and without what it quotes.
func (e *Expression) failure(err error) error {
	if _, cancelled := errors.AsType[interpreter.EvalCancelledError](err); cancelled {
		return e.tooCostly()
	}
	failed, ok := errors.AsType[*types.Err](err)
	if !ok {
		return errors.New("the evaluation failed")
	}
	where := e.source.GetStartLocation(failed.NodeID())
	return misplaced(where.Line(), where.Column(), e.cause(failed.Unwrap()))
}

func (e *Expression) tooCostly() error { return fmt.Errorf("%s: more than %d", tooManySteps, e.limit) }

// cause returns the text of an error of cel-go if it can quote nothing but the expression, else the text of its kind.
func (e *Expression) cause(err error) string {
	const longest = 200
	// The text of a resolutionError is made when it is asked for: of a computed key it may be large without limit.
	if fmt.Sprintf("%T", err) == "*interpreter.resolutionError" {
		if e.computed {
			return "no such key or index: it is not told, because it is computed"
		}
		return telemetry.Printable(err.Error(), longest)
	}
	text := err.Error()
	for _, c := range causes {
		if strings.HasPrefix(text, c.begin) {
			return c.told
		}
	}
	return "the evaluation failed"
}
