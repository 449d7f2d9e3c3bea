package expression

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/decls"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/ext"

	"github.com/navefleet/nave/shared/pattern"
	"github.com/navefleet/nave/shared/telemetry"
)

const (
	// MaxBytes limits the length of an expression.
	MaxBytes = 4 << 10
	maxCost  = 20_000 // steps, and ten bytes of a text each
	// maxNamedCost is maxCost of expressions whose variables are named. A spoke's only loop evaluates all of them.
	maxNamedCost = 5_000
	maxLists     = 2  // macros that make lists
	maxDepth     = 64 // of nesting
)

// Expression is an expression that can be evaluated. It is safe for concurrent use.
type Expression struct {
	program cel.Program
	source  *ast.SourceInfo
	limit   int
	// computed is set if the expression computes the name of a field or an index, so that an error may quote the object.
	computed bool
}

// Parse parses an expression. The error begins with the place of the mistake: "line 1, column 8: …". If variables are
// given, the expression may use no others, and may take fewer steps.
func Parse(text string, variables ...string) (*Expression, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("the expression has %d bytes: more than %d", len(text), MaxBytes)
	}
	lang, err := environment()
	if err != nil {
		return nil, err
	}
	parsed, issues := lang.env.Parse(text)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, misplaced(first.Location.Line(), first.Location.Column(), first.Message)
	}
	p := prices{limit: maxCost, patterns: map[string]int{}}
	if len(variables) > 0 {
		p.limit = maxNamedCost
	}
	c := check{env: lang.env, tree: parsed.NativeRep(), variables: variables, patterns: p.patterns}
	if err := c.all(); err != nil {
		return nil, err
	}
	program, err := lang.env.Program(parsed, cel.EvalOptions(cel.OptOptimize), p.limited(lang.functions),
		cel.CostTracking(p), cel.CostLimit(uint64(p.limit)))
	if err != nil {
		return nil, err
	}
	return &Expression{program, c.tree.SourceInfo(), p.limit, c.computed}, nil
}

// language is what all expressions have in common.
type language struct {
	env       *cel.Env
	functions map[string]*functions.Overload
}

var environment = sync.OnceValues(func() (l language, err error) {
	l.env, err = cel.NewEnv(
		cel.DefaultUTCTimeZone(true), cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(),
		cel.EnableMacroCallTracking(), cel.ParserExpressionSizeLimit(MaxBytes), cel.ParserRecursionLimit(maxDepth),
		ext.Strings(), ext.Sets(), ext.Encoders(),
	)
	if err != nil {
		return l, err
	}
	l.functions = map[string]*functions.Overload{}
	for name, f := range l.env.Functions() {
		bindings, err := f.Bindings()
		if err != nil {
			return l, err
		}
		for _, b := range bindings {
			if b.Operator == name {
				l.functions[name] = b
			}
		}
	}
	return l, nil
})

// misplaced returns an error about a line, counted from 1, and a column, counted from 0.
func misplaced(line, column int, message string) error {
	const most = 200
	line, column = max(line, 1), max(column, 0) // both are -1 for the whole text
	message, _, _ = strings.Cut(message, "\n")
	return fmt.Errorf("line %d, column %d: %s", line, column+1, telemetry.Printable(message, most))
}

// check finds the mistakes of a parsed expression that fail in each evaluation.
type check struct {
	env       *cel.Env
	tree      *ast.AST
	variables []string
	bound     []string       // by macros
	patterns  map[string]int // instructions of the regular expressions
	computed  bool           // see Expression
	err       error
}

// refused are the functions that make large texts out of small ones.
var refused = []string{"join", "replace", "format", "json.encode"}

// listMakers are the macros that make lists, or values that a list can be made of.
var listMakers = []string{"map", "optMap", "optFlatMap"}

func (c *check) all() error {
	lists := 0
	for id, e := range c.tree.SourceInfo().MacroCalls() {
		if e.Kind() != ast.CallKind || !slices.Contains(listMakers, e.AsCall().FunctionName()) {
			continue
		}
		if lists++; lists > maxLists {
			return c.at(id, fmt.Sprintf("more than %d of the macros map, optMap and optFlatMap", maxLists))
		}
	}
	bind := func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			c.bound = append(c.bound, e.AsComprehension().IterVar(), e.AsComprehension().AccuVar())
		}
	}
	ast.PreOrderVisit(c.tree.Expr(), ast.NewExprVisitor(bind))
	ast.PreOrderVisit(c.tree.Expr(), ast.NewExprVisitor(c.visit))
	return c.err
}

func (c *check) visit(e ast.Expr) {
	if c.err != nil {
		return
	}
	switch e.Kind() {
	case ast.CallKind:
		c.err = c.call(e)
	case ast.IdentKind:
		c.err = c.name(e)
	case ast.ListKind, ast.MapKind, ast.StructKind:
		c.err = c.literal(e)
	}
}

// name checks a variable.
func (c *check) name(e ast.Expr) error {
	name := e.AsIdent()
	if len(c.variables) == 0 || slices.Contains(c.variables, name) || slices.Contains(c.bound, name) ||
		c.isNamespace(name) {
		return nil
	}
	return c.at(e.ID(), fmt.Sprintf("unknown variable %q: there are %s", name, strings.Join(c.variables, ", ")))
}

// isNamespace reports whether there are functions that begin with the name and a dot, or a type of the name.
func (c *check) isNamespace(name string) bool {
	for function := range c.env.Functions() {
		if strings.HasPrefix(function, name+".") {
			return true
		}
	}
	_, found := c.env.CELTypeProvider().FindIdent(name)
	return found
}

// literal checks that a list or map has no optional parts, and that nothing is made of a type of protobuf: the errors
// of wrong values would hold their whole texts, which may be larger than all limits.
func (c *check) literal(e ast.Expr) error {
	optional := false
	switch e.Kind() {
	case ast.ListKind:
		optional = len(e.AsList().OptionalIndices()) > 0
	case ast.MapKind:
		optional = slices.ContainsFunc(e.AsMap().Entries(), func(e ast.EntryExpr) bool { return e.AsMapEntry().IsOptional() })
	default:
		return c.at(e.ID(), fmt.Sprintf("objects of type %s are not supported", e.AsStruct().TypeName()))
	}
	if optional {
		return c.at(e.ID(), "optional elements of lists and entries of maps are not supported")
	}
	return nil
}

// call checks that a function exists and takes so many arguments. Operators need no check: the parser made them.
func (c *check) call(e ast.Expr) error {
	call := e.AsCall()
	name := call.FunctionName()
	switch name {
	case operators.Index, operators.OptIndex, operators.OptSelect:
		c.computed = c.computed || call.Args()[1].Kind() != ast.LiteralKind
	}
	if strings.ContainsAny(name[:1], "_@!-") {
		return nil
	}
	member := call.IsMemberFunction()
	if member {
		if qualified := path(call.Target()) + "." + name; c.env.HasFunction(qualified) {
			name, member = qualified, false
		}
	}
	count := len(call.Args())
	function := c.env.Functions()[name]
	if name == "matches" && count > 0 {
		return c.pattern(call.Args()[count-1])
	}
	switch {
	case slices.Contains(refused, name):
		return c.at(e.ID(), fmt.Sprintf("the function %s is not supported: it makes texts, compare its arguments instead",
			name))
	case function == nil:
		return c.at(e.ID(), fmt.Sprintf("unknown function %q", name))
	case !takes(function, member, count):
		return c.at(e.ID(), fmt.Sprintf("the function %s does not take %d arguments like this", name, count))
	}
	return nil
}

// pattern checks a regular expression. It must be a literal text, so that its size is known.
func (c *check) pattern(e ast.Expr) error {
	text, ok := "", e.Kind() == ast.LiteralKind
	if ok {
		text, ok = e.AsLiteral().Value().(string)
	}
	if !ok {
		return c.at(e.ID(), "want the regular expression as a text in quotes")
	}
	size, err := pattern.Size(text)
	if err != nil {
		return c.at(e.ID(), err.Error())
	}
	c.patterns[text] = size
	return nil
}

func takes(f *decls.FunctionDecl, member bool, count int) bool {
	if member {
		count++ // the receiver
	}
	return slices.ContainsFunc(f.OverloadDecls(), func(o *decls.OverloadDecl) bool {
		return o.IsMemberFunction() == member && len(o.ArgTypes()) == count
	})
}

// path returns the dotted names of an expression; empty if it is something else.
func path(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		if above := path(e.AsSelect().Operand()); above != "" && !e.AsSelect().IsTestOnly() {
			return above + "." + e.AsSelect().FieldName()
		}
	}
	return ""
}

func (c *check) at(id int64, message string) error {
	where := c.tree.SourceInfo().GetStartLocation(id)
	return misplaced(where.Line(), where.Column(), message)
}
