package generate

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// TestUnfit checks which values of the cluster stay, and which are made anew because they do not fit to the rest, or to
// what the chart asks for now.
func TestUnfit(t *testing.T) {
	const alias = "lmnopqrst"
	word := recipe("a", "randAlphaNum", `[8]`)
	hash := recipe("b", "bcrypt", `["`+word.Placeholder+`"]`)
	user := func(name string) bundle.Recipe {
		return recipe("c", "htpasswd", `["`+name+`","`+word.Placeholder+`"]`)
	}
	sum := recipe("d", "sha256sum", `["`+word.Placeholder+`"]`)
	key := recipe("e", "genPrivateKey", `["ecdsa"]`)
	ca := recipe("f", "genCAWithKey", `["ca",1,"`+key.Placeholder+`"]`)
	signed := func(addresses, names string) bundle.Recipe {
		return recipe("h", "genSignedCertWithKey", `["web",`+addresses+`,`+names+`,1,{"Cert":"`+ca.Placeholder+`","Key":"`+
			ca.Key+`"},"`+key.Placeholder+`"]`)
	}
	own := func(names string) bundle.Recipe {
		return recipe("j", "genSelfSignedCertWithKey", `["web",[],`+names+`,1,"`+key.Placeholder+`"]`)
	}
	values := func(recipes ...bundle.Recipe) map[sealed.Placeholder]string {
		known := map[sealed.Placeholder]string{}
		for _, r := range recipes {
			for i, value := range made(t, r, known) {
				known[sealed.Placeholder(r.Placeholders()[i])] = value
			}
		}
		return known
	}
	before := values(word, hash, user("web"), sum, key, ca, signed(`["10.0.0.1"]`, `["a.b","*.c.d"]`), own(`["a.b"]`))
	other := values(word, hash, user("web"), key, ca, signed(`[]`, `["x.y"]`), own(`["x.y"]`))
	at := func(values map[sealed.Placeholder]string, r bundle.Recipe) string {
		return values[sealed.Placeholder(r.Placeholder)]
	}
	for name, c := range map[string]struct {
		recipe bundle.Recipe
		value  string // that the cluster has for it; empty: that of before
		rotate bool   // the password
		lost   bool   // only the notes of a record have the password
		want   bool   // it stays
	}{
		"hash":             {recipe: hash, want: true},
		"hash_rotated":     {recipe: hash, rotate: true},
		"hash_of_another":  {recipe: hash, value: at(other, hash)},
		"hash_by_hand":     {recipe: hash, value: at(other, hash), lost: true, want: true},
		"hash_of_a_kind":   {recipe: hash, value: "$6$abc", rotate: true, want: true},
		"hash_was_text":    {recipe: hash, value: "password"},
		"user":             {recipe: user("web"), want: true},
		"user_rotated":     {recipe: user("web"), rotate: true},
		"user_renamed":     {recipe: user("admin")},
		"user_by_hand":     {recipe: user("web"), value: "me:{SHA}abc", want: true},
		"sum":              {recipe: sum, want: true},
		"sum_rotated":      {recipe: sum, rotate: true},
		"key":              {recipe: key, want: true},
		"key_by_hand":      {recipe: key, value: "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----", want: true},
		"key_was_text":     {recipe: key, value: "password"},
		"names":            {recipe: signed(`["10.0.0.1"]`, `["a.b","*.c.d"]`), want: true},
		"fewer_names":      {recipe: signed(`null`, `["e.c.d"]`), want: true},
		"another_name":     {recipe: signed(`null`, `["a.b","e.f"]`)},
		"another_address":  {recipe: signed(`["10.0.0.2"]`, `null`)},
		"names_by_hand":    {recipe: signed(`null`, `["e.f"]`), value: at(other, signed(`[]`, `[]`)), want: true},
		"no_certificate":   {recipe: signed(`null`, `["e.f"]`), value: "-----BEGIN X-----\n", want: true},
		"own":              {recipe: own(`["a.b"]`), want: true},
		"own_another_name": {recipe: own(`["e.f"]`)},
		"own_indented":     {recipe: own(`["e.f"]`), value: strings.ReplaceAll(at(before, own(`["a.b"]`)), "\n", "\n    ")},
		"own_of_an_empty":  {recipe: own(`[""]`), value: made(t, own(`[""]`), before)[0], want: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSearch([]bundle.Recipe{word, key, ca, c.recipe})
			for p, value := range before {
				s.found[p], s.held[p] = value, true
			}
			p := sealed.Placeholder(c.recipe.Placeholder)
			if c.value != "" {
				s.found[p] = c.value
			}
			if c.rotate {
				s.found[sealed.Placeholder(word.Placeholder)] = alias
			}
			s.held[sealed.Placeholder(word.Placeholder)] = !c.lost
			if err := s.dropUnfit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, stays := s.found[p]; stays != c.want || stays == (len(s.unused) > 0) {
				t.Errorf("stays: %v, unused %q", stays, s.unused)
			}
			if _, stays := s.found[sealed.Placeholder(word.Placeholder)]; !stays {
				t.Error("the password does not stay")
			}
		})
	}
}

// TestUnfit_notes rotates a hash by hand whose password only the notes of a record have.
func TestUnfit_notes(t *testing.T) {
	word := recipe("a", "randAlphaNum", `[8]`)
	hash := recipe("b", "htpasswd", `["web","`+word.Placeholder+`"]`)
	s := NewSearch([]bundle.Recipe{word, hash})
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {auth: " + "HASH}"
	notes := &manifest.Object{Object: map[string]any{"notes": word.Placeholder}}
	s.Add(notes)
	s.Add(object(t, strings.Replace(secret, "HASH", hash.Placeholder, 1)))
	rotated := made(t, recipe("c", "htpasswd", `["web","rotated"]`), nil)[0]
	live := object(t, strings.Replace(secret, "HASH", `"`+rotated+`"`, 1))
	s.Take(manifest.IDOf(live), live)
	old := &manifest.Object{Object: map[string]any{"notes": "abcdefgh"}}
	s.Take(manifest.IDOf(old), old)
	v, err := s.Values(t.Context())
	if err != nil || v.texts[sealed.Placeholder(hash.Placeholder)] != rotated {
		t.Error(v.texts, err)
	}
}
