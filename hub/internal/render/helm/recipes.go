package helm

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// A template that generates a password must not do so on the hub. So such calls are rewritten: calls.Generate answers
// with a placeholder, and a recipe goes to the cluster. See recorder.

// onlyAfter are functions that are rewritten directly behind a call that generates, as in (randAlpha 8 | lower).
var onlyAfter = wordSet("lower upper trunc sha1sum sha256sum sha512sum")

// generates reports whether a function makes secrets, or hashes of secrets with chance in them.
func generates(function string) bool { return bundle.IsRecipe(function) && !onlyAfter[function] }

// generatingSites are the calls in the templates of a chart that generate, by their places. An open one is not
// rewritten: the hub carries it out, because a template looks into the value.
type generatingSites struct {
	known map[string]bool
	open  map[string]bool
	// secret is set if an open site makes a secret.
	secret bool
	// all opens every site, also those that are not known yet, in texts for tpl.
	all bool
}

// rewrite returns an input with rewritten templates, and texts for tpl if values may have such calls.
func (s *generatingSites) rewrite(in Input) Input {
	in.Files = slices.Clone(in.Files)
	for i, f := range in.Files {
		if isTemplate(f) && generating.Match(f.Data) {
			in.Files[i].Data = []byte(s.template(string(f.Data), strconv.Itoa(i)))
		}
	}
	inTexts := !s.all && inValues(in)
	if inTexts {
		in = in.withTexts(func(text string) string { return s.template(text, manifest.DigestOf([]byte(text)).String()) })
	}
	if in.Generation = nil; !s.all && (inTexts || len(s.open) < len(s.known)) {
		in.Generation = &Generation{}
	}
	return in
}

// secretCall matches a call that generates in a text that may be a template.
var secretCall = regexp.MustCompile(`\{\{[^}]*\b(rand[A-Z][a-zA-Z]+|uuidv4|gen[A-Z]\w+|bcrypt|htpasswd)\b`)

// inValues reports whether values, or another file that a template may read, have calls that generate.
func inValues(in Input) bool {
	found := slices.ContainsFunc(in.Files, func(f File) bool {
		return secretCall.Match(f.Data) && (!isTemplate(f) || inQuotesOf(string(f.Data)))
	})
	mapTexts(in.Values, false, func(text string) string {
		found = found || secretCall.MatchString(text)
		return text
	})
	return found
}

// inQuotesOf reports whether a quoted text in a template has a call that generates.
func inQuotesOf(template string) (found bool) {
	eachNode(template, func(n parse.Node) {
		text, ok := n.(*parse.StringNode)
		found = found || ok && secretCall.MatchString(text.Text)
	})
	return found
}

// openFor opens the sites whose values an error is about, or all if the error does not tell.
func (s *generatingSites) openFor(err error) {
	seen, told := errors.AsType[*lookedInto](err)
	before := len(s.open)
	if told {
		s.secret = s.secret || !seen.named
		for _, site := range seen.sites {
			s.open[site] = true
		}
	}
	if len(s.open) == before {
		s.secret, s.all = true, true
	}
}

// template returns a rewritten template. If the template cannot be parsed, it stays as it is.
func (s *generatingSites) template(text, name string) string {
	r := rewriting{generatingSites: s, name: name, calls: map[*parse.IdentifierNode]string{}}
	eachNode(text, func(n parse.Node) {
		if p, ok := n.(*parse.PipeNode); ok {
			r.pipeline(p)
		}
	})
	return replaceCallsIn(text, r.calls)
}

// rewriting is the rewriting of one template.
type rewriting struct {
	*generatingSites
	name  string
	calls map[*parse.IdentifierNode]string
}

// pipeline rewrites the commands of a pipeline, and reports whether its result is that of a rewritten call.
func (r *rewriting) pipeline(p *parse.PipeNode) (rewritten bool) {
	for _, c := range p.Cmds {
		rewritten = r.command(c, rewritten)
	}
	return rewritten
}

// command rewrites a command, and reports whether its result is that of a rewritten call. Behind is set if the command
// gets such a result from the one before.
func (r *rewriting) command(c *parse.CommandNode, behind bool) (rewritten bool) {
	for _, arg := range c.Args[1:] {
		switch arg := arg.(type) {
		case *parse.IdentifierNode:
			if generates(arg.Ident) && r.rewriteCall(arg) { // without arguments, as uuidv4
				r.calls[arg] = "(" + r.calls[arg] + ")"
			}
		case *parse.PipeNode:
			behind = r.pipeline(arg) || behind
		}
	}
	switch first := c.Args[0].(type) {
	case *parse.IdentifierNode:
		return (generates(first.Ident) || behind && onlyAfter[first.Ident]) && r.rewriteCall(first)
	case *parse.PipeNode:
		return len(c.Args) == 1 && r.pipeline(first)
	}
	return false
}

// rewriteCall rewrites the name of a function, unless the site is open.
func (r *rewriting) rewriteCall(call *parse.IdentifierNode) bool {
	site := fmt.Sprintf("%s:%d", r.name, call.Pos)
	r.known[site] = true
	if r.all || r.open[site] {
		return false
	}
	r.calls[call] = fmt.Sprintf("%sGenerate %q %q", callsObject, site, call.Ident)
	return true
}

// lookedInto is the error of a template that looks into a generated value.
type lookedInto struct {
	cause error
	sites []string // that make the value
	named bool     // the value is in the name of an object, so it is no secret
}

func (e *lookedInto) Error() string { return e.cause.Error() }
func (e *lookedInto) Unwrap() error { return e.cause }

// recipeOf returns the recipe of a placeholder.
func recipeOf(r *render.Result, placeholder string) (render.Recipe, bool) {
	for _, recipe := range r.Release.Recipes {
		if slices.Contains(recipe.Placeholders(), placeholder) {
			return recipe, true
		}
	}
	return render.Recipe{}, false
}

// lookedInto returns the error for a template that looks into a placeholder of a recipe; nil if it is another one.
func (s settling) lookedInto(cause error, placeholder string) error {
	if s.first == nil {
		return nil
	}
	if _, ok := recipeOf(s.first, placeholder); !ok {
		return nil
	}
	e := &lookedInto{cause: cause}
	for _, o := range objectsIn(s.first) {
		names := sealed.Find(o.GetName() + " " + o.GetNamespace())
		e.named = e.named || slices.Contains(names, sealed.Placeholder(placeholder))
	}
	for next := []string{placeholder}; len(next) > 0; next = next[1:] {
		if recipe, ok := recipeOf(s.first, next[0]); ok {
			e.sites = append(e.sites, recipe.Site)
			for _, p := range recipe.Needs() {
				next = append(next, string(p))
			}
		}
	}
	return e
}

// named returns the error for a recipe whose value names an object; nil if there is none.
func (s settling) named(cause error) error {
	for _, o := range objectsIn(s.first) {
		for _, p := range sealed.Find(o.GetName() + " " + o.GetNamespace()) {
			if err := s.lookedInto(cause, string(p)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNumeric returns an error if a field is a number that randNumeric makes: a placeholder stands for a text. The
// other result has numbers in place of the placeholders.
func (s settling) checkNumeric(other *render.Result) error {
	others := objectsIn(other)
	for i, o := range objectsIn(s.first) {
		for _, p := range numbersIn(o.Object, others[i].Object) {
			if recipe, ok := recipeOf(s.first, p); ok && recipe.Function == "randNumeric" {
				return s.lookedInto(fmt.Errorf("%s: a number is generated: %w", manifest.IDOf(o), render.ErrInspected), p)
			}
		}
	}
	return nil
}

// numbersIn returns the placeholders in texts in the place of which another value has numbers.
func numbersIn(value, other any) (found []string) {
	switch v := value.(type) {
	case map[string]any:
		others, _ := other.(map[string]any)
		for key, below := range v {
			found = append(found, numbersIn(below, others[key])...)
		}
	case []any:
		others, _ := other.([]any)
		for i := 0; i < min(len(v), len(others)); i++ {
			found = append(found, numbersIn(v[i], others[i])...)
		}
	case string:
		if _, isNumber := other.(int64); isNumber {
			for _, p := range sealed.Find(v) {
				found = append(found, string(p))
			}
		}
	}
	return found
}

// addRecipes adds the placeholders of recipes.
func (p pairs) addRecipes(recipes []render.Recipe) {
	for _, r := range recipes {
		for _, placeholder := range r.Placeholders() {
			p.add(placeholder)
		}
	}
}

// keepUsedRecipes drops the recipes of values that the result does not have.
func keepUsedRecipes(r *render.Result) {
	used := map[string]bool{}
	for _, p := range sealed.Find(r.Release.Notes) {
		used[string(p)] = true
	}
	for _, o := range objectsIn(r) {
		for p := range placeholdersOf(o) {
			used[p] = true
		}
	}
	var kept []render.Recipe
	for _, recipe := range slices.Backward(r.Release.Recipes) {
		if used[recipe.Placeholder] || used[recipe.Key] {
			kept = append(kept, recipe)
			for _, p := range recipe.Needs() {
				used[string(p)] = true
			}
		}
	}
	slices.Reverse(kept)
	r.Release.Recipes = kept
}

// recipeProbe returns a text that stands for a generated value in another render. It has the letters that such a value
// may have, and is not shorter.
func recipeProbe(r render.Recipe, placeholder, probe string) string {
	args, err := r.Read(func(s string) (string, error) { return s, nil })
	switch {
	case err != nil:
		return probe
	case strings.HasPrefix(r.Function, "gen"):
		return probe[:len(probe)/2] + "\n" + probe[len(probe)/2:]
	case isPlain(r.Function):
		body := strings.ToUpper(placeholder[1+len(sealed.Mark):]) + placeholder[1+len(sealed.Mark):]
		return "N" + strings.Repeat(body, 1+args[0].(int)/len(body))[:max(sealed.Length, args[0].(int))-1]
	case r.Function == "randBytes":
		return strings.ReplaceAll(probe, "$", "/")
	}
	return probe
}

// sealedBundle reports whether a field caBundle has a placeholder in base64 that is not of a recipe.
func sealedBundle(o *manifest.Object, recipes pairs) bool {
	var found bool
	var walk func(v any, name string)
	walk = func(v any, name string) {
		switch v := v.(type) {
		case map[string]any:
			for key, below := range v {
				walk(below, key)
			}
		case []any:
			for _, item := range v {
				walk(item, "")
			}
		case string:
			if sealed.IsBase64(name) && len(sealed.Find(v)) == 0 {
				inBase64(v, func(text string) string {
					for _, p := range sealed.Find(text) {
						found = found || recipes[string(p)] == ""
					}
					return text
				})
			}
		}
	}
	walk(o.Object, "")
	return found
}

// maxOpened is how often a chart is rendered again because a template looks into generated values, before the hub
// generates all of them.
const maxOpened = 8

// render renders the chart, and settles the result. The cluster makes generated values, except for those that a
// template looks into. As long as there are such, the chart is rendered again.
func (s settling) render(ctx context.Context) (*render.Result, error) {
	in, sites := s.in, &generatingSites{known: map[string]bool{}, open: map[string]bool{}}
	for attempt := 0; ; attempt++ {
		s.in = sites.rewrite(in)
		result, err := s.renderOnce(ctx)
		if err == nil {
			keepUsedRecipes(result)
			result.Release.Asked.Cluster = sites.secret
			return result, s.addForms(ctx, in, result)
		}
		if ctx.Err() != nil || s.in.Generation == nil {
			return nil, err
		}
		if sites.openFor(err); attempt == maxOpened {
			sites.secret, sites.all = true, true
		}
	}
}

func (s settling) renderOnce(ctx context.Context) (*render.Result, error) {
	var err error
	if s.first, err = renderChart(ctx, s.engine, s.in, s.post); err != nil {
		return nil, s.failing(ctx, s.needsTypes(ctx, err))
	}
	return s.first, s.settle(ctx)
}

// newWatcher returns a watcher that knows which texts stand for generated values of letters and digits.
func (s settling) newWatcher(texts pairs, turned map[string]bool, lengths bool) *watcher {
	w := newWatcher(texts, turned, lengths)
	w.plain = map[string]bool{}
	for _, r := range s.first.Release.Recipes {
		if isPlain(r.Function) {
			w.plain[texts[r.Placeholder]] = true
		}
	}
	return w
}

// isPlain reports whether the values of a function are letters and digits.
func isPlain(function string) bool {
	return function == "randAlphaNum" || function == "randAlpha" || function == "randNumeric"
}

// probes returns the placeholders with texts that are like what they stand for.
func (s settling) probes(placeholders pairs) pairs {
	probes := placeholders.probes()
	for _, r := range s.first.Release.Recipes {
		for _, p := range r.Placeholders() {
			if probes[p] != "" {
				probes[p] = recipeProbe(r, p, probes[p])
			}
		}
	}
	return probes
}
