// Package pattern limits the size of regular expressions that users write. A few bytes such as (.{1000}){1,} repeated
// stand for a program of megabytes, and Go's engine may run each instruction for every character.
package pattern

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// The limits of one regular expression.
const (
	maxInstructions = 500
	maxBytes        = 4096 // of its text: a short one such as \pL is a class of hundreds of characters
)

// ErrTooLarge is the error of a regular expression with too many instructions.
var ErrTooLarge = fmt.Errorf("the regular expression is too large: it has more than %d instructions", maxInstructions)

// Compile compiles a regular expression within the limits. Errors are those of Size.
func Compile(text string) (*regexp.Regexp, error) {
	if _, err := Size(text); err != nil {
		return nil, err
	}
	return regexp.Compile(text)
}

// Size returns the number of instructions of a regular expression. If they are too many, the error is ErrTooLarge, and
// no program of that size is made. Other errors say what is wrong with the text.
func Size(text string) (int, error) {
	if len(text) > maxBytes {
		return 0, fmt.Errorf("the regular expression has %d bytes, the limit is %d", len(text), maxBytes)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, err
	}
	// It counts more than there will be, but not twice as much.
	if unfolded(tree, 2*maxInstructions) > 2*maxInstructions {
		return 0, ErrTooLarge
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0, err
	}
	if len(program.Inst) > maxInstructions {
		return 0, ErrTooLarge
	}
	return len(program.Inst), nil
}

// unfolded returns about how many instructions a tree has when its repetitions are written out. It ends above most.
func unfolded(tree *syntax.Regexp, most int) int {
	size := 1
	if tree.Op == syntax.OpLiteral {
		size = len(tree.Rune)
	}
	for _, part := range tree.Sub {
		size = min(size+unfolded(part, most), most+1)
	}
	if tree.Op == syntax.OpRepeat {
		size *= max(1, tree.Min, tree.Max)
	}
	return size
}
