package decrypt

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestNoFormOfAValueStaysInAText(t *testing.T) {
	const multi = "first-line-of-it\nsecond line: with \"quotes\"\n"
	var r Redactor
	for _, v := range []string{"abc", "p&ss<word>'s", canary, multi, "12345"} {
		r.add(v)
	}
	quoted, _ := json.Marshal(multi)
	escaped, _ := json.Marshal("p&ss<word>'s")
	tests := map[string]string{
		`invalid value: "abc"`:         `invalid value: "[redacted]"`,
		"x " + canary + " y":           "x [redacted] y",
		"cut off " + canary[:15] + "…": "cut off [redacted]…",
		"b64 " + base64.StdEncoding.EncodeToString([]byte(canary)) + ".": "b64 [redacted].",
		"url " + base64.URLEncoding.EncodeToString([]byte("abc")) + "!":  "url [redacted]!",
		"second line: with \"quotes\" stands alone":                      "[redacted] stands alone",
		"first-line-of-it.":         "[redacted].",
		"json " + string(quoted):    `json "[redacted]"`,
		"html " + string(escaped):   `html "[redacted]"`,
		"yaml 'p&ss<word>''s'":      "yaml '[redacted]'",
		fmt.Sprintf("go %q", multi): `go "[redacted]"`,
		"port 12345 taken":          "port [redacted] taken",
		"nothing to hide":           "nothing to hide",
	}
	for in, want := range tests {
		if got := r.Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestARedactorThatKnowsNothingChangesNothing(t *testing.T) {
	var r Redactor
	r.add("ab") // too short to be hidden
	const text = "about"
	if got := r.Redact(text); got != text {
		t.Errorf("got %q", got)
	}
}

func TestRedactingALongRepetitiveTextEnds(t *testing.T) {
	var r Redactor
	r.add(strings.Repeat("a", 1<<20))
	if got := r.Redact(strings.Repeat("a", 1<<16)); got != redacted {
		t.Errorf("got %d bytes", len(got))
	}
}
