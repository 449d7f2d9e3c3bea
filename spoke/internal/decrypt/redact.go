package decrypt

import (
	"encoding/base64"
	"hash/maphash"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

const (
	redacted = reporting.Redacted
	// tooMuchHidden replaces a whole text if there are too many values to hide.
	tooMuchHidden = "[redacted: the application holds too many sealed values to tell them from other text]"
	// shortest is the length, in bytes, of the shortest value that is hidden; shorter ones are too common.
	shortest = 3
	// run is the length, in bytes, of the pieces of longer values. Every piece is hidden, however the value was cut,
	// quoted or wrapped.
	run = 12
	// maxPieces is the most pieces that one Redactor knows, 8 bytes for each: those of some 30 KiB of values.
	maxPieces = 1 << 18
)

// Redactor hides the values of one file in texts, such as messages of an API server or a controller about an
// object. A Redactor holds no value, only hashes of pieces with a seed of this process. It never changes.
type Redactor struct {
	pieces []uint64      // hashes of all pieces of run bytes, sorted
	whole  [run][]uint64 // hashes of shorter values, by their length, sorted
	full   bool          // there were more than maxPieces
}

var seed = maphash.MakeSeed()

// String hides the hashes from fmt.
func (r *Redactor) String() string { return "[redactor]" }

// GoString hides the hashes from fmt.
func (r *Redactor) GoString() string { return r.String() }

// Equal reports whether two Redactors hide the same values.
func (r *Redactor) Equal(other *Redactor) bool {
	same := r.full == other.full && slices.Equal(r.pieces, other.pieces)
	for n := range r.whole {
		same = same && slices.Equal(r.whole[n], other.whole[n])
	}
	return same
}

// HideAll returns a Redactor that hides every text as a whole.
func HideAll() *Redactor { return &Redactor{full: true} }

// Size returns the memory that the Redactor takes, in bytes.
func (r *Redactor) Size() int {
	n := len(r.pieces)
	for _, known := range r.whole {
		n += len(known)
	}
	return 8 * n
}

// DataRedactor returns a Redactor of the entries of a Secret's data and stringData, which may hold sealed values among
// other text. For an object of another kind the Redactor hides no text.
func DataRedactor(o *manifest.Object) *Redactor {
	r := &Redactor{}
	defer r.sort()
	if o.GroupVersionKind().GroupKind() != (schema.GroupKind{Kind: "Secret"}) {
		return r
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
	return r
}

// ValueRedactor returns a Redactor of values, such as those of a Secret of the cluster.
func ValueRedactor(values map[string]string) *Redactor {
	r := &Redactor{}
	for _, v := range values {
		if v != "true" && v != "false" { // no secrets, and hiding them would garble every message
			r.add(v)
		}
	}
	r.sort()
	return r
}

// add makes Redact hide a value in every form in which it may be written.
func (r *Redactor) add(value string) {
	for form := range forms(value) {
		if r.full {
			return
		}
		r.addForm(lower(form))
	}
}

func (r *Redactor) addForm(form string) {
	if len(form) < shortest {
		return
	}
	if len(form) < run {
		r.whole[len(form)] = append(r.whole[len(form)], maphash.String(seed, form))
		return
	}
	for i := 0; i+run <= len(form) && !r.full; i++ {
		r.pieces = append(r.pieces, maphash.String(seed, form[i:i+run]))
		if len(r.pieces) == 2*maxPieces { // twice the same may be among them
			r.sort()
		}
	}
}

// sort sorts the hashes and drops those that are there twice; it ends the adding.
func (r *Redactor) sort() {
	slices.Sort(r.pieces)
	r.pieces = slices.Compact(r.pieces)
	for n := range r.whole {
		slices.Sort(r.whole[n])
		r.whole[n] = slices.Compact(r.whole[n])
	}
	if len(r.pieces) > maxPieces {
		r.pieces, r.full = nil, true
	}
	r.pieces = slices.Clip(r.pieces)
}

// Redact returns s with every value that one of the Redactors knows replaced by "[redacted]": values of at least three
// bytes as a whole, and any piece of at least twelve bytes of a longer one, in any case of letters.
func Redact(s string, by ...*Redactor) string {
	hidden := make([]bool, len(s))
	for _, r := range by {
		if r.full && s != "" {
			return tooMuchHidden
		}
	}
	text := lower(s)
	for length := shortest; length <= run; length++ {
		hide(text, length, by, hidden)
	}
	return blank(s, hidden)
}

// HidesAll reports whether the Redactor hides every text as a whole.
func (r *Redactor) HidesAll() bool { return r.full }

// known returns the hashes of pieces with a length in bytes.
func (r *Redactor) known(length int) []uint64 {
	if length == run {
		return r.pieces
	}
	return r.whole[length]
}

// hide marks the pieces of a text, with a length in bytes, that one of the Redactors knows.
func hide(text string, length int, by []*Redactor, hidden []bool) {
	var sets [][]uint64
	for _, r := range by {
		if known := r.known(length); len(known) > 0 {
			sets = append(sets, known)
		}
	}
	if len(sets) == 0 {
		return
	}
	for i := 0; i+length <= len(text); i++ {
		sum := maphash.String(seed, text[i:i+length])
		if slices.ContainsFunc(sets, func(known []uint64) bool { _, is := slices.BinarySearch(known, sum); return is }) {
			for j := i; j < i+length; j++ {
				hidden[j] = true
			}
		}
	}
}

// lower returns a text with the letters of ASCII in lower case. Other letters might change their length.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c - 'A' + 'a'
		}
	}
	return string(b)
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
