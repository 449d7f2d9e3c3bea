package sealed

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"unicode/utf8"
)

// Value is the secret that a placeholder stands for, with its type. Printing, logging and encoding a Value give a fixed
// text. Only ReplaceObject reads the secret, into the object for the API server. Values are compared with ==.
type Value struct {
	kind kind
	text string // of a string or bytes; other values as SOPS writes them
}

type kind int

const (
	isText kind = iota
	isInteger
	isFloat
	isBoolean
	isBytes
	isExpression
)

// Text returns the Value of a string. SOPS's type time is a string, too: its RFC 3339 text.
func Text(s string) Value { return Value{isText, s} }

// Integer returns the Value of a whole number.
func Integer(i int64) Value { return Value{isInteger, strconv.FormatInt(i, 10)} }

// Float returns the Value of a number.
func Float(f float64) Value { return Value{isFloat, strconv.FormatFloat(f, 'g', -1, 64)} }

// Boolean returns the Value of a boolean.
func Boolean(b bool) Value { return Value{isBoolean, strconv.FormatBool(b)} }

// Bytes returns the Value of bytes, which need not be text.
func Bytes(b []byte) Value { return Value{isBytes, string(b)} }

// Expression returns the Value of a text that holds references to variables, for FinishObject to evaluate.
func Expression(text string) Value { return Value{isExpression, text} }

// AsText returns the Value of the text of v.
func (v Value) AsText() Value { return Text(v.text) }

// Printed returns the Value of the text that a template of Helm prints for v, which YAML gave: there all numbers are
// floating-point.
func (v Value) Printed() Value {
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil || v.kind != isInteger && v.kind != isFloat {
		return v.AsText()
	}
	return Text(fmt.Sprint(f))
}

// Size returns the length of the value as text, in bytes.
func (v Value) Size() int { return len(v.text) }

// redacted is what a Value shows of itself.
const redacted = "[sealed value]"

// Format implements fmt.Formatter, for every verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String implements fmt.Stringer.
func (v Value) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (v Value) LogValue() slog.Value { return slog.StringValue(redacted) }

var errNotText = errors.New(": a value that is no text can only stand in a Secret's data or a ConfigMap's binaryData")

// scalar returns the value as JSON has it.
func (v Value) scalar() (any, error) {
	switch v.kind {
	case isInteger:
		return strconv.ParseInt(v.text, 10, 64)
	case isFloat:
		return strconv.ParseFloat(v.text, 64)
	case isBoolean:
		return strconv.ParseBool(v.text)
	}
	return v.string()
}

// string returns the value as a part of a text.
func (v Value) string() (string, error) {
	if v.kind == isExpression {
		return "", errExpression
	}
	if !utf8.ValidString(v.text) {
		return "", errNotText
	}
	return v.text, nil
}
