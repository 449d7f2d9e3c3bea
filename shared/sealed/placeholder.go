// Package sealed makes, finds and replaces placeholders for values that the hub must not see. The hub makes a
// placeholder from each encrypted leaf, templates carry it as an ordinary string, and the spoke replaces it in the
// rendered objects by the value.
//
// A placeholder is one letter, the mark "0sealed0", and 26 characters of base32: lower-case letters and digits only, so
// that it survives YAML, quotes, host names and labels. All but the mark depends on the salt of the render, and the
// placeholders of a salt and of its Second differ in every character but the mark. So a template that takes a
// placeholder apart shows: with the two salts its results differ. If it takes a piece of the mark alone, Partial sees
// seven characters or more; a shorter piece of the mark escapes, and says nothing of the value.
package sealed

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"strings"
)

// Mark is in every placeholder.
const Mark = "0sealed0"

// Length is the length of every placeholder in bytes.
const Length = 1 + len(Mark) + bodyLength

const (
	bodyLength = 26                           // 130 bits
	letters    = "abcdefghijklmnopqrstuvwxyz" // the first characters of placeholders
	alphabet   = letters + "234567"
)

// Placeholder stands for one encrypted leaf.
type Placeholder string

// encoding is base32 in lower case. It has no 0, so that the mark never shows inside of a body.
var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// Salt keeps the placeholders of two renders apart: equal leaves at equal paths have other placeholders under another
// salt.
type Salt struct {
	key    []byte
	second bool
}

// NewSalt returns the salt with a key. The placeholders of equal keys are equal.
func NewSalt(key []byte) Salt { return Salt{key: key} }

// Second returns the salt whose placeholders differ from those of s in every character but the mark.
func (s Salt) Second() Salt { return Salt{s.key, true} }

// Placeholder makes the placeholder of an encrypted leaf (the text ENC[…]) at a key path. Equal input gives equal
// placeholders; another leaf, path or salt gives another one. HMAC-SHA256 under the salt's key is what nobody can
// foresee.
func (s Salt) Placeholder(leaf string, path []string) Placeholder {
	first := s.sum("", leaf, path)
	placeholder := []byte(letters[first[31]%26:][:1] + Mark + encoding.EncodeToString(first[:17])[:bodyLength])
	if s.second {
		moves := s.sum("nave second build", leaf, path)
		move(placeholder[:1], letters, moves[31:])
		move(placeholder[1+len(Mark):], alphabet, moves)
	}
	return Placeholder(placeholder)
}

// sum returns the 32 bytes that a placeholder is made of.
func (s Salt) sum(use, leaf string, path []string) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(use))
	writePart(mac, leaf)
	for _, key := range path {
		writePart(mac, key)
	}
	return mac.Sum(nil)
}

// move changes every character of text, all of which are of the alphabet, into another one of it.
func move(text []byte, alphabet string, by []byte) {
	for i, c := range text {
		step := 1 + int(by[i])%(len(alphabet)-1)
		text[i] = alphabet[(strings.IndexByte(alphabet, c)+step)%len(alphabet)]
	}
}

// writePart writes a part with its length before it, so that no two lists of parts are the same bytes.
func writePart(h hash.Hash, part string) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
	h.Write([]byte(part))
}

// Valid reports whether t is shaped like what Salt.Placeholder makes.
func (t Placeholder) Valid() bool { return len(t) == Length && placeholderAt(string(t), 0) }

// placeholderAt reports whether a placeholder starts at s[i].
func placeholderAt(s string, i int) bool {
	if i < 0 || len(s)-i < Length || s[i] < 'a' || s[i] > 'z' || s[i+1:i+1+len(Mark)] != Mark {
		return false
	}
	for _, c := range []byte(s[i+1+len(Mark) : i+Length]) {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// next returns where the first placeholder at or after from starts, or -1.
func next(s string, from int) int {
	for at := from; ; {
		found := strings.Index(s[at:], Mark)
		if found < 0 {
			return -1
		}
		if start := at + found - 1; start >= from && placeholderAt(s, start) {
			return start
		}
		at += found + 1
	}
}

// Cut returns the first placeholder in a text and what is before and after it. If there is none, before is the text and
// found is false.
func Cut(s string) (before string, first Placeholder, after string, found bool) {
	i := next(s, 0)
	if i < 0 {
		return s, "", "", false
	}
	return s[:i], Placeholder(s[i : i+Length]), s[i+Length:], true
}

// Find returns the placeholders in a text, in the order in which they first appear, each once.
func Find(s string) []Placeholder {
	var placeholders []Placeholder
	seen := map[Placeholder]bool{}
	for i := next(s, 0); i >= 0; i = next(s, i+Length) {
		if t := Placeholder(s[i : i+Length]); !seen[t] {
			seen[t] = true
			placeholders = append(placeholders, t)
		}
	}
	return placeholders
}

// Partial reports whether a text holds a piece of the mark outside of a whole placeholder, in either case: a template
// cut a placeholder off or altered it. Pieces of fewer than seven characters of the mark alone are too common to tell.
func Partial(s string) bool {
	for i := next(s, 0); i >= 0; i = next(s, 0) {
		if hasPiece(s[:i]) {
			return true
		}
		s = s[i+Length:]
	}
	return hasPiece(s)
}

// hasPiece reports whether a text without placeholders has all of the mark but its first or last character.
func hasPiece(s string) bool {
	lower := strings.ToLower(s)
	return strings.Contains(lower, Mark[1:]) || strings.Contains(lower, Mark[:len(Mark)-1])
}

// Other returns a placeholder that differs from t in every character but the mark. It is for a value whose leaf is not
// known; Salt.Second is for others.
func (t Placeholder) Other() Placeholder {
	text := []byte(t)
	by := make([]byte, len(text)) // the least move
	move(text[:1], letters, by)
	move(text[1+len(Mark):], alphabet, by)
	return Placeholder(text)
}
