package helm

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/sealed"
)

// inspection finds out which sealed value a render depends on, and where. It renders the chart with some values
// changed, and compares the results.
type inspection struct {
	settling
	generated []render.Generated
	disguise  func(pairs) pairs // returns the texts that stand for placeholders
	// naming is set if the value is in the name of an object. Otherwise it does not stay whole.
	naming bool
}

// explain adds the value, the place in a template, and the ways out to an ErrInspected. It adds what it can find.
func (s settling) explain(ctx context.Context, cause error, disguise func(pairs) pairs) error {
	i := inspection{settling: s, disguise: disguise}
	if third, err := s.again(ctx, nil, transparent); err == nil {
		i.generated, _ = differences(s.first, third)
	}
	for _, i.naming = range []bool{false, true} {
		if placeholder, found := i.value(ctx); found {
			return s.describe(cause, placeholder, i.place(ctx, placeholder))
		}
	}
	return cause
}

// explainHash is explain for a value of which a template makes a hash with chance in it.
func (s settling) explainHash(cause error, placeholder string) error {
	place := ""
	for _, f := range s.in.Files {
		if !isTemplate(f) {
			continue
		}
		eachNode(string(f.Data), func(n parse.Node) {
			call, ok := n.(*parse.IdentifierNode)
			if ok && place == "" && transparent[call.Ident] != "" && (strange[call.Ident] == "" || call.Ident == "shuffle") {
				place = placeOf(f, int(call.Pos), call.Ident)
			}
		})
	}
	return s.describe(cause, placeholder, place)
}

// describe adds what is known about the value to an error.
func (s settling) describe(cause error, placeholder, place string) error {
	if err := s.lookedInto(cause, placeholder); err != nil {
		return err
	}
	path, _ := pathIn(s.in.Values, nil, placeholder)
	cause = fmt.Errorf("%w: %sthe value %s", cause, place, sealed.RevealOf(path))
	if from, path, ok := s.sourceOf(placeholder); ok {
		return fmt.Errorf("%w of %s; if it is no secret, annotate the %s with %s: %s", cause, from, from.Kind,
			sealed.RevealAnnotation, path)
	}
	for _, v := range slices.Backward(s.build.ValuesFrom) {
		if v.Data == nil || !strings.Contains(*v.Data, placeholder) {
			continue
		}
		if v.TargetPath != "" {
			path = []string{v.Key}
		}
		return fmt.Errorf("%w of %s; if it is no secret, leave it unencrypted, or annotate the %s with %s: %s", cause,
			v.Input, v.Kind, sealed.RevealAnnotation, sealed.RevealOf(path))
	}
	return fmt.Errorf("%w of HelmRelease %s/%s; if it is no secret, leave it unencrypted", cause, s.build.Namespace,
		s.build.Name)
}

// pathIn returns the path of a text in values: keys and indexes.
func pathIn(value any, at []string, text string) (path []string, found bool) {
	below := func(value any, key string) bool {
		path, found = pathIn(value, append(slices.Clip(at), key), text)
		return found
	}
	switch value := value.(type) {
	case string:
		return at, strings.Contains(value, text)
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if below(value[key], key) {
				return path, true
			}
		}
	case []any:
		for i, item := range value {
			if below(item, strconv.Itoa(i)) {
				return path, true
			}
		}
	}
	return nil, false
}

// value returns the placeholder of the value.
func (i inspection) value(ctx context.Context) (placeholder string, found bool) {
	all := placeholdersIn(i.in.Values)
	all.addRecipes(i.first.Release.Recipes)
	return culprit(slices.Sorted(maps.Keys(all)), func(some []string) bool {
		chosen := pairs{}
		for _, p := range some {
			chosen[p] = all[p]
		}
		chosen = i.disguise(chosen)
		return i.changes(ctx, otherwise(i.in, chosen, nil), chosen)
	})
}

// place returns where a template reads the value, for messages; empty if that cannot be found.
func (i inspection) place(ctx context.Context, placeholder string) string {
	probe := i.disguise(pairs{placeholder: ""})
	found, ok := culprit(references(i.in.Files), func(some []reference) bool {
		in := i.in
		in.Files = slices.Clone(in.Files)
		for _, r := range slices.Backward(some) { // from the end, so that positions stay
			in.Files[r.file] = r.replaced(in.Files[r.file], placeholder, probe[placeholder])
		}
		return i.changes(ctx, in, probe)
	})
	if !ok {
		return ""
	}
	return placeOf(i.in.Files[found.file], found.at, found.text)
}

// placeOf returns a place in a file, for messages.
func placeOf(f File, at int, text string) string {
	line := 1 + strings.Count(string(f.Data[:at]), "\n")
	return fmt.Sprintf("%s, line %d, %s: ", f.Name, line, text)
}

// changes reports whether another render gives another result. In its input, texts stand for placeholders.
func (i inspection) changes(ctx context.Context, in Input, texts pairs) bool {
	other, err := renderChart(ctx, i.engine, in, i.post)
	if err != nil {
		return false
	}
	if i.naming {
		_, err := differences(i.first, other)
		return err != nil
	}
	fields, err := i.compare(other, texts)
	_, field := i.unexplained(fields, i.generated)
	return err != nil || field != ""
}

// culprit returns the last of all that alone causes a change, in a number of tests that is the logarithm of the number
// of all. If there is none, or if only several together cause a change, culprit returns false.
func culprit[T any](all []T, changes func([]T) bool) (found T, ok bool) {
	if len(all) == 0 || !changes(all) {
		return found, false
	}
	for len(all) > 1 {
		half := len(all) / 2
		if changes(all[half:]) {
			all = all[half:]
		} else {
			all = all[:half]
		}
	}
	return all[0], changes(all)
}

// reference is a value that a template reads, such as .Values.password.
type reference struct {
	file int // index of the file in the chart
	at   int // where the text begins
	text string
}

// references returns the references in templates, in the order of the text.
func references(files []File) (found []reference) {
	for i, f := range files {
		if !isTemplate(f) {
			continue
		}
		from := len(found)
		eachNode(string(f.Data), func(n parse.Node) {
			if c, ok := n.(*parse.CommandNode); ok {
				found = append(found, referencesIn(c, i, string(f.Data))...)
			}
		})
		slices.SortFunc(found[from:], func(a, b reference) int { return a.at - b.at })
	}
	return found
}

// referencesIn returns the references among the words of a command.
func referencesIn(c *parse.CommandNode, file int, text string) (found []reference) {
	for i, arg := range c.Args {
		first := ""
		switch n := arg.(type) {
		case *parse.FieldNode:
			first = "." + n.Ident[0]
		case *parse.VariableNode:
			first = n.Ident[0]
		case *parse.DotNode:
			if call, ok := c.Args[0].(*parse.IdentifierNode); ok && (call.Ident == "include" || call.Ident == "tpl") {
				continue // mostly all that templates see
			}
			first = "."
		}
		if first == "" || arg.String() == "$" || i == 0 && len(c.Args) > 1 { // a method with arguments
			continue
		}
		at := int(arg.Position())
		if !strings.HasPrefix(text[at:], arg.String()) {
			at = max(0, at-len(first)) // the position is that of the second word
		}
		if strings.HasPrefix(text[at:], arg.String()) {
			found = append(found, reference{file, at, arg.String()})
		}
	}
	return found
}

// replaced returns a template that replaces a text by another one wherever it is in what the reference refers to. All
// that templates see stays as it is: it would lose its methods, and as JSON it may be large.
func (r reference) replaced(f File, from, to string) File {
	asJSON := "(list " + r.text + " | toJson)"
	changed := fmt.Sprintf(`(or (and (not (and (kindIs "map" %s) (index %s "Capabilities"))) (contains %q %s) `+
		`(not (contains "\"Capabilities\":" %s)) (%s | replace %q %q | fromJsonArray | first)) %s)`,
		r.text, r.text, from, asJSON, asJSON, asJSON, from, to, r.text)
	text := string(f.Data)
	return File{f.Name, []byte(text[:r.at] + changed + text[r.at+len(r.text):])}
}

// isTemplate reports whether a file is a template.
func isTemplate(f File) bool { return strings.Contains("/"+f.Name, "/templates/") }
