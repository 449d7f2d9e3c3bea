package decrypt

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/manifest"
)

const (
	redacted = "[redacted]"
	// shortest is the length, in bytes, below which a value is too common to be hidden.
	shortest = 3
	// run is the length of a piece of a longer value that is hidden wherever it shows up, however the value was cut,
	// quoted or wrapped.
	run = 12
)

// Redactor takes plaintext values out of texts, such as what an API server says about an object it refused. It is
// safe for concurrent use; the zero Redactor hides nothing. It lives as long as the plaintext does and has no text form.
type Redactor struct {
	mu    sync.Mutex
	forms map[string]struct{} // every way a value may be written
}

// String hides the values from fmt.
func (r *Redactor) String() string { return "[redactor]" }

// GoString hides the values from fmt.
func (r *Redactor) GoString() string { return r.String() }

// HideData makes a Redactor hide the entries of a Secret's data and stringData, where a value may be part of something longer.
// Other objects are left alone.
func (r *Redactor) HideData(o *manifest.Object) {
	if o.GroupVersionKind().GroupKind() != (schema.GroupKind{Kind: "Secret"}) {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		entries, _ := o.Object[field].(map[string]any)
		for _, entry := range entries {
			text, ok := entry.(string)
			if !ok {
				continue
			}
			r.add(text)
			if decoded, err := base64.StdEncoding.DecodeString(text); err == nil && field == "data" {
				r.add(string(decoded))
			}
		}
	}
}

// add makes Redact hide a value in every form in which it may show up: as it is, in base64, quoted as JSON, YAML or Go
// quote it, and line by line.
func (r *Redactor) add(value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forms == nil {
		r.forms = map[string]struct{}{}
	}
	for _, text := range append(strings.Split(value, "\n"), value) {
		for _, form := range []string{text, strings.TrimSpace(text)} {
			r.addForms(form)
		}
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		if len(value) >= shortest {
			r.forms[strings.TrimRight(encoding.EncodeToString([]byte(value)), "=")] = struct{}{}
		}
	}
}

func (r *Redactor) addForms(text string) {
	if len(text) < shortest {
		return
	}
	r.forms[text] = struct{}{}
	r.forms[strings.ReplaceAll(text, "'", "''")] = struct{}{}
	var plain strings.Builder
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(text) == nil {
		r.forms[plain.String()[1:plain.Len()-2]] = struct{}{} // without quotes and line end
	}
	if escaped, err := json.Marshal(text); err == nil {
		r.forms[string(escaped[1:len(escaped)-1])] = struct{}{}
	}
}

// Redact returns s with every value that was added replaced by "[redacted]": values of at least three bytes as a
// whole, and any piece of at least twelve bytes of a longer one.
func (r *Redactor) Redact(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.forms) == 0 || s == "" {
		return s
	}
	hidden := make([]bool, len(s))
	pieces := map[string][]int{}
	for i := 0; i+run <= len(s); i++ {
		pieces[s[i:i+run]] = append(pieces[s[i:i+run]], i)
	}
	for form := range r.forms {
		if len(form) < run {
			hideWhole(s, form, hidden)
			continue
		}
		for i := 0; i+run <= len(form); i++ {
			piece := form[i : i+run]
			for _, at := range pieces[piece] {
				hide(hidden, at, run)
			}
			delete(pieces, piece)
		}
	}
	return blank(s, hidden)
}

func hideWhole(s, form string, hidden []bool) {
	for from := 0; from < len(s); {
		i := strings.Index(s[from:], form)
		if i < 0 {
			return
		}
		hide(hidden, from+i, len(form))
		from += i + 1
	}
}

func hide(hidden []bool, from, n int) {
	for i := from; i < from+n; i++ {
		hidden[i] = true
	}
}

// blank writes one "[redacted]" for each stretch of hidden bytes.
func blank(s string, hidden []bool) string {
	var b strings.Builder
	for i := range len(s) {
		switch {
		case !hidden[i]:
			b.WriteByte(s[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString(redacted)
		}
	}
	return b.String()
}
