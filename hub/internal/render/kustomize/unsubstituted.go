package kustomize

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/substitution"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/wording"
)

// Limits of the message about an object that cannot be substituted.
const (
	shownPlaces     = 3  // fields and lines
	shownExpression = 60 // bytes of one expression
)

// substitutionError is the error of an object that cannot be substituted, with its expressions and their places.
type substitutionError struct {
	object manifest.ID
	cause  error
	fields []string // "data.url: ${domian}", sorted
	// expressions are the texts to search for in files; lines are the places found: "apps/web.yaml:12".
	expressions []string
	lines       []string
	hint        string // a variable that may have been meant
	wayOut      string
}

// Error implements error.
func (e *substitutionError) Error() string {
	text := fmt.Sprintf("%s: %v: %v", e.object, render.ErrSubstitution, e.cause)
	if e.hint != "" {
		text += fmt.Sprintf(", did you mean %q?", e.hint)
	}
	text += " ("
	if len(e.fields) > 0 {
		text += "in " + wording.List(e.fields, len(e.fields), shownPlaces) + "; "
	}
	if len(e.lines) > 0 {
		text += "see " + wording.List(e.lines, len(e.lines), shownPlaces) + "; "
	}
	return text + e.wayOut + ")"
}

// Unwrap returns render.ErrSubstitution and the cause.
func (e *substitutionError) Unwrap() []error { return []error{render.ErrSubstitution, e.cause} }

// unsubstituted returns the error of an object that cannot be substituted. It has the cause, and the fields whose own
// text cannot be substituted.
func (v *variables) unsubstituted(o *manifest.Object, cause error) error {
	e := &substitutionError{
		object: manifest.IDOf(o), cause: cause,
		wayOut: "give the variable in postBuild.substitute or in an object of substituteFrom, give it a default as " +
			"${name:-default}, write $${…} for a literal ${…}, or annotate the object with " + manifest.SubstituteKey +
			": disabled",
	}
	replaceTexts(o.Object, "", func(field, text string) string {
		if !strings.Contains(text, "$") {
			return text
		}
		if _, err := v.evaluate(text); err == nil {
			return text
		}
		failing := v.failing(text)
		for _, expression := range failing {
			e.hint = cmp.Or(e.hint, wording.Nearest(nameIn(expression), slices.Sorted(maps.Keys(v.values))))
			field += ": " + telemetry.Printable(expression, shownExpression)
		}
		e.fields, e.expressions = append(e.fields, field), append(e.expressions, failing...)
		return text
	})
	slices.Sort(e.fields)
	return e
}

// failing returns the expressions of a text that cannot be substituted, innermost only, each once.
func (v *variables) failing(text string) (found []string) {
	for at := strings.LastIndex(text, "${"); at >= 0; at = strings.LastIndex(text[:at], "${") {
		expression := expressionAt(text, at)
		holds := slices.ContainsFunc(found, func(inner string) bool { return strings.Contains(expression, inner) })
		if _, err := v.evaluate(expression); err != nil && !holds && !isEscaped(text, at) {
			found = append(found, expression)
		}
	}
	slices.Reverse(found)
	return found
}

// expressionAt returns the expression that begins at text[at], up to the brace that closes it, or to the end of the
// line.
func expressionAt(text string, at int) string {
	depth := 0
	for i := at; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "${"):
			depth++
		case text[i] == '}':
			if depth--; depth == 0 {
				return text[at : i+1]
			}
		}
	}
	line, _, _ := strings.Cut(text[at:], "\n")
	return line
}

// isEscaped reports whether the expression at text[at] is escaped: an even number of $ is before {.
func isEscaped(text string, at int) bool {
	before := text[:at+1]
	return (len(before)-len(strings.TrimRight(before, "$")))%2 == 0
}

// nameIn returns the name of the variable in an expression.
func nameIn(expression string) string {
	name := strings.TrimPrefix(expression, "${")
	end := strings.IndexFunc(name, func(r rune) bool { return !substitution.IsName("_" + string(r)) })
	return name[:max(end, 0)]
}

// mentions reports whether a line holds an expression that is not escaped.
func mentions(line, expression string) bool {
	for from := 0; ; {
		at := strings.Index(line[from:], expression)
		if at < 0 {
			return false
		}
		if from += at; !isEscaped(line, from) {
			return true
		}
		from++
	}
}

// withLines adds the lines with the failing expressions to the error of a substitution. It searches all files that the
// build read.
func withLines(fsys *fileSystem, err error) error {
	failed, ok := errors.AsType[*substitutionError](err)
	if !ok {
		return err
	}
	reads := fsys.tree.Reads()
	for _, p := range slices.Sorted(maps.Keys(reads.Facts)) {
		if !strings.HasPrefix(reads.Facts[p], string(render.Regular)) {
			continue
		}
		data, err := fsys.content(p)
		if err != nil {
			continue
		}
		for i, line := range bytes.Split(data, []byte("\n")) {
			if slices.ContainsFunc(failed.expressions, func(e string) bool { return mentions(string(line), e) }) {
				failed.lines = append(failed.lines, fmt.Sprintf("%s:%d", tree.Local(p), i+1))
			}
		}
	}
	return err
}
