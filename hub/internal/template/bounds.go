package template

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

const (
	maxText   = 64 << 10 // bytes of a message, and of each value in between
	perChange = 512      // bytes more for each change
	textLimit = "64 KiB, and 512 bytes for each change"

	maxSteps       = 100_000
	stepsPerChange = 100 // more for each

	maxRepeat  = 10_000 // of functions that make much of a number
	maxDepth   = 100    // of a list in a list, and so on
	maxProduct = 256    // in bytes of a message, of two arguments that a function combines with each other
	maxTime    = 10 * time.Second
	stepName   = "nextStep"
)

// combining are functions whose result, or whose time, grows with the product of two arguments.
var combining = []string{"replace", "join", "wrapWith", "uniq", "mustUniq", "without", "mustWithout", "regexReplaceAll",
	"mustRegexReplaceAll", "regexReplaceAllLiteral", "mustRegexReplaceAllLiteral"}

// boundError is the error of a template that does too much.
type boundError struct{ text string }

func (e *boundError) Error() string { return e.text }

func tooMuch(format string, args ...any) error { return &boundError{fmt.Sprintf(format, args...)} }

// bounds are those of one template that is carried out.
type bounds struct {
	text  int // bytes
	steps int
	taken int
	end   time.Time
}

func newBounds(changes int) *bounds {
	return &bounds{text: maxText + perChange*changes, steps: maxSteps + stepsPerChange*changes,
		end: time.Now().Add(maxTime)}
}

// step counts a step. It makes no text.
func (b *bounds) step() (string, error) {
	if b.taken++; b.taken > b.steps {
		return "", tooMuch("the template takes more than %d steps: a range has too many rounds", b.steps)
	}
	return "", b.inTime()
}

func (b *bounds) inTime() error {
	if time.Now().After(b.end) {
		return tooMuch("the template takes longer than %s", maxTime)
	}
	return nil
}

// guard returns a function that does what f does as long as that is within the bounds. Else it panics with an error,
// which a template returns.
func (b *bounds) guard(name string, f any) any {
	do := reflect.ValueOf(f)
	call := do.Call
	if do.Type().IsVariadic() {
		call = do.CallSlice
	}
	return reflect.MakeFunc(do.Type(), func(args []reflect.Value) []reflect.Value {
		err := b.inTime()
		if err == nil && slices.Contains(combining, name) {
			err = b.checkProduct(name, args)
		}
		if err != nil {
			panic(err)
		}
		results := call(args)
		if _, ok := weigh(results[0], b.text, maxDepth); !ok {
			panic(tooMuch("%s makes more than %s", name, textLimit))
		}
		return results
	}).Interface()
}

// checkProduct returns an error if the two largest arguments are too large together. One alone counts twice.
func (b *bounds) checkProduct(name string, args []reflect.Value) error {
	weights := []int{0}
	for _, arg := range args {
		left, _ := weigh(arg, b.text, maxDepth)
		weights = append(weights, b.text-left)
	}
	slices.Sort(weights)
	most, next := weights[len(weights)-1], weights[len(weights)-2]
	if len(args) == 1 {
		next = most
	}
	if most*next > maxProduct*b.text {
		return tooMuch("%s gets more than it can work on", name)
	}
	return nil
}

// weigh subtracts the bytes of texts, and the number of values, of a value from what is left. It reports whether
// something is left, and the value is not too deep.
func weigh(v reflect.Value, left, depth int) (int, bool) {
	left--
	if depth == 0 || left < 0 {
		return 0, false
	}
	ok := true
	switch v.Kind() {
	case reflect.String:
		left -= v.Len()
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			left, ok = weigh(v.Elem(), left, depth-1)
		}
	case reflect.Slice, reflect.Array:
		for i := 0; i < v.Len() && ok; i++ {
			left, ok = weigh(v.Index(i), left, depth-1)
		}
	case reflect.Map:
		for i := v.MapRange(); ok && i.Next(); {
			if left, ok = weigh(i.Key(), left, depth-1); ok {
				left, ok = weigh(i.Value(), left, depth-1)
			}
		}
	case reflect.Struct:
		for i := 0; i < v.NumField() && ok; i++ {
			left, ok = weigh(v.Field(i), left, depth-1)
		}
	}
	return max(left, 0), ok && left >= 0
}
