package bundle

import (
	"errors"
	"strings"
	"testing"
)

func placeholderNamed(c string) string { return c + "0sealed0aaaaaaaaaaaaaaaaaaaaaaaaaa" }

func TestRecipe_check(t *testing.T) {
	for name, c := range map[string]struct {
		function, args string
		want           string // of the error; empty: none
	}{
		"text":          {"randAlphaNum", `[16]`, ""},
		"no_arguments":  {"uuidv4", `[]`, ""},
		"lists":         {"genSelfSignedCert", `["a",["1.2.3.4","::1"],null,1]`, ""},
		"authority":     {"genSignedCert", `["a",null,["b"],1,{"Cert":"x","Key":"y"}]`, ""},
		"function":      {"env", `["HOME"]`, `function "env" is not known`},
		"count":         {"randAlphaNum", `[1,2]`, "want 1 arguments"},
		"no_list":       {"randAlphaNum", `{}`, "want 1 arguments"},
		"too_long":      {"randAlphaNum", `[5000]`, "want a number from 1 to 4096"},
		"null_number":   {"randAlphaNum", `[null]`, "want a number"},
		"fraction":      {"randAlphaNum", `[1.5]`, "want a number"},
		"null_text":     {"bcrypt", `[null]`, "want a text"},
		"null_pair":     {"genSignedCert", `["a",null,null,1,null]`, "want a certificate with its key"},
		"address":       {"genSelfSignedCert", `["a",["x"],null,1]`, `"x" is no IP address`},
		"list_of_lists": {"genSelfSignedCert", `["a",[[]],null,1]`, "want a list of texts"},
		"kind_of_key":   {"genPrivateKey", `["rot13"]`, `type of key "rot13" is not known`},
		"user":          {"htpasswd", `["a:b","c"]`, "has no colon"},
		"large":         {"bcrypt", `["` + strings.Repeat("x", maxArguments) + `"]`, "the limit is"},
	} {
		r := Recipe{Placeholder: placeholderNamed("a"), Function: c.function, Arguments: []byte(c.args)}
		if IsPair(c.function) {
			r.Key = placeholderNamed("b")
		}
		err := r.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecipes_check(t *testing.T) {
	ca := Recipe{Placeholder: placeholderNamed("a"), Key: placeholderNamed("b"), Function: "genCA",
		Arguments: []byte(`["ca",1]`)}
	hash := Recipe{Placeholder: placeholderNamed("c"), Function: "bcrypt",
		Arguments: []byte(`["` + placeholderNamed("b") + `"]`)}
	many := func(n int, r Recipe) []Recipe {
		all := make([]Recipe, n)
		for i := range all {
			all[i] = r
			all[i].Placeholder = strings.Replace(placeholderNamed("c"), "aaaaaa",
				string([]byte{'a' + byte(i%26), 'a' + byte(i/26%26), 'a' + byte(i/676)})+"aaa", 1)
		}
		return all
	}
	key := Recipe{Function: "genPrivateKey", Arguments: []byte(`["ecdsa"]`)}
	for name, c := range map[string]struct {
		recipes []Recipe
		want    string
	}{
		"in_order":     {[]Recipe{ca, hash}, ""},
		"later":        {[]Recipe{hash, ca}, "is of no earlier recipe"},
		"itself":       {[]Recipe{{Placeholder: hash.Placeholder, Function: "bcrypt", Arguments: []byte(`["` + hash.Placeholder + `"]`)}}, "no earlier"},
		"twice":        {[]Recipe{ca, ca}, "listed twice"},
		"malformed":    {[]Recipe{{Placeholder: "x", Function: "uuidv4", Arguments: []byte(`[]`)}}, "malformed"},
		"lacks_a_key":  {[]Recipe{{Placeholder: ca.Placeholder, Function: "genCA", Arguments: ca.Arguments}}, "a certificate has a key"},
		"has_a_key":    {[]Recipe{{Placeholder: ca.Placeholder, Key: ca.Key, Function: "uuidv4", Arguments: []byte(`[]`)}}, "a certificate has a key"},
		"many":         {many(maxRecipes+1, Recipe{Function: "uuidv4", Arguments: []byte(`[]`)}), "the limit is 1000"},
		"many_keys":    {many(maxKeys+1, key), "the limit is 64"},
		"sealed_twice": {[]Recipe{{Placeholder: placeholderNamed("s"), Function: "uuidv4", Arguments: []byte(`[]`)}}, "listed twice"},
	} {
		a := Application{Release: &Release{Recipes: c.recipes},
			SealedFiles: []SealedFile{{Values: []SealedValue{{Placeholder: placeholderNamed("s")}}}}}
		err := a.checkRecipes()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecipe_string(t *testing.T) {
	for want, r := range map[string]Recipe{
		"randAlphaNum 16": {Function: "randAlphaNum", Arguments: []byte(`[16]`)},
		"htpasswd u …":    {Function: "htpasswd", Arguments: []byte(`["u","` + placeholderNamed("a") + `"]`)},
		"uuidv4":          {Function: "uuidv4", Arguments: []byte(`[]`)},
		"genCA ca 365":    {Function: "genCA", Arguments: []byte(`["ca",365]`)},
	} {
		if got := r.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// FuzzRecipe checks that a recipe is refused or can be read, whatever it says.
func FuzzRecipe(f *testing.F) {
	f.Add("randAlphaNum", `[16]`)
	f.Add("genSignedCert", `["a",["1.2.3.4"],null,1,{"Cert":"x","Key":"y"}]`)
	f.Add("trunc", `[-3,"`+placeholderNamed("a")+`"]`)
	f.Fuzz(func(t *testing.T, function, args string) {
		r := Recipe{Placeholder: placeholderNamed("a"), Function: function, Arguments: []byte(args)}
		if IsPair(function) {
			r.Key = placeholderNamed("b")
		}
		_ = r.String()
		if r.Check() != nil {
			return
		}
		refused := errors.New("refused")
		if _, err := r.Read(func(string) (string, error) { return "", refused }); err != nil && !errors.Is(err, refused) {
			t.Error(err)
		}
		if _, err := r.Read(func(s string) (string, error) { return s, nil }); err != nil {
			t.Error(err)
		}
	})
}
