package generate

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// pairSearch returns a search for a certificate and its key that are in a Secret.
func pairSearch(t *testing.T) (s *Search, r bundle.Recipe) {
	r = recipe("a", "genSelfSignedCert", `["web",null,null,1]`)
	s = NewSearch([]bundle.Recipe{r})
	s.Add(secretOf(t, r.Placeholder, r.Key))
	return s, r
}

func secretOf(t *testing.T, cert, key string) *manifest.Object {
	t.Helper()
	o := object(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\nstringData: {}")
	o.Object["stringData"] = map[string]any{"tls.crt": cert, "tls.key": key}
	return o
}

// TestTake_pair takes a certificate and its key together or not at all.
func TestTake_pair(t *testing.T) {
	_, r := pairSearch(t)
	one, two := made(t, r, nil), made(t, r, nil)
	indent := func(text string) string { return strings.ReplaceAll(text, "\n", "\n    ") }
	for name, c := range map[string]struct {
		places [][2]string // a certificate and a key each, in the order in which they are looked at
		want   []string    // nil: both are made anew
	}{
		"whole":             {[][2]string{{one[0], one[1]}}, one},
		"certificate_other": {[][2]string{{two[0], one[1]}}, nil},
		"key_other":         {[][2]string{{one[0], two[1]}}, nil},
		"half_edited":       {[][2]string{{two[0], one[1]}, {one[0], one[1]}}, one},
		"key_removed":       {[][2]string{{one[0], ""}, {two[0], two[1]}}, two},
		"no_certificate":    {[][2]string{{"mine", one[1]}, {one[0], one[1]}}, one},
		"in_two_places":     {[][2]string{{one[0], ""}, {"", one[1]}}, one},
		"first_that_fits":   {[][2]string{{one[0], one[1]}, {two[0], two[1]}}, one},
		"indented":          {[][2]string{{indent(one[0]), indent(one[1])}}, []string{indent(one[0]), indent(one[1])}},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := pairSearch(t)
			for _, place := range c.places {
				live := secretOf(t, place[0], place[1])
				s.Take(manifest.IDOf(live), live)
			}
			if s.IsComplete() != (c.want != nil) {
				t.Error("complete:", s.IsComplete())
			}
			v, err := s.Values(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			cert, key := v.texts[sealed.Placeholder(r.Placeholder)], v.texts[sealed.Placeholder(r.Key)]
			if c.want != nil && (cert != c.want[0] || key != c.want[1]) {
				t.Error("another pair is taken")
			}
			if _, err := tls.X509KeyPair([]byte(outdent(cert)), []byte(outdent(key))); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTake_half takes a certificate alone if no object has its key, as of an authority.
func TestTake_half(t *testing.T) {
	r := recipe("a", "genCA", `["ca",1]`)
	s := NewSearch([]bundle.Recipe{r})
	config := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
	s.Add(object(t, config+"data: {ca: "+r.Placeholder+"}"))
	live := object(t, config+"data: {ca: mine}")
	if s.Take(manifest.IDOf(live), live); !s.IsComplete() {
		t.Error("the certificate is not taken")
	}
}

// TestSecrets_unused redacts a key of the cluster that is not taken, too.
func TestSecrets_unused(t *testing.T) {
	s, r := pairSearch(t)
	one, two := made(t, r, nil), made(t, r, nil)
	live := secretOf(t, one[0], two[1])
	s.Take(manifest.IDOf(live), live)
	var secrets []string
	s.Found().Secrets(func(text string) { secrets = append(secrets, text) })
	if len(secrets) != 1 || secrets[0] != two[1] {
		t.Errorf("%d secrets, want the key", len(secrets))
	}
}

// TestTake_many_lines ends at once, whatever the texts are.
func TestTake_many_lines(t *testing.T) {
	s := NewSearch([]bundle.Recipe{recipe("p", "randAlphaNum", `[8]`)})
	line := "key: " + placeholder("p") + "\n"
	if found := s.values(strings.Repeat(line, 20_000), strings.Repeat("key: other\n", 20_001)); len(found) > 0 {
		t.Error("found", len(found))
	}
}

// TestValues_indented signs a new certificate with an authority that the cluster has in an indented text.
func TestValues_indented(t *testing.T) {
	ca := recipe("a", "genCA", `["ca",1]`)
	web := recipe("c", "genSignedCert", `["web",null,["a.b"],1,{"Cert":"`+ca.Placeholder+`","Key":"`+ca.Key+`"}]`)
	s := NewSearch([]bundle.Recipe{ca, web})
	s.Add(secretOf(t, web.Placeholder, web.Key))
	for i, value := range made(t, ca, nil) {
		s.found[sealed.Placeholder(ca.Placeholders()[i])] = strings.ReplaceAll(value, "\n", "\n    ")
	}
	v, err := s.Values(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	certOf := func(r bundle.Recipe) *x509.Certificate {
		return certificateIn(v.texts[sealed.Placeholder(r.Placeholder)])
	}
	authority, cert := certOf(ca), certOf(web)
	if cert == nil || authority == nil || cert.CheckSignatureFrom(authority) != nil {
		t.Error("the authority did not sign the certificate")
	}
}
