package identity

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"
)

func TestIDRoundTrip(t *testing.T) {
	for _, id := range []ID{
		{"nave-0123456789abcdef", Cluster, "a"},
		{"example.com", Hub, "hub"},
		{"a_b", Operator, "jane.doe-2"},
		{strings.Repeat("a", 255), Cluster, strings.Repeat("a", 63) + "." + strings.Repeat("b", 63)},
	} {
		got, err := ParseID(id.String())
		if err != nil || got != id {
			t.Errorf("%q became %+v, %v", id, got, err)
		}
	}
}

// hostileIDs are ways to look like spiffe://td/cluster/a without being it.
var hostileIDs = []string{
	"", "spiffe://", "spiffe://td", "spiffe://td/", "spiffe://td/cluster", "spiffe://td/cluster/",
	"spiffe://td/cluster/a/", "spiffe://td/cluster//a",
	"spiffe://td/cluster/a/b", "spiffe:///cluster/a", "spiffe://td//a", "//td/cluster/a", "td/cluster/a",
	"https://td/cluster/a",
	"SPIFFE://td/cluster/a", "spiffe://TD/cluster/a", "spiffe://td/Cluster/a", "spiffe://td/cluster/A",
	"spiffe://td/admin/a",
	"spiffe://td/cluster/a.", "spiffe://td/cluster/.a", "spiffe://td/cluster/a..b", "spiffe://td/cluster/-a",
	"spiffe://td/cluster/a-",
	"spiffe://td/cluster/a*", "spiffe://td/cluster/a b", "spiffe://td/cluster/ " +
		"a", "spiffe://td/cluster/a\n", "spiffe://td/cluster/a\x00",
	"spiffe://td/cluster/a%2e", "spiffe://td/cluster/%61", "spiffe://td/cluster/..", "spiffe://td/cluster/a?b",
	"spiffe://td/cluster/a#b", "spiffe://td/cluster/a#",
	"spiffe://td:443/cluster/a", "spiffe://user@td/cluster/a", "spiffe://t d/cluster/a", "spiffe://td%2f/cluster/a",
	"spiffe://td/cluster/\u0430", "spiffe://td/cluster/a\u200b", "spiffe://td/cluster/\uff41", "spiffe://td/cluster/\xff",
	"spiffe://t\u0434/cluster/a",
	"spiffe://" + strings.Repeat("a", 256) + "/cluster/a", "spiffe://td/cluster/" +
		strings.Repeat("a", 64), "spiffe://td/cluster/" + strings.Repeat("a.", 127),
}

func TestParseID(t *testing.T) {
	for _, s := range hostileIDs {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q is taken for %+v", s, id)
		}
	}
}

func TestFromCertificate(t *testing.T) {
	uri := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	good := uri("spiffe://td/cluster/a")
	if id, err := FromCertificate(&x509.Certificate{URIs: []*url.URL{good}}); err != nil ||
		id != (ID{"td", Cluster, "a"}) {
		t.Errorf("%+v, %v", id, err)
	}
	for name, certificate := range map[string]*x509.Certificate{
		"no_certificate":  nil,
		"no_URI_name":     {DNSNames: []string{"a"}},
		"two_URI_names":   {URIs: []*url.URL{good, uri("spiffe://td/cluster/b")}},
		"same_twice":      {URIs: []*url.URL{good, good}},
		"another_scheme":  {URIs: []*url.URL{uri("https://td/cluster/a")}},
		"escaped_name":    {URIs: []*url.URL{uri("spiffe://td/cluster/%61%2f")}},
		"authority":       {URIs: []*url.URL{good}, IsCA: true},
		"only_trust_root": {URIs: []*url.URL{uri("spiffe://td")}},
	} {
		if id, err := FromCertificate(certificate); err == nil {
			t.Errorf("%s: %+v", name, id)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("spiffe://td/cluster/a")
	for _, s := range hostileIDs {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseID(s); err == nil && id.String() != s {
			t.Fatalf("%q and %q are one identity", s, id)
		}
	})
}

func TestNameOf(t *testing.T) {
	for text, want := range map[string]string{
		"spiffe://nave.example.com/operator/admin": "admin", "admin": "admin", "": "", "spiffe://x": "spiffe://x",
	} {
		if got := NameOf(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
