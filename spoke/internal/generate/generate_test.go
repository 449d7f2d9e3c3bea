package generate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// placeholder returns one of the placeholders of these tests.
func placeholder(name string) string {
	return name + sealed.Mark + strings.Repeat("a", sealed.Length-1-len(sealed.Mark))
}

func recipe(name, function, args string) bundle.Recipe {
	r := bundle.Recipe{Placeholder: placeholder(name), Function: function, Arguments: []byte(args)}
	if bundle.IsPair(function) {
		r.Key = placeholder(strings.ToLower(string(name[0] + 1)))
	}
	return r
}

// made carries a recipe out.
func made(t *testing.T, r bundle.Recipe, known map[sealed.Placeholder]string) []string {
	t.Helper()
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	values, err := makeValue(r, known)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func TestMake_text(t *testing.T) {
	p := sealed.Placeholder(placeholder("a"))
	for name, c := range map[string]struct {
		recipe bundle.Recipe
		want   string // a regular expression
	}{
		"alpha_num":  {recipe("b", "randAlphaNum", `[40]`), `[0-9A-Za-z]{40}`},
		"alpha":      {recipe("b", "randAlpha", `[40]`), `[A-Za-z]{40}`},
		"numeric":    {recipe("b", "randNumeric", `[6]`), `[0-9]{6}`},
		"ascii":      {recipe("b", "randAscii", `[400]`), `[ -~]{400}`},
		"bytes":      {recipe("b", "randBytes", `[3]`), `[0-9A-Za-z+/]{4}`},
		"uuid":       {recipe("b", "uuidv4", `[]`), `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`},
		"lower":      {recipe("b", "lower", `["A`+string(p)+`"]`), `asecret`},
		"upper":      {recipe("b", "upper", `["`+string(p)+`"]`), `SECRET`},
		"trunc":      {recipe("b", "trunc", `[3,"`+string(p)+`"]`), `SeC`},
		"trunc_end":  {recipe("b", "trunc", `[-2,"`+string(p)+`"]`), `et`},
		"trunc_long": {recipe("b", "trunc", `[99,"`+string(p)+`"]`), `SeCret`},
		"sha1":       {recipe("b", "sha1sum", `["`+string(p)+`"]`), `[0-9a-f]{40}`},
		"sha256":     {recipe("b", "sha256sum", `["`+string(p)+`"]`), `[0-9a-f]{64}`},
		"sha512":     {recipe("b", "sha512sum", `["`+string(p)+`"]`), `[0-9a-f]{128}`},
		"ecdsa":      {recipe("b", "genPrivateKey", `["ecdsa"]`), `(?s)-----BEGIN EC PRIVATE KEY-----.*`},
		"ed25519":    {recipe("b", "genPrivateKey", `["ed25519"]`), `(?s)-----BEGIN PRIVATE KEY-----.*`},
	} {
		t.Run(name, func(t *testing.T) {
			known := map[sealed.Placeholder]string{p: "SeCret"}
			got := made(t, c.recipe, known)
			if len(got) != 1 || !regexp.MustCompile(`^(`+c.want+`)$`).MatchString(got[0]) {
				t.Errorf("%q, want %s", got, c.want)
			}
			if strings.HasPrefix(c.recipe.Function, "rand") && made(t, c.recipe, known)[0] == got[0] && len(got[0]) > 6 {
				t.Error("twice the same")
			}
		})
	}
}

// TestMake_hash checks the hashes of passwords.
func TestMake_hash(t *testing.T) {
	known := map[sealed.Placeholder]string{sealed.Placeholder(placeholder("a")): "secret"}
	plain := made(t, recipe("b", "bcrypt", `["`+placeholder("a")+`"]`), known)[0]
	user := made(t, recipe("b", "htpasswd", `["u","`+placeholder("a")+`"]`), known)[0]
	hash, ok := strings.CutPrefix(user, "u:")
	for _, hash := range []string{plain, hash} {
		if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte("secret")); err != nil || !ok {
			t.Error(err)
		}
	}
}

// TestMake_keys reads RSA and DSA keys.
func TestMake_keys(t *testing.T) {
	if testing.Short() {
		t.Skip("makes large keys")
	}
	block, _ := pem.Decode([]byte(made(t, recipe("b", "genPrivateKey", `["rsa"]`), nil)[0]))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil || key.N.BitLen() != keyBits {
		t.Error(err)
	}
	if block, _ = pem.Decode([]byte(made(t, recipe("b", "genPrivateKey", `["dsa"]`), nil)[0])); block.Type != "DSA PRIVATE KEY" {
		t.Error(block.Type)
	}
}

// certificateOf reads a certificate and checks that the key fits.
func certificateOf(t *testing.T, pair []string) *x509.Certificate {
	t.Helper()
	if _, err := tls.X509KeyPair([]byte(pair[0]), []byte(pair[1])); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(pair[0]))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestMake_certificates checks certificates as Helm makes them.
func TestMake_certificates(t *testing.T) {
	known := map[sealed.Placeholder]string{}
	keep := func(r bundle.Recipe) []string {
		values := made(t, r, known)
		for i, p := range r.Placeholders() {
			known[sealed.Placeholder(p)] = values[i]
		}
		return values
	}
	ca := certificateOf(t, keep(recipe("a", "genCA", `["ca",365]`)))
	pair := `{"Cert":"` + placeholder("a") + `","Key":"` + placeholder("b") + `"}`
	signed := certificateOf(t, keep(recipe("c", "genSignedCert", `["web",["10.0.0.1"],["a.b"],10,`+pair+`]`)))
	keep(recipe("e", "genPrivateKey", `["ecdsa"]`))
	own := certificateOf(t, keep(recipe("f", "genSelfSignedCertWithKey", `["own",null,["c.d"],1,"`+placeholder("e")+`"]`)))
	otherCA := certificateOf(t, keep(recipe("h", "genCAWithKey", `["other",1,"`+placeholder("e")+`"]`)))
	withKey := certificateOf(t, keep(recipe("j", "genSignedCertWithKey", `["x",null,null,1,`+pair+`,"`+placeholder("e")+`"]`)))
	self := certificateOf(t, keep(recipe("l", "genSelfSignedCert", `["self",null,null,-1]`)))
	switch {
	case !ca.IsCA || ca.Subject.CommonName != "ca" || !otherCA.IsCA:
		t.Error("no authority")
	case ca.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageKeyEncipherment|x509.KeyUsageDigitalSignature:
		t.Error("key usage", ca.KeyUsage)
	case signed.CheckSignatureFrom(ca) != nil || withKey.CheckSignatureFrom(ca) != nil:
		t.Error("not signed by the authority")
	case !signed.IPAddresses[0].Equal(net.ParseIP("10.0.0.1")) || signed.DNSNames[0] != "a.b" || own.DNSNames[0] != "c.d":
		t.Error("other names")
	case len(signed.ExtKeyUsage) != 2 || signed.IsCA:
		t.Error("extended key usage", signed.ExtKeyUsage)
	case signed.NotAfter.Sub(signed.NotBefore) != 240*time.Hour || !self.NotAfter.Before(time.Now()):
		t.Error("validity", signed.NotAfter)
	}
}

// TestMake_refused checks that errors quote no value.
func TestMake_refused(t *testing.T) {
	known := map[sealed.Placeholder]string{sealed.Placeholder(placeholder("a")): "hidden" + strings.Repeat("x", 80)}
	pair := `{"Cert":"` + placeholder("a") + `","Key":"` + placeholder("a") + `"}`
	for name, r := range map[string]bundle.Recipe{
		"long":      recipe("b", "bcrypt", `["`+placeholder("a")+`"]`),
		"authority": recipe("b", "genSignedCert", `["a",null,null,1,`+pair+`]`),
		"key":       recipe("b", "genCAWithKey", `["a",1,"`+placeholder("a")+`"]`),
		"unknown":   recipe("b", "lower", `["`+placeholder("z")+`"]`),
		"filled":    recipe("b", "lower", `["`+strings.Repeat(placeholder("a"), 1000)+`"]`),
	} {
		if _, err := makeValue(r, known); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func object(t *testing.T, text string) *manifest.Object {
	t.Helper()
	objects, err := manifest.Parse([]byte(text))
	if err != nil || len(objects) != 1 {
		t.Fatal(err)
	}
	return objects[0]
}

// TestTake checks what is found of a value in the cluster.
func TestTake(t *testing.T) {
	p, q := placeholder("p"), placeholder("q")
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"
	config := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	for name, c := range map[string]struct {
		desired, live string
		want          string // of p, and of q after a space
	}{
		"whole":       {config + "data: {x: " + p + "}", config + "data: {x: any text}", "any text"},
		"string_data": {secret + "stringData: {x: " + p + "}", secret + "data: {x: " + encode("s") + "}", "s"},
		"same_form":   {secret + "stringData: {x: " + p + "}", secret + "stringData: {x: s}", "s"},
		"data":        {secret + "data: {x: " + encode(p) + "}", secret + "data: {x: " + encode("s") + "}", "s"},
		"in_data":     {secret + "data: {x: " + encode("a"+p+"b") + "}", secret + "data: {x: " + encode("asb") + "}", "s"},
		"bare_base64": {secret + "data: {x: " + p + "}", secret + "data: {x: " + encode("s") + "}", encode("s")},
		"part":        {config + "data: {x: u:" + p + "@h}", config + "data: {x: u:s@h}", "s"},
		"other_end":   {config + "data: {x: db:u:" + p + "@h}", config + "data: {x: db:u:s@g}", "s"},
		"other_begin": {config + "data: {x: u:" + p + "@h}", config + "data: {x: v:s@h}", ""},
		"no_letters":  {config + "data: {x: u:" + p + "@h}", config + "data: {x: u:$.@h}", ""},
		"twice":       {config + "data: {x: " + p + ":" + p + "}", config + "data: {x: s:s}", "s"},
		"not_equal":   {config + "data: {x: " + p + ":" + p + "}", config + "data: {x: s:r}", ""},
		"two":         {config + "data: {x: " + p + ":" + q + "}", config + "data: {x: s:r}", "s r"},
		"adjoining":   {config + "data: {x: " + p + q + "}", config + "data: {x: sr}", ""},
		"adjoining_8": {config + "data: {x: " + p + q + "}", config + "data: {x: abcdefghABCDEFGH}", "abcdefgh ABCDEFGH"},
		"like_lines": {config + "data: {x: \"a:\\n  k: " + p + "\\nb:\\n  k: " + q + "\\nc\"}",
			config + "data: {x: \"a:\\n  k: s\\nb:\\n  k: r\"}", "s r"},
		"more_like_lines": {config + "data: {x: \"a:\\n  k: " + p + "\\nb:\\n  k: " + q + "\\nc\"}",
			config + "data: {x: \"b:\\n  k: r\"}", ""},
		"like_fixed_line": {config + "data: {x: \"a:\\n  k: fixed\\nb:\\n  k: " + p + "\\nc\"}",
			config + "data: {x: \"a:\\n  k: fixed\\nb:\\n  k: s\"}", "s"},
		"line":         {config + "data: {x: \"a\\n  k: " + p + "\\nb\"}", config + "data: {x: \"c\\n  k: s\\nd\\ne\"}", "s"},
		"element":      {config + "x: [{name: a, v: " + p + "}]", config + "x: [{name: b, v: r}, {name: a, v: s}]", "s"},
		"odd_name":     {config + "x: [{name: {a: b}, v: " + p + "}]", config + "x: [{name: {a: b}, v: s}]", "s"},
		"index":        {config + "x: [" + p + "]", config + "x: [s]", "s"},
		"other_length": {config + "x: [" + p + "]", config + "x: [s, r]", ""},
		"bundle":       {config + "x: {caBundle: " + encode(p) + "}", config + "x: {caBundle: " + encode("s") + "}", "s"},
		"not_there":    {config + "data: {x: " + p + "}", config + "data: {y: s}", ""},
		"empty":        {config + "data: {x: " + p + "}", config + "data: {x: \"\"}", ""},
		"number":       {config + "data: {x: " + p + "}", config + "data: {x: 1}", ""},
		"other_object": {config + "data: {x: " + p + "}", secret + "stringData: {x: s}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewSearch([]bundle.Recipe{recipe("p", "randAlphaNum", `[8]`), recipe("q", "randAlphaNum", `[8]`)})
			if !s.Add(object(t, c.desired)) {
				t.Fatal("it has no field")
			}
			live := object(t, c.live)
			s.Take(manifest.IDOf(live), live)
			got := strings.TrimSpace(s.found[sealed.Placeholder(p)] + " " + s.found[sealed.Placeholder(q)])
			if got != c.want || s.IsComplete() != (got != "") {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestSearch_missing checks what is made anew.
func TestSearch_missing(t *testing.T) {
	ca, cert := recipe("a", "genCA", `["ca",1]`), recipe("c", "genSignedCert",
		`["x",null,null,1,{"Cert":"`+placeholder("a")+`","Key":"`+placeholder("b")+`"}]`)
	word := recipe("e", "randAlphaNum", `[8]`)
	hash := recipe("f", "bcrypt", `["`+placeholder("e")+`"]`)
	for name, c := range map[string]struct{ used, found, want string }{
		"nothing_there":      {"acdef", "", "0 1 2 3"},
		"all_there":          {"acdef", "acdef", ""},
		"unused":             {"", "", ""},
		"no_key":             {"acd", "ac", "0 1"}, // the key of the authority is nowhere
		"key_there":          {"abcd", "abc", "1"},
		"no_authority":       {"acd", "cd", "0 1"},
		"hash_lost":          {"ef", "e", "3"},
		"password_lost":      {"ef", "f", "2 3"},
		"hash_alone":         {"f", "f", ""},
		"hash_alone_lost":    {"f", "", "2 3"},
		"authority_not_used": {"cd", "c", "0 1"},
	} {
		s := NewSearch([]bundle.Recipe{ca, cert, word, hash})
		for _, p := range c.used {
			s.used[sealed.Placeholder(placeholder(string(p)))] = true
		}
		for _, p := range c.found {
			s.found[sealed.Placeholder(placeholder(string(p)))] = "known"
		}
		var got []string
		missing := s.missing()
		for i := range 4 {
			if missing[i] {
				got = append(got, fmt.Sprint(i))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

// TestValues_hidden checks that values have no text form.
func TestValues_hidden(t *testing.T) {
	s := NewSearch([]bundle.Recipe{recipe("p", "randAlphaNum", `[64]`)})
	s.Add(object(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: "+placeholder("p")+"}"))
	v, err := s.Values(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := v.texts[sealed.Placeholder(placeholder("p"))]
	encoded, _ := json.Marshal(any(v)) //nolint:staticcheck // that it has no fields is what this checks
	said := fmt.Sprintf("%v %+v %#v %s", v, v, v, encoded)
	if strings.Contains(said, text) || len(text) != 64 || v.Size() != 64 {
		t.Error(said)
	}
	if _, ok := (*Values)(nil).Find("x"); ok || (*Values)(nil).Size() != 0 {
		t.Error("nil has values")
	}
}

// FuzzMatch checks that what is found in a text is a part of it.
func FuzzMatch(f *testing.F) {
	p := placeholder("p")
	f.Add("u:"+p+"@h", "u:s@h")
	f.Add("a\n k: "+p+"\n"+placeholder("q")+placeholder("z"), "b\n k: s\n")
	f.Fuzz(func(t *testing.T, desired, live string) {
		s := NewSearch([]bundle.Recipe{recipe("p", "randAlphaNum", `[8]`), recipe("q", "genPrivateKey", `["rsa"]`)})
		for _, value := range s.values(desired, live) {
			if !strings.Contains(live, value) {
				t.Errorf("%q is not in the text", value)
			}
		}
	})
}
