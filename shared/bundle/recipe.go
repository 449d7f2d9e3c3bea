package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/sealed"
)

// Recipe says how a spoke makes a value that only its cluster may have, such as a password. A placeholder stands for
// the value in the objects of a release.
type Recipe struct {
	Placeholder string // of the value. Of a certificate with its private key: of the certificate
	Key         string // placeholder of the private key; empty: there is none
	Function    string // as templates of Helm name it
	// Arguments are a JSON list. Texts in it may hold placeholders of earlier recipes.
	Arguments []byte
}

// Certificate is a certificate with its private key, as an argument of a Recipe. Both are PEM.
type Certificate struct{ Cert, Key string }

// The limits of the recipes of one release.
const (
	maxRecipes         = 1000
	maxKeys            = 64 // private keys, which take time to make
	maxArguments       = 64 << 10
	maxAllArguments    = 512 << 10
	maxGeneratedLength = 4096 // characters of one text
	maxDays            = 36_500
)

// recipeFunctions are the functions of recipes, each with a letter for each argument: n the length of a text, t a
// number of characters, d a number of days, s a text, u the name of a user, k a type of key, i addresses, a names, c a
// Certificate.
var recipeFunctions = map[string]string{
	"randAlphaNum": "n", "randAlpha": "n", "randNumeric": "n", "randAscii": "n", "randBytes": "n", "uuidv4": "",
	"bcrypt": "s", "htpasswd": "us", "genPrivateKey": "k",
	"genCA": "sd", "genCAWithKey": "sds",
	"genSelfSignedCert": "siad", "genSelfSignedCertWithKey": "siads",
	"genSignedCert": "siadc", "genSignedCertWithKey": "siadcs",
	"lower": "s", "upper": "s", "trunc": "ts", "sha1sum": "s", "sha256sum": "s", "sha512sum": "s",
}

// IsRecipe reports whether a Recipe may have a function.
func IsRecipe(function string) bool {
	_, is := recipeFunctions[function]
	return is
}

// IsPair reports whether a function makes a certificate with its private key.
func IsPair(function string) bool {
	return strings.HasPrefix(function, "gen") && function != "genPrivateKey"
}

// Placeholders returns the placeholders of what the recipe makes.
func (r Recipe) Placeholders() []string {
	if r.Key == "" {
		return []string{r.Placeholder}
	}
	return []string{r.Placeholder, r.Key}
}

// Needs returns the placeholders in the arguments.
func (r Recipe) Needs() []sealed.Placeholder { return sealed.Find(string(r.Arguments)) }

// String describes the recipe for people, such as "randAlphaNum 16". It is no secret.
func (r Recipe) String() string {
	var args []any
	_ = json.Unmarshal(r.Arguments, &args) // a recipe that cannot be read has no arguments
	words := []string{r.Function}
	for _, arg := range args {
		switch arg := arg.(type) {
		case float64:
			words = append(words, fmt.Sprint(arg))
		case string:
			if strings.Contains(arg, sealed.Mark) || strings.Contains(arg, "\n") || len(arg) > 64 {
				words = append(words, "…")
			} else {
				words = append(words, arg)
			}
		}
	}
	return strings.Join(words, " ")
}

// Read returns the arguments: a number as an int, a text as a string, a list as a []string, and a Certificate. Each
// text is what fill returns for it. Errors quote no text.
func (r Recipe) Read(fill func(string) (string, error)) (args []any, err error) {
	letters, known := recipeFunctions[r.Function]
	if !known {
		return nil, fmt.Errorf("function %.64q is not known", r.Function)
	}
	var raw []json.RawMessage
	if json.Unmarshal(r.Arguments, &raw) != nil || len(raw) != len(letters) {
		return nil, fmt.Errorf("%s: want %d arguments", r.Function, len(letters))
	}
	for i, text := range raw {
		arg, err := readArgument(letters[i], text, fill)
		if err != nil {
			return nil, fmt.Errorf("%s: argument %d: %w", r.Function, i+1, err)
		}
		args = append(args, arg)
	}
	return args, nil
}

func readArgument(letter byte, text json.RawMessage, fill func(string) (string, error)) (any, error) {
	switch letter {
	case 'n', 't', 'd':
		return readNumber(letter, text)
	case 'i', 'a':
		return readList(text, fill)
	case 'c':
		var c Certificate
		if json.Unmarshal(text, &c) != nil || c.Cert == "" || c.Key == "" {
			return nil, errors.New("want a certificate with its key")
		}
		var certErr, keyErr error
		c.Cert, certErr = fill(c.Cert)
		c.Key, keyErr = fill(c.Key)
		return c, errors.Join(certErr, keyErr)
	}
	var s string
	if bytes.Equal(text, []byte("null")) || json.Unmarshal(text, &s) != nil {
		return nil, errors.New("want a text")
	}
	return fill(s)
}

func readNumber(letter byte, text json.RawMessage) (any, error) {
	limits := map[byte][2]int{'n': {1, maxGeneratedLength}, 't': {-math.MaxInt32, math.MaxInt32},
		'd': {-maxDays, maxDays}}[letter]
	var n int
	if bytes.Equal(text, []byte("null")) || json.Unmarshal(text, &n) != nil || n < limits[0] || n > limits[1] {
		return nil, fmt.Errorf("want a number from %d to %d", limits[0], limits[1])
	}
	return n, nil
}

func readList(text json.RawMessage, fill func(string) (string, error)) (any, error) {
	var list []string
	if json.Unmarshal(text, &list) != nil {
		return nil, errors.New("want a list of texts")
	}
	for i := range list {
		var err error
		if list[i], err = fill(list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Check returns an error unless a spoke can carry the recipe out.
func (r Recipe) Check() error {
	for _, p := range r.Placeholders() {
		if !sealed.Placeholder(p).Valid() {
			return fmt.Errorf("placeholder %.64q is malformed", p)
		}
	}
	if IsPair(r.Function) != (r.Key != "") {
		return fmt.Errorf("%.64s: a certificate has a key, and nothing else has one", r.Function)
	}
	if err := fits("a recipe", "bytes", len(r.Arguments), maxArguments); err != nil {
		return err
	}
	args, err := r.Read(func(s string) (string, error) { return s, nil })
	if err != nil {
		return err
	}
	for i, arg := range args {
		if err := checkArgument(recipeFunctions[r.Function][i], arg); err != nil {
			return fmt.Errorf("%s: argument %d: %w", r.Function, i+1, err)
		}
	}
	return nil
}

// checkArgument returns an error for an argument that a function refuses, as far as it holds no placeholder.
func checkArgument(letter byte, arg any) error {
	switch text, _ := arg.(string); letter {
	case 'u':
		if strings.Contains(text, ":") {
			return errors.New("the name of a user has no colon")
		}
	case 'k':
		if !slices.Contains([]string{"", "rsa", "dsa", "ecdsa", "ed25519"}, text) {
			return fmt.Errorf("type of key %.64q is not known", text)
		}
	case 'i':
		for _, address := range arg.([]string) {
			if _, err := netip.ParseAddr(address); err != nil {
				return fmt.Errorf("%.64q is no IP address", address)
			}
		}
	}
	return nil
}

// checkRecipes returns an error unless all recipes can be carried out in their order.
func (a *Application) checkRecipes() error {
	taken, earlier := map[string]bool{}, map[string]bool{}
	for _, f := range a.SealedFiles {
		for _, v := range f.Values {
			taken[v.Placeholder] = true
		}
	}
	keys, size := 0, 0
	for i, r := range a.Release.Recipes {
		if err := r.Check(); err != nil {
			return fmt.Errorf("recipes[%d]: %w", i, err)
		}
		for _, p := range r.Needs() {
			if !earlier[string(p)] {
				return fmt.Errorf("recipes[%d]: placeholder %s is of no earlier recipe", i, p)
			}
		}
		for _, p := range r.Placeholders() {
			if taken[p] {
				return fmt.Errorf("recipes[%d]: placeholder %s: listed twice", i, p)
			}
			taken[p], earlier[p] = true, true
		}
		if size += len(r.Arguments); strings.HasPrefix(r.Function, "gen") {
			keys++
		}
	}
	return errors.Join(fits("the release", "recipes", len(a.Release.Recipes), maxRecipes),
		fits("the release", "private keys to make", keys, maxKeys),
		fits("the release", "bytes of recipes", size, maxAllArguments))
}

func (r Recipe) message() *bundlev1.Recipe {
	return &bundlev1.Recipe{Placeholder: r.Placeholder, Key: r.Key, Function: r.Function, Arguments: r.Arguments}
}

func recipeOf(m *bundlev1.Recipe) (Recipe, error) {
	return Recipe{Placeholder: m.GetPlaceholder(), Key: m.GetKey(), Function: m.GetFunction(),
		Arguments: m.GetArguments()}, nil
}
