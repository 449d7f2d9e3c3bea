package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a Shape.
const (
	MaxShapeBytes = 128 << 10
	// MaxShapeValues counts maps and lists, too.
	MaxShapeValues = 5000
	MaxShapeDepth  = 64
	MaxShapeKey    = 256     // bytes of one key
	MaxRevealed    = 1 << 10 // bytes of the JSON of one value
)

// Shape is the structure of a text that the hub cannot read, such as the values of a chart: its keys and the types of
// its values. It is JSON: maps, lists and nulls are as in the text. In the place of each other value there is the type
// "str", "int", "float" or "bool", or, if the value may be revealed, "=" and the JSON of the value.
type Shape []byte

// The types of values in a Shape. A revealed value has the mark in front of it.
const (
	shapeText     = "str"
	shapeInteger  = "int"
	shapeFloat    = "float"
	shapeBoolean  = "bool"
	shapeRevealed = "="
)

var (
	errShapeSize   = fmt.Errorf("its keys have more than %d KiB", MaxShapeBytes>>10)
	errShapeValues = fmt.Errorf("more than %d values", MaxShapeValues)
	errShapeDepth  = fmt.Errorf("nested more than %d deep", MaxShapeDepth)
	errShapeKey    = fmt.Errorf("a key of more than %d bytes, or one that is no text", MaxShapeKey)
)

// NewShape returns the Shape of a value as encoding/json decodes it, with json.Number for numbers. reveals reports
// whether a value may be revealed; a text of more than MaxRevealed bytes is not. Errors hold no value and no key.
func NewShape(v any, reveals func(path []string, value any) bool) (Shape, error) {
	b := shapeBuilder{reveals: reveals}
	shape, err := b.build(v, nil)
	if err != nil {
		return nil, err
	}
	data, err := encodeShape(shape)
	if err == nil && len(data) > MaxShapeBytes {
		err = errShapeSize
	}
	return data, err
}

// encodeShape returns the JSON of a Shape, of which there is one.
func encodeShape(tree any) (Shape, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(tree)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

type shapeBuilder struct {
	reveals func(path []string, value any) bool
	values  int
}

// enter counts a value.
func (b *shapeBuilder) enter(depth int) error {
	if b.values++; b.values > MaxShapeValues {
		return errShapeValues
	}
	if depth > MaxShapeDepth {
		return errShapeDepth
	}
	return nil
}

func (b *shapeBuilder) build(v any, path []string) (any, error) {
	if err := b.enter(len(path)); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if !isShapeKey(key) {
				return nil, errShapeKey
			}
			var err error
			if out[key], err = b.build(v[key], below(path, key)); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = b.build(v[i], below(path, strconv.Itoa(i))); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return b.scalar(v, path)
}

func (b *shapeBuilder) scalar(v any, path []string) (any, error) {
	kind := typeOf(v)
	if kind == "" {
		return nil, errors.New("a value of an unknown type")
	}
	if text, isText := v.(string); isText && next(text, 0) >= 0 || !b.reveals(path, v) {
		return kind, nil
	}
	data, err := encodeShape(v)
	if err != nil || len(data) > MaxRevealed {
		return kind, err
	}
	return shapeRevealed + string(data), nil
}

// below returns a path with one more element, never sharing memory with another path.
func below(path []string, element string) []string {
	return append(path[:len(path):len(path)], element)
}

// typeOf returns the type of a scalar as a Shape has it; "" for any other value.
func typeOf(v any) string {
	switch v := v.(type) {
	case string:
		return shapeText
	case bool:
		return shapeBoolean
	case json.Number:
		if _, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return shapeInteger
		}
		return shapeFloat
	}
	return ""
}

// ScalarOf returns the Value of a scalar as encoding/json decodes it, with json.Number for numbers. If v is anything
// else, or null, ScalarOf returns false.
func ScalarOf(v any) (Value, bool) {
	switch v := v.(type) {
	case string:
		return Text(v), true
	case bool:
		return Boolean(v), true
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return Integer(i), true
		}
		f, err := v.Float64()
		return Value{isFloat, string(v)}, err == nil && !math.IsInf(f, 0)
	}
	return Value{}, false
}

func isShapeKey(key string) bool {
	return len(key) <= MaxShapeKey && utf8.ValidString(key) && next(key, 0) < 0
}

// ReadShape returns the Shape in bytes from a spoke. If the bytes are no Shape, or over a limit, ReadShape returns an
// error, which quotes nothing of them.
func ReadShape(data []byte) (Shape, error) {
	if len(data) > MaxShapeBytes {
		return nil, errShapeSize
	}
	tree, err := decodeShape(data)
	if err != nil {
		return nil, err
	}
	check := shapeBuilder{}
	if err := check.check(tree, 0); err != nil {
		return nil, err
	}
	shape, err := encodeShape(tree)
	if err == nil && !bytes.Equal(shape, data) {
		err = errNotCanonical
	}
	return shape, err
}

var (
	errNoShape      = errors.New("not a shape")
	errNotCanonical = errors.New("not a shape in its one form")
)

func decodeShape(data []byte) (tree any, err error) {
	in := json.NewDecoder(bytes.NewReader(data))
	in.UseNumber()
	if in.Decode(&tree) != nil {
		return nil, errNoShape
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoShape
	}
	return tree, nil
}

func (b *shapeBuilder) check(v any, depth int) error {
	if err := b.enter(depth); err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return checkLeaf(v)
	case map[string]any:
		for key, below := range v {
			if !isShapeKey(key) {
				return errShapeKey
			}
			if err := b.check(below, depth+1); err != nil {
				return err
			}
		}
		return nil
	case []any:
		for _, below := range v {
			if err := b.check(below, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return errNoShape
}

func checkLeaf(leaf string) error {
	switch leaf {
	case shapeText, shapeInteger, shapeFloat, shapeBoolean:
		return nil
	}
	if _, ok := revealed(leaf); !ok {
		return errNoShape
	}
	return nil
}

// revealed returns the value of a leaf that is revealed.
func revealed(leaf string) (any, bool) {
	text, ok := strings.CutPrefix(leaf, shapeRevealed)
	if !ok || len(text) > MaxRevealed {
		return nil, false
	}
	v, err := decodeShape([]byte(text))
	if err != nil || typeOf(v) == "" {
		return nil, false
	}
	if text, isText := v.(string); isText && len(Find(text)) > 0 {
		return nil, false // it would stand for another value
	}
	_, ok = ScalarOf(v)
	return v, ok
}

// Leaf is a value of a Shape that is not revealed.
type Leaf struct {
	Path []string // map keys, and list indexes in decimal
	Type string   // str, int, float or bool
}

// Fill returns the values of the Shape, with what placeholder returns in the place of each Leaf. The Shape must be one
// that ReadShape or NewShape returned. Leaves are filled in the order of their paths.
func (s Shape) Fill(placeholder func(Leaf) string) (any, error) {
	tree, err := decodeShape(s)
	if err != nil {
		return nil, err
	}
	return fill(tree, nil, placeholder), nil
}

func fill(v any, path []string, placeholder func(Leaf) string) any {
	switch v := v.(type) {
	case string:
		if value, ok := revealed(v); ok {
			return value
		}
		return placeholder(Leaf{path, v})
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			v[key] = fill(v[key], below(path, key), placeholder)
		}
	case []any:
		for i := range v {
			v[i] = fill(v[i], below(path, strconv.Itoa(i)), placeholder)
		}
	}
	return v
}
