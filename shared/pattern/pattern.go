// Package pattern limits the size of regular expressions that users write. A few bytes such as (.{1000}){1,} repeated
// stand for a program of megabytes, and Go's engine may run each instruction for every character.
package pattern

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// Most is how many instructions a regular expression of an object may have.
const Most = 500

// maxBytes limits the text of a regular expression. A short text such as \pL is a class of hundreds of characters.
const maxBytes = 4096

// TooLargeError means that a regular expression has too many instructions.
type TooLargeError struct{ Most int }

// Error returns the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the regular expression is too large: it has more than %d instructions", e.Most)
}

// Compile compiles a regular expression of at most so many instructions. The error is a *TooLargeError, or says what is
// wrong with the text.
func Compile(text string, most int) (*regexp.Regexp, error) {
	if _, err := Size(text, most); err != nil {
		return nil, err
	}
	return regexp.Compile(text)
}

// Size returns the number of instructions of a regular expression. If they are more than most, the error is a
// *TooLargeError, and no program of that size is made.
func Size(text string, most int) (int, error) {
	if len(text) > maxBytes {
		return 0, fmt.Errorf("the regular expression has %d bytes, the limit is %d", len(text), maxBytes)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, err
	}
	if unfolded(tree, 2*most) > 2*most { // it counts more than there will be, but not twice as much
		return 0, &TooLargeError{most}
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return 0, err
	}
	if len(program.Inst) > most {
		return 0, &TooLargeError{most}
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
