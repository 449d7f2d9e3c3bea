package decrypt

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
)

func redactorOf(values ...string) *Redactor {
	r := &Redactor{}
	for _, v := range values {
		r.add(v)
	}
	r.sort()
	return r
}

func TestRedact(t *testing.T) {
	const multi = "first-line-of-it\nsecond line: with \"quotes\"\n"
	const secret = "p&ss<wörd>'s\t/longer+than=that"
	r := redactorOf("abc", secret, canary, multi, "12345")
	asJSON := func(v string) string { data, _ := json.Marshal(v); return string(data) }
	inBase64 := base64.StdEncoding.EncodeToString
	tests := []struct{ name, in, want string }{
		{"short", `invalid value: "abc"`, `invalid value: "[redacted]"`},
		{"short_in_a_word", "12345678", "[redacted]678"},
		{"long", "x " + canary + " y", "x [redacted] y"},
		{"upper_case", "x " + strings.ToUpper(canary) + " y", "x [redacted] y"},
		{"cut_off", "cut off " + canary[:15] + "…", "cut off [redacted]…"},
		{"end_of_it", "…" + canary[len(canary)-13:], "…[redacted]"},
		{"trimmed", "x " + strings.TrimSpace(multi) + ".", "x [redacted]."},
		{"one_line", "second line: with \"quotes\" stands alone", "[redacted] stands alone"},
		{"first_line", "first-line-of-it.", "[redacted]."},
		{"wrapped", multi[:12] + "\n  " + multi[12:], "[redacted]\n  [redacted]"},
		{"base64", "b64 " + inBase64([]byte(canary)) + ".", "b64 [redacted]."},
		{"base64_short", "b64 " + inBase64([]byte("abc")) + "!", "b64 [redacted]!"},
		{"base64_url", "url " + base64.URLEncoding.EncodeToString([]byte(secret)) + "!", "url [redacted]==!"},
		{"json", "json " + asJSON(multi), `json "[redacted]"`},
		{"json_html", "json " + asJSON(secret), `json "[redacted]"`},
		{"json_twice", "json " + asJSON(asJSON(secret)), `json "\"[redacted]\""`},
		{"yaml", "yaml '" + strings.ReplaceAll(secret, "'", "''") + "'", "yaml '[redacted]'"},
		{"go", fmt.Sprintf("go %q", multi), `go "[redacted]"`},
		{"go_ascii", fmt.Sprintf("go %+q", secret), `go "[redacted]"`},
		{"query", "?a=" + url.QueryEscape(secret), "?a=[redacted]"},
		{"path", "/" + url.PathEscape(secret) + "?", "/[redacted]?"},
		{"hex", "hex " + hex.EncodeToString([]byte(canary)), "hex [redacted]"},
		{"hex_upper", fmt.Sprintf("hex %X", canary), "hex [redacted]"},
		{"number", "port 12345 taken", "port [redacted] taken"},
		{"other", "Nothing to hide: Ä", "Nothing to hide: Ä"},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Redact(tt.in, &Redactor{}, r); got != tt.want {
				t.Errorf("Redact(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestRedact_base64 encodes a value with other text around it: the rest of it that is not hidden is shorter than a
// piece.
func TestRedact_base64(t *testing.T) {
	r := redactorOf(canary)
	for before := range 4 {
		for after := range 3 {
			encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("<", before) + canary +
				strings.Repeat(">", after)))
			got := Redact(encoded, r)
			if rest := strings.ReplaceAll(got, redacted, ""); !strings.Contains(got, redacted) || len(rest) > 10 {
				t.Errorf("%d bytes before, %d after: %q", before, after, got)
			}
		}
	}
}

// TestRedact_full adds more than a Redactor can know.
func TestRedact_full(t *testing.T) {
	var b strings.Builder
	for i := 0; b.Len() < maxPieces; i++ {
		fmt.Fprintf(&b, "%x,", i*i)
	}
	if got := Redact("anything", redactorOf(b.String())); got != tooMuchHidden {
		t.Errorf("%q", got)
	}
	if got := Redact("", redactorOf(b.String())); got != "" {
		t.Errorf("%q", got)
	}
	long := redactorOf(strings.Repeat("a", 1<<20)) // but few different pieces
	if got := Redact(strings.Repeat("a", 1<<16)+"!", long); got != redacted+"!" {
		t.Errorf("%d bytes", len(got))
	}
}

func TestDataRedactor(t *testing.T) {
	o := &manifest.Object{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "a"},
		"data":       map[string]any{"url": base64.StdEncoding.EncodeToString([]byte("postgres://app@db"))},
		"stringData": map[string]any{"user": "application", "n": int64(1)},
	}}
	text := "postgres://app@db of application"
	if got := Redact(text, DataRedactor(o)); got != redacted+" of "+redacted {
		t.Errorf("%q", got)
	}
	o.SetKind("ConfigMap")
	if got := Redact(text, DataRedactor(o)); got != text {
		t.Errorf("%q", got)
	}
}

func TestRedactor_text(t *testing.T) {
	r := redactorOf(canary)
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%v %+v %#v %s", r, r, r, r)} {
		if strings.Contains(text, canary[:run]) {
			t.Error("it shows the value")
		}
	}
}

// FuzzRedact hides a value at any position, as it is.
func FuzzRedact(f *testing.F) {
	f.Add("a", "abc", "b")
	f.Add("x", canary, "'")
	f.Add("", "line\nline two of it\n", "")
	f.Fuzz(func(t *testing.T, before, value, after string) {
		got := Redact(before+value+after, redactorOf(value))
		if len(value) >= shortest && strings.Contains(got, value) && !strings.Contains(before+redacted+after, value) {
			t.Errorf("%q in %q", value, got)
		}
	})
}
