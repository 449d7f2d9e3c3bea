package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"unicode/utf8"
)

// Value is the secret that a placeholder stands for, with its type. It shows itself to nobody: printing, logging and
// encoding a Value give a fixed text. Only Replace and ReplaceObject take it out, into the object that the API server
// gets.
type Value struct {
	kind kind
	text []byte // a string's or the bytes, and how SOPS writes the others
}

type kind int

const (
	isText kind = iota
	isInteger
	isFloat
	isBoolean
	isBytes
)

// Text is a string. SOPS's type time is a string too: its RFC 3339 text.
func Text(s string) Value { return Value{isText, []byte(s)} }

// Integer is a whole number.
func Integer(i int64) Value { return Value{isInteger, strconv.AppendInt(nil, i, 10)} }

// Float is a number.
func Float(f float64) Value { return Value{isFloat, strconv.AppendFloat(nil, f, 'g', -1, 64)} }

// Boolean is true or false.
func Boolean(b bool) Value { return Value{isBoolean, strconv.AppendBool(nil, b)} }

// Bytes is anything; it need not be text.
func Bytes(b []byte) Value { return Value{isBytes, bytes.Clone(b)} }

// Equal reports whether two values have the same type and content.
func (v Value) Equal(other Value) bool {
	return v.kind == other.kind && bytes.Equal(v.text, other.text)
}

// Size returns how many bytes the value takes as text.
func (v Value) Size() int { return len(v.text) }

// redacted is what a Value shows of itself.
const redacted = "[sealed value]"

// Format implements fmt.Formatter, for every verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String implements fmt.Stringer.
func (v Value) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

var errNotText = errors.New("a value that is no text can only stand in a Secret's data or a ConfigMap's binaryData")

// scalar returns the value as JSON has it.
func (v Value) scalar() (any, error) {
	text := string(v.text)
	switch v.kind {
	case isInteger:
		return strconv.ParseInt(text, 10, 64)
	case isFloat:
		return strconv.ParseFloat(text, 64)
	case isBoolean:
		return strconv.ParseBool(text)
	}
	return v.string()
}

// string returns the value as it stands inside of a text.
func (v Value) string() (string, error) {
	if !utf8.Valid(v.text) {
		return "", errNotText
	}
	return string(v.text), nil
}
