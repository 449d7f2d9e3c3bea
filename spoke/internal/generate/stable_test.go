package generate

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// TestStable finds each value again in what the values were put into, whatever is around them. A value that is not
// found would be another one each time.
func TestStable(t *testing.T) {
	word := recipe("a", "randAlphaNum", `[12]`)
	ca := recipe("c", "genCA", `["ca",1]`)
	recipes := []bundle.Recipe{word, ca,
		recipe("e", "uuidv4", `[]`), recipe("f", "randAscii", `[40]`), recipe("g", "randBytes", `[7]`),
		recipe("h", "genPrivateKey", `["ecdsa"]`), recipe("i", "bcrypt", `["`+word.Placeholder+`"]`),
		recipe("j", "htpasswd", `["web","`+word.Placeholder+`"]`), recipe("k", "upper", `["`+word.Placeholder+`"]`),
		recipe("l", "trunc", `[-5,"`+word.Placeholder+`"]`), recipe("m", "lower", `["x-`+word.Placeholder+`"]`),
		recipe("n", "sha256sum", `["`+word.Placeholder+`"]`), recipe("o", "randNumeric", `[3]`)}
	var all []string
	for _, r := range recipes {
		all = append(all, r.Placeholders()...)
	}
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n"
	list := "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nx:\n"
	templates := map[string]string{
		"same name":      list + "- {name: a, v: w}\n- {name: a, v: " + all[0] + "}\n",
		"generated name": list + "- {name: " + all[0] + ", v: " + all[4] + "}\n- {name: b, v: " + all[5] + "}\n",
	}
	for _, separator := range []string{"", "-", ":", "=", "/", "\n", " ", "a", "0"} {
		for i, p := range all {
			q := all[(i+1)%len(all)]
			templates["pair "+p[:1]+separator] = secret + "  x: " + quoted(p+separator+q) + "\n"
			templates["repeated "+p[:1]+separator] = secret + "  x: " + quoted("u:"+p+separator+q+separator+p+"@h") + "\n"
		}
		templates["all"+separator] = secret + "  x: " + quoted(strings.Join(all, separator)) + "\n"
	}
	search := NewSearch(recipes)
	search.Add(object(t, templates["all"]))
	values, err := search.Values(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range templates {
		t.Run(name, func(t *testing.T) { checkStable(t, recipes, values, object(t, text)) })
	}
}

func quoted(text string) string { return `"` + strings.ReplaceAll(text, "\n", `\n`) + `"` }

func checkStable(t *testing.T, recipes []bundle.Recipe, values *Values, desired *manifest.Object) {
	t.Helper()
	live, err := sealed.FinishObject(desired, values.Find, nil)
	if err != nil {
		t.Fatal(err)
	}
	again := NewSearch(recipes)
	again.Add(desired)
	again.Take(manifest.IDOf(live), live)
	for p := range again.used {
		if found := again.found[p]; found != values.texts[p] {
			t.Errorf("%s: found %q, made %q", again.recipes[again.by[p]].Function, found, values.texts[p])
		}
	}
}
