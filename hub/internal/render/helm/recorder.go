package helm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"

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
	text := func(i int) string { s, _ := shown[i].(string); return s }
	switch {
	case strings.HasPrefix(function, "rand") && len(shown) == 1:
		n, isNumber := shown[0].(json.Number)
		count, err := n.Int64()
		return "", isNumber && err == nil && count <= 0
	case function != "bcrypt" && function != "htpasswd" || r.isOf(data):
		return "", false
	case r.transparent:
		return "~" + fmt.Sprint(shown...), true
	case function == "bcrypt" && len(shown) == 1:
		return hashed1(text(0)), true
	case function == "htpasswd" && len(shown) == 2 && strings.Contains(text(0), ":"):
		return "invalid username: " + text(0), true
	case function == "htpasswd" && len(shown) == 2:
		return text(0) + ":" + hashed1(text(1)), true
	}
	return "", false
}

// hashed1 returns the hash of a password as Helm's function bcrypt does.
func hashed1(password string) string {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return fmt.Sprintf("failed to encrypt string with bcrypt: %s", err)
	}
	return string(hash)
}

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
