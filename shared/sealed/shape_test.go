package sealed

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// decoded returns a JSON text as NewShape takes it.
func decoded(t *testing.T, text string) any {
	t.Helper()
	v, err := decodeShape([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNewShape(t *testing.T) {
	for name, c := range map[string]struct{ text, reveal, want string }{
		"types": {`{"s":"x","i":-3,"f":1.5,"big":1e30,"b":true,"n":null}`, "",
			`{"b":"bool","big":"float","f":"float","i":"int","n":null,"s":"str"}`},
		"nested":   {`{"a":{"b":[{"c":"x"},"y",[]],"d":{}}}`, "", `{"a":{"b":[{"c":"str"},"str",[]],"d":{}}}`},
		"scalar":   {`"x"`, "", `"str"`},
		"nothing":  {`null`, "", `null`},
		"revealed": {`{"a":{"on":true,"off":false},"n":[7,8],"s":"<=x>"}`, `a.on,n.1,s`, `{"a":{"off":"bool","on":"=true"},"n":["int","=8"],"s":"=\"<=x>\""}`},
		"map":      {`{"a":{"b":1}}`, `a`, `{"a":{"b":"int"}}`},
		"dots":     {`{"a.b":1,"a":{"b":2},"c,d":3}`, `a\.b,c\,d`, `{"a":{"b":"int"},"a.b":"=1","c,d":"=3"}`},
		"long":     {`{"s":"` + strings.Repeat("x", MaxRevealed) + `"}`, `s`, `{"s":"str"}`},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := ReadReveals(c.reveal)
			if err != nil {
				t.Fatal(err)
			}
			got, err := NewShape(decoded(t, c.text), func(path []string, _ any) bool { return Reveals(list, path) })
			if err != nil || string(got) != c.want {
				t.Fatalf("got %s, %v; want %s", got, err, c.want)
			}
			if again, err := ReadShape(got); err != nil || string(again) != c.want {
				t.Errorf("read again: %s, %v", again, err)
			}
		})
	}
}

func TestNewShape_limits(t *testing.T) {
	many := map[string]any{}
	for i := range MaxShapeValues {
		many[fmt.Sprint(i)] = true
	}
	var deep any = "secret"
	for range MaxShapeDepth + 1 {
		deep = []any{deep}
	}
	long := map[string]any{}
	for i := range MaxShapeBytes / MaxShapeKey {
		long[fmt.Sprintf("%0*d", MaxShapeKey-1, i)] = "secret"
	}
	for name, v := range map[string]any{
		"many": many, "deep": deep, "long": long, "key": map[string]any{strings.Repeat("k", MaxShapeKey+1): "secret"},
		"placeholder": map[string]any{"a" + Mark + strings.Repeat("b", bodyLength): "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := NewShape(v, func([]string, any) bool { return false })
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %.80s, %v", s, err)
			}
		})
	}
}

func TestReadShape(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": ``, "type": `"bytes"`, "number": `1`, "space": `{"a": "str"}`, "order": `{"b":"str","a":"str"}`,
		"twice": `{"a":"str","a":"str"}`, "two": `"str""str"`, "more": `"str" `, "revealed_map": `"={}"`,
		"revealed_nothing": `"=null"`, "value": `{"a":"hunter2"}`, "placeholder": `"=\"a` + Mark + strings.Repeat("b", bodyLength) + `\""`,
		"infinite": `"=1e999"`, "deep": strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := ReadShape([]byte(text)); err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %s, %v", s, err)
			}
		})
	}
}

func TestShape_Fill(t *testing.T) {
	s := Shape(`{"a":{"b":"str","c":"=true"},"l":["int",null,"=\"x\""]}`)
	var leaves []Leaf
	got, err := s.Fill(func(l Leaf) string {
		leaves = append(leaves, l)
		return fmt.Sprint("#", len(leaves))
	})
	want := map[string]any{"a": map[string]any{"b": "#1", "c": true}, "l": []any{"#2", nil, "x"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if want := []Leaf{{[]string{"a", "b"}, "str"}, {[]string{"l", "0"}, "int"}}; !reflect.DeepEqual(leaves, want) {
		t.Errorf("leaves %v", leaves)
	}
}

// FuzzShape reads what a spoke may send. What is accepted has one form, and is filled with one text for each leaf.
func FuzzShape(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":"str","c":"=true"},"l":["int",null,"=\"x\""]}`, `"str"`, `null`, `"=1"`, `[[]]`,
		`{"":"bool"}`, `{"a":"=\"=\""}`, `"=1e5"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ReadShape(data)
		if err != nil {
			return
		}
		if string(s) != string(data) {
			t.Fatalf("%q was read as %q", data, s)
		}
		tree, err := s.Fill(func(Leaf) string { return "x" })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(tree); err != nil {
			t.Fatal(err)
		}
	})
}
