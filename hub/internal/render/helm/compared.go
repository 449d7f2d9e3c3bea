package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"github.com/navefleet/nave/hub/internal/render"
)

// A comparison of a placeholder with a text gives the same for all placeholders, but perhaps not for the value. So the
// chart is rendered with such comparisons turned around.

// comparing are the functions that compare. Their result is true or false.
var comparing = []string{"eq", "ne", "lt", "le", "gt", "ge", "contains", "hasPrefix", "hasSuffix", "has", "mustHas",
	"regexMatch", "mustRegexMatch", "deepEqual", "semverCompare"}

// converting are functions whose result no longer has a placeholder that an argument is.
var converting = []string{"int", "int64", "float64", "atoi", "toDecimal", "len", "upper", "title", "trunc", "substr",
	"abbrev", "b64enc", "b64dec", "sha1sum", "sha256sum", "sha512sum", "add", "add1", "mul", "div", "sub", "mod"}

// comparison is a place in a template that compares.
type comparison struct {
	file int // -1: a text in the values
	at   int
	call string
	// placeholder is the sealed value that it compares.
	placeholder string
}

// comparer rewrites templates. A comparison in active is turned around where an argument matches the pattern; with ask
// set, the render fails there, and the error tells the comparison and the match.
type comparer struct {
	pattern string
	active  map[int]bool
	ask     bool
	found   []comparison
	file    int
}

// checkComparisons returns ErrInspected if the result depends on a comparison with a sealed value. Texts stand for the
// placeholders. A comparison with an empty text is none, and neither is one that only makes the render fail.
func (s settling) checkComparisons(ctx context.Context, texts pairs) error {
	var patterns []string
	for _, text := range slices.Sorted(maps.Keys(texts.back())) {
		patterns = append(patterns, regexp.QuoteMeta(text))
	}
	pattern := strings.Join(patterns, "|")
	found, err := s.comparisons(ctx, texts, pattern)
	if err != nil || len(found) == 0 {
		return err
	}
	all := map[int]bool{}
	for _, n := range slices.Sorted(maps.Keys(found)) {
		all[n] = true
		c := comparer{pattern: pattern, active: map[int]bool{n: true}}
		if err := s.turned(ctx, c, texts, found[n]); err != nil {
			return err
		}
	}
	last := found[slices.Max(slices.Collect(maps.Keys(found)))]
	return s.turned(ctx, comparer{pattern: pattern, active: all}, texts, last) // two may matter only together
}

// turned renders the chart with comparisons turned around, and returns ErrInspected for one of them if the result is
// another one.
func (s settling) turned(ctx context.Context, c comparer, texts pairs, at comparison) error {
	other, err := renderChart(ctx, s.engine, otherwise(c.rewrite(s.in), texts, strange), s.post)
	if err != nil {
		return ctx.Err() // nil: the values are checked
	}
	cause := s.inspected(other, texts)
	if cause == nil {
		return nil
	}
	place := fmt.Sprintf("a template in the values, %s: ", at.call)
	if at.file >= 0 {
		place = placeOf(s.in.Files[at.file], at.at, at.call)
	}
	return s.describe(cause, texts.back()[at.placeholder], place)
}

// inspected returns ErrInspected if another render, in which texts stand for placeholders, gives another result.
func (s settling) inspected(other *render.Result, texts pairs) error {
	fields, err := s.compare(other, texts)
	if err != nil {
		return fmt.Errorf("%w: %w", err, render.ErrInspected)
	}
	if g, field := s.unexplained(fields, s.first.Release.Generated); field != "" {
		return fmt.Errorf("%s: %s: %w", g.ID, field, render.ErrInspected)
	}
	return nil
}

// told matches what a comparer lets a render fail with.
var told = regexp.MustCompile(`nave-compares (\d+) (\w+)\.`)

// comparisons returns the comparisons by their number that see a placeholder.
func (s settling) comparisons(ctx context.Context, texts pairs, pattern string) (map[int]comparison, error) {
	c := comparer{pattern: pattern, ask: true}
	c.rewrite(s.in)
	all, found := c.found, map[int]comparison{}
	c.active = map[int]bool{}
	for n := range all {
		c.active[n] = true
	}
	for len(c.active) > 0 {
		_, err := s.engine.Render(otherwise(c.rewrite(s.in), texts, nil))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil {
			break
		}
		m := told.FindStringSubmatch(err.Error())
		if m == nil {
			break // a template refuses the texts
		}
		n, _ := strconv.Atoi(m[1])
		if n >= len(all) || !c.active[n] {
			return nil, errors.New("a template imitates the check of comparisons")
		}
		delete(c.active, n)
		all[n].placeholder = m[2]
		found[n] = all[n]
	}
	return found, nil
}

// rewrite returns an input with rewritten templates. Texts in the values may be templates, for tpl.
func (c *comparer) rewrite(in Input) Input {
	c.found = nil
	in.Files = slices.Clone(in.Files)
	for i, f := range in.Files {
		if isTemplate(f) {
			c.file = i
			in.Files[i].Data = []byte(c.template(string(f.Data)))
		}
	}
	c.file = -1
	texts := map[string]string{}
	mapTexts(in.Values, false, func(text string) string {
		if strings.Contains(text, "{{") {
			texts[text] = text
		}
		return text
	})
	for _, text := range slices.Sorted(maps.Keys(texts)) {
		texts[text] = c.template(text)
	}
	in.Values = mapTexts(in.Values, false, func(text string) string {
		return cmp.Or(texts[text], text)
	}).(map[string]any)
	return in
}

// template returns a rewritten template. If it cannot be parsed, or has no active comparison, it stays as it is: it may
// be a text that is no template.
func (c *comparer) template(text string) string {
	t := parse.New("template")
	t.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := t.Parse(text, "", "", trees); err != nil {
		return text
	}
	before := len(c.found)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		c.walk(trees[name].Root)
		if trees[name] != t {
			fmt.Fprintf(&b, "{{define %q}}%s{{end}}", name, trees[name].Root)
		}
	}
	for n := before; n < len(c.found); n++ {
		if c.active[n] {
			return b.String() + t.Root.String()
		}
	}
	return text
}

// walk rewrites the pipelines below a node, the inner ones first.
func (c *comparer) walk(n parse.Node) {
	for _, below := range nodesBelow(n) {
		c.walk(below)
	}
	p, ok := n.(*parse.PipeNode)
	if !ok {
		return
	}
	var before []*parse.CommandNode
	for _, command := range p.Cmds {
		call, isCall := command.Args[0].(*parse.IdentifierNode)
		if !isCall || !slices.Contains(comparing, call.Ident) {
			before = append(before, command)
			continue
		}
		args := command.Args[1:]
		if len(before) > 0 {
			args = append(slices.Clip(args), &parse.PipeNode{NodeType: parse.NodePipe, Cmds: before})
		}
		turned := parse.NewIdentifier(c.compare(call, args)) // it is only printed
		before = []*parse.CommandNode{{NodeType: parse.NodeCommand, Args: []parse.Node{turned}}}
	}
	p.Cmds = before
}

// compare returns the text of a comparison.
func (c *comparer) compare(call *parse.IdentifierNode, args []parse.Node) string {
	number := len(c.found)
	c.found = append(c.found, comparison{file: c.file, at: int(call.Pos), call: call.Ident})
	var texts, inner []string
	for _, arg := range args {
		texts = append(texts, nodeText(arg))
		inner = append(inner, converted(arg)...)
	}
	own := strings.Join(texts, " ")
	if !c.active[number] {
		return fmt.Sprintf("(%s %s)", call.Ident, own)
	}
	seen := fmt.Sprintf("(list %s %s | toJson | regexFind %q)", own, strings.Join(inner, " "), c.pattern)
	turn := fmt.Sprintf(`%s (not (has "" (list %s))) (not (has nil (list %s)))`, seen, own, own)
	if c.ask {
		turn += fmt.Sprintf(` (fail (printf "nave-compares %d %%s." %s))`, number, seen)
	}
	return fmt.Sprintf("(eq (%s %s) (not (and %s)))", call.Ident, own, turn)
}

// converted returns the texts that an argument converts, such as .x in (.x | int).
func converted(arg parse.Node) (texts []string) {
	p, ok := arg.(*parse.PipeNode)
	if !ok || len(p.Cmds) == 0 {
		return nil
	}
	last := p.Cmds[len(p.Cmds)-1]
	call, ok := last.Args[0].(*parse.IdentifierNode)
	operands := last.Args[1:]
	if before := p.Cmds[:len(p.Cmds)-1]; len(before) > 0 {
		operands = append(slices.Clip(operands), &parse.PipeNode{NodeType: parse.NodePipe, Cmds: before})
	}
	if !ok && len(p.Cmds) == 1 && len(last.Args) == 1 {
		return converted(last.Args[0]) // further parentheses
	}
	if !ok || !slices.Contains(converting, call.Ident) {
		return nil
	}
	for _, operand := range operands {
		text := nodeText(operand)
		texts = append(texts, fmt.Sprintf(`(ternary %s "-" (kindIs "string" %s))`, text, text))
		texts = append(texts, converted(operand)...)
	}
	return texts
}

// nodeText returns the text of an argument.
func nodeText(n parse.Node) string {
	if _, isPipe := n.(*parse.PipeNode); isPipe {
		return "(" + n.String() + ")"
	}
	return n.String()
}
