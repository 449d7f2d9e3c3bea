package manifest

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	o := &Object{Object: map[string]any{"kind": "X", "b": "<&>", "a": []any{int64(1), nil}, "apiVersion": "v1"}}
	got, err := Canonical(o)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":[1,null],"apiVersion":"v1","b":"<&>","kind":"X"}`; string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestIDString(t *testing.T) {
	for id, want := range map[ID]string{
		{Kind: "Namespace", Name: "a"}:                                    "Namespace a",
		{Group: "apps", Kind: "Deployment", Namespace: "prod", Name: "d"}: "Deployment.apps prod/d",
	} {
		if got := id.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestDigestRoundTrip(t *testing.T) {
	d := DigestOf([]byte("x"))
	if got, err := ParseDigest(d.String()); err != nil || got != d {
		t.Errorf("ParseDigest: %v, %v", got, err)
	}
	if got, err := DigestFromBytes(d[:]); err != nil || got != d {
		t.Errorf("DigestFromBytes: %v, %v", got, err)
	}
	for _, d := range []Digest{d, {}} {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		back := DigestOf([]byte("other"))
		if err := json.Unmarshal(text, &back); err != nil || back != d {
			t.Errorf("%s became %v, %v", text, back, err)
		}
	}
}

func TestParseDigest(t *testing.T) {
	good := DigestOf(nil).String()
	for _, s := range []string{"", "sha256:", good[:len(good)-1], good + "0", "sha512:" + good[7:], "SHA256:" + good[7:],
		"sha256:E" + good[8:], "sha256:g" + good[8:]} {
		if d, err := ParseDigest(s); err == nil {
			t.Errorf("%q is taken for %v", s, d)
		}
	}
	if _, err := DigestFromBytes(make([]byte, 31)); err == nil {
		t.Error("31 bytes are taken for a digest")
	}
}

// TestID_long shortens names that no API server accepts, and leaves the longest that it does.
func TestID_long(t *testing.T) {
	longest := strings.Repeat("n", 253)
	id := ID{Group: longest, Kind: "Kind", Namespace: longest, Name: longest}
	if got, want := id.String(), "Kind."+longest+" "+longest+"/"+longest; got != want {
		t.Errorf("got %s", got)
	}
	long := strings.Repeat("n", 40_000)
	if got := (ID{Group: long, Kind: long, Namespace: long, Name: long}).String(); len(got) > 1100 {
		t.Errorf("%d bytes", len(got))
	}
}
