package helm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/sprig/v3"

	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

// recipeSalt makes the placeholders of recipes.
var recipeSalt = sealed.NewSalt([]byte("nave recipes"))

// Generation is how calls that generate values are answered. The zero Generation gives placeholders.
type Generation struct {
	show func(string) string // returns what stands for placeholders in this render; nil: they do
	hide func(string) string // undoes show
	// transparent gives the password in place of its hash with chance in it.
	transparent bool
	steady      string // what each call gives; empty: a placeholder
}

// recorder answers the calls of one render that generate.
type recorder struct {
	Generation
	recipes []render.Recipe
	made    map[sealed.Placeholder]bool
	calls   map[string]int // how often, by function and arguments
}

func newRecorder(g *Generation) *recorder {
	return &recorder{Generation: *g, made: map[sealed.Placeholder]bool{}, calls: map[string]int{}}
}

// errNoRecipe is the error of a call that the cluster cannot carry out. The chart is rendered again without recipes.
var errNoRecipe = errors.New("there is no recipe for such a value")

// Generate answers a call that generates.
func (c calls) Generate(site, function string, args ...any) (any, error) {
	if c.record == nil {
		return nil, errNoRecipe
	}
	return c.record.answer(site, function, args)
}

// answer returns the result of a call: a text, or a map with Cert and Key.
func (r *recorder) answer(site, function string, args []any) (any, error) {
	switch {
	case r.steady != "" && bundle.IsPair(function):
		return map[string]any{"Cert": r.steady, "Key": r.steady}, nil
	case r.steady != "":
		return r.steady, nil
	}
	encoded, err := marshalArguments(args)
	if err != nil {
		return nil, errNoRecipe
	}
	var shown []any
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	if decoder.Decode(&shown) != nil {
		return nil, errNoRecipe
	}
	if r.hide != nil {
		encoded, err = marshalArguments(mapTexts(shown, false, r.hide).([]any))
	}
	if err != nil {
		return nil, errNoRecipe
	}
	if value, simple := r.simple(function, shown, encoded); simple {
		return value, nil
	}
	return r.record(site, bundle.Recipe{Function: function, Arguments: encoded})
}

// marshalArguments returns arguments as JSON, with the characters of HTML as they are.
func marshalArguments(args []any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(args)
	return bytes.TrimSpace(b.Bytes()), err
}

// simple returns the result of a call that needs no recipe: an empty text, or a hash of what the hub may know.
func (r *recorder) simple(function string, shown []any, data []byte) (value string, simple bool) {
	if strings.HasPrefix(function, "rand") && len(shown) == 1 {
		n, isNumber := shown[0].(json.Number)
		count, err := n.Int64()
		return "", isNumber && err == nil && count <= 0
	}
	if function != "bcrypt" && function != "htpasswd" || r.isOf(data) {
		return "", false
	}
	texts := make([]string, len(shown))
	for i := range shown {
		var isText bool
		if texts[i], isText = shown[i].(string); !isText {
			return "", false // record refuses it, and Helm does
		}
	}
	switch {
	case r.transparent:
		return "~" + fmt.Sprint(shown...), true
	case function == "bcrypt" && len(texts) == 1:
		return bcrypt(texts[0]), true
	case function == "htpasswd" && len(texts) == 2:
		return htpasswd(texts[0], texts[1]), true
	}
	return "", false
}

// Functions of sprig that hash passwords.
var (
	bcrypt   = sprig.TxtFuncMap()["bcrypt"].(func(string) string)
	htpasswd = sprig.TxtFuncMap()["htpasswd"].(func(user, password string) string)
)

// isOf reports whether arguments hold a placeholder of a recipe.
func (r *recorder) isOf(data []byte) bool {
	return slices.ContainsFunc(sealed.Find(string(data)), func(p sealed.Placeholder) bool { return r.made[p] })
}

// record notes a recipe, unless the same call of a function without chance has one.
func (r *recorder) record(site string, recipe bundle.Recipe) (any, error) {
	for _, p := range recipe.Needs() {
		if !r.made[p] {
			return nil, errNoRecipe // a sealed value, which may change
		}
	}
	if sealed.Partial(string(recipe.Arguments)) {
		return nil, errNoRecipe
	}
	call := recipe.Function + string(recipe.Arguments)
	path := []string{strconv.Itoa(r.calls[call])}
	same := onlyAfter[recipe.Function] || recipe.Function == "bcrypt" || recipe.Function == "htpasswd"
	isNew := !same || r.calls[call] == 0
	if same {
		path = nil
	}
	r.calls[call]++
	recipe.Placeholder = string(recipeSalt.Placeholder(call, path))
	if bundle.IsPair(recipe.Function) {
		recipe.Key = string(recipeSalt.Placeholder(call, append(path, "key")))
	}
	if err := recipe.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoRecipe, err)
	}
	if isNew {
		r.recipes = append(r.recipes, render.Recipe{Recipe: recipe, Site: site})
	}
	for _, p := range recipe.Placeholders() {
		r.made[sealed.Placeholder(p)] = true
	}
	if recipe.Key == "" {
		return r.shown(recipe.Placeholder), nil
	}
	return map[string]any{"Cert": r.shown(recipe.Placeholder), "Key": r.shown(recipe.Key)}, nil
}

func (r *recorder) shown(placeholder string) string {
	if r.show == nil {
		return placeholder
	}
	return r.show(placeholder)
}
