package expression

import (
	"math"
	"regexp"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// prices computes the cost of calls in steps. cel-go's own prices need types, which a parsed expression does not have,
// and are added after the work. So limited refuses a call whose price alone exceeds the limit before the call works.
type prices struct {
	limit    int
	patterns map[string]int // instructions of the expression's regular expressions
}

const (
	bytesOfStep        = 10
	instructionsOfStep = 4
	// timeZoneSteps are the steps of a call with a time zone, whose file is read each time.
	timeZoneSteps = 500
	// limitedMatches is the function matches with its limit. By its own name cel-go would replace it once more.
	limitedMatches = "limited matches"
)

// CallCost returns the price of a call, and one step for every ten bytes of the text that it makes.
func (p prices) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := uint64(min(p.of(function, args)+length(result)/bytesOfStep, math.MaxInt32))
	return &cost
}

// of returns the price of a call by its arguments: one step, one for every ten bytes of the texts that it reads, and
// those of functions that do more than read their arguments once. If the price exceeds the limit, the number of steps
// may be anything above the limit.
func (p prices) of(function string, args []ref.Val) int {
	cost := 1
	for _, arg := range args {
		cost += length(arg) / bytesOfStep
	}
	if len(args) == 1 {
		if function == "unwrapOpt" || function == "optional.unwrap" { // its error has the texts of the elements
			cost += p.tree(args[0], p.limit)
		}
		return cost
	}
	switch function {
	case operators.Equals, operators.NotEquals:
		cost += p.compare(args[0], args[1], p.limit)
	case operators.In, operators.OldIn:
		cost += p.compareAll(only(args[0]), elements(args[1]), p.limit)
	case "sets.contains", "sets.equivalent", "sets.intersects":
		cost += 2 * p.compareAll(elements(args[0]), elements(args[1]), p.limit)
	case operators.Add:
		cost += joined(args[0], args[1])
	case limitedMatches:
		text, _ := args[1].(types.String)
		cost *= 1 + p.patterns[string(text)]/instructionsOfStep
	case "indexOf", "lastIndexOf": // they compare the whole text at each of its places
		cost = (1 + length(args[0])/bytesOfStep) * (1 + length(args[1])/(bytesOfStep/2))
	case "split":
		text, _ := args[0].(types.String)
		separator, _ := args[1].(types.String)
		cost += strings.Count(string(text), string(separator))
	default:
		if strings.HasPrefix(function, "get") {
			cost += timeZoneSteps
		}
	}
	return cost
}

// compare returns the steps of comparing two values, without an end at the first difference. It does no more than these
// steps itself, and ends above left.
func (p prices) compare(a, b ref.Val, left int) int {
	switch a := a.(type) {
	case traits.Lister:
		if b, ok := b.(traits.Lister); ok && size(a) == size(b) {
			return p.compareLists(a, b, left)
		}
	case traits.Mapper:
		if b, ok := b.(traits.Mapper); ok && size(a) == size(b) {
			return p.compareMaps(a, b, left)
		}
	case *types.Optional:
		if b, ok := b.(*types.Optional); ok && a.HasValue() && b.HasValue() {
			return 1 + p.compare(a.GetValue(), b.GetValue(), left-1)
		}
	}
	return 1 + min(length(a), length(b))/bytesOfStep
}

func (p prices) compareLists(a, b traits.Lister, left int) int {
	steps := 1
	for i := 0; i < size(a) && steps <= left; i++ {
		steps += p.compare(a.Get(types.Int(i)), b.Get(types.Int(i)), left-steps)
	}
	return steps
}

func (p prices) compareMaps(a, b traits.Mapper, left int) int {
	steps := 1
	for keys := a.Iterator(); keys.HasNext() == types.True && steps <= left; {
		key := keys.Next()
		steps += 1 + length(key)/bytesOfStep
		if other, found := b.Find(key); found {
			steps += p.compare(a.Get(key), other, left-steps)
		}
	}
	return steps
}

// compareAll returns the steps of comparing each value of a with each of b. It ends above left.
func (p prices) compareAll(a, b traits.Lister, left int) int {
	steps := 1
	for i := 0; i < size(a) && steps <= left; i++ {
		for j := 0; j < size(b) && steps <= left; j++ {
			steps += p.compare(a.Get(types.Int(i)), b.Get(types.Int(j)), left-steps)
		}
	}
	return steps
}

// tree returns the steps of reading a whole value. It ends above left.
func (p prices) tree(v ref.Val, left int) int {
	steps := 1 + length(v)/bytesOfStep
	switch v := v.(type) {
	case traits.Lister:
		for i := 0; i < size(v) && steps <= left; i++ {
			steps += p.tree(v.Get(types.Int(i)), left-steps)
		}
	case traits.Mapper:
		for keys := v.Iterator(); keys.HasNext() == types.True && steps <= left; {
			key := keys.Next()
			steps += length(key)/bytesOfStep + p.tree(v.Get(key), left-steps)
		}
	case *types.Optional:
		if v.HasValue() {
			steps += p.tree(v.GetValue(), left-steps)
		}
	}
	return steps
}

// joined returns the steps of adding a list to another one, which limits the size of lists. The macros map and filter
// add to a list that grows, in place.
func joined(a, b ref.Val) int {
	if _, grows := a.(traits.MutableLister); grows {
		return size(b)
	}
	return (size(a) + size(b)) / bytesOfStep
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

// size returns the number of elements of a list or map. For any other value size returns 0.
func size(v any) int {
	if v, ok := v.(traits.Sizer); ok {
		if n, ok := v.Size().(types.Int); ok {
			return int(n)
		}
	}
	return 0
}

// only returns a list of one value.
func only(v ref.Val) traits.Lister {
	return types.NewRefValList(types.DefaultTypeAdapter, []ref.Val{v})
}

// elements returns a list. For any other value elements returns an empty list.
func elements(v ref.Val) traits.Lister {
	if list, ok := v.(traits.Lister); ok {
		return list
	}
	return types.NewRefValList(types.DefaultTypeAdapter, nil)
}

// limited returns the option of a program whose calls fail, before they work, if the price of one exceeds the limit.
// Then the price, which CallCost adds, ends the evaluation.
func (p prices) limited(implementations map[string]*functions.Overload) cel.ProgramOption {
	return cel.CustomDecoratorV2(func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		call, ok := i.(interpreter.InterpretableCall)
		if !ok || len(call.Args()) == 0 {
			return i, nil
		}
		name, work := call.Function(), workOf(call, implementations[call.Function()])
		if name == "matches" {
			name, work = limitedMatches, matcher(call)
		}
		if work == nil {
			return i, nil
		}
		return interpreter.NewCall(call.ID(), name, call.OverloadID(), call.Args(), func(args ...ref.Val) ref.Val {
			if p.of(name, args) > p.limit {
				return types.NewErr("%s", tooManySteps)
			}
			return work(args...)
		}), nil
	})
}

// workOf returns the function of a call; nil if the call needs no limit.
func workOf(call interpreter.InterpretableCall, f *functions.Overload) functions.FunctionOp {
	switch call.Function() {
	case operators.Equals:
		return func(args ...ref.Val) ref.Val { return types.Equal(args[0], args[1]) }
	case operators.NotEquals:
		return func(args ...ref.Val) ref.Val { return types.Bool(types.Equal(args[0], args[1]) != types.True) }
	}
	if f == nil || f.NonStrict {
		return nil
	}
	return func(args ...ref.Val) ref.Val {
		switch fits := f.OperandTrait == 0 || args[0].Type().HasTrait(f.OperandTrait); {
		case fits && len(args) == 1 && f.Unary != nil:
			return f.Unary(args[0])
		case fits && len(args) == 2 && f.Binary != nil:
			return f.Binary(args[0], args[1])
		case fits && f.Function != nil:
			return f.Function(args...)
		}
		return types.NoSuchOverloadErr()
	}
}

// matcher returns the function of a call of matches, whose pattern is a text in quotes; nil if it is not.
func matcher(call interpreter.InterpretableCall) functions.FunctionOp {
	pattern, ok := call.Args()[len(call.Args())-1].(interpreter.InterpretableConst)
	if !ok {
		return nil
	}
	text, _ := pattern.Value().(types.String)
	compiled, err := regexp.Compile(string(text))
	if err != nil {
		return nil
	}
	return func(args ...ref.Val) ref.Val {
		if in, ok := args[0].(types.String); ok {
			return types.Bool(compiled.MatchString(string(in)))
		}
		return types.NoSuchOverloadErr()
	}
}
