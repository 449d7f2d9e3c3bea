package bundle

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestObjectValues(t *testing.T) {
	tests := []struct {
		name, json   string
		values, maps int
	}{
		{"text", `"a,[{"`, 1, 0},
		{"escaped", `"a\"b,\\"`, 1, 0},
		{"empty", `[]`, 1, 0},
		{"empties", `[{},[],{ }]`, 4, 0},
		{"list", `[1, 2]`, 3, 0},
		{"map", `{"a": "x", "b": [null]}`, 4, 1},
		{"nested", `{"a":{"a":{"a":0}}}`, 4, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if values, maps := ObjectValues([]byte(tt.json)); values != tt.values || maps != tt.maps {
				t.Errorf("%d values, %d maps, want %d, %d", values, maps, tt.values, tt.maps)
			}
		})
	}
}

// FuzzObjectValues compares the count with what a parser finds.
func FuzzObjectValues(f *testing.F) {
	for _, text := range []string{`{"a":[1,{"b":"\\\""},[]],"c":{}}`, `[[[[]]]]`, `"`, `{`, ` [ { } , "}" ] `} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		values, maps := ObjectValues(data)
		var tree any
		if json.Unmarshal(data, &tree) != nil || hasTwins(data) {
			return
		}
		if wantValues, wantMaps := countTree(tree); values != wantValues || maps != wantMaps {
			t.Errorf("%q: %d values, %d maps, want %d, %d", data, values, maps, wantValues, wantMaps)
		}
	})
}

// hasTwins reports whether a JSON text may have a key twice, of which a parser keeps one.
func hasTwins(data []byte) bool {
	var tree any
	_ = json.Unmarshal(data, &tree)
	again, _ := json.Marshal(tree)
	return bytes.Count(data, []byte(":")) != bytes.Count(again, []byte(":"))
}

func countTree(v any) (values, maps int) {
	values = 1
	add := func(child any) {
		v, m := countTree(child)
		values, maps = values+v, maps+m
	}
	switch v := v.(type) {
	case []any:
		for _, child := range v {
			add(child)
		}
	case map[string]any:
		if len(v) > 0 {
			maps++
		}
		for _, child := range v {
			add(child)
		}
	}
	return values, maps
}

func TestSealedFileValues(t *testing.T) {
	leaf := "ENC[AES256_GCM,data:9+/=,iv:a,tag:b,type:str]"
	tests := []struct {
		name, yaml string
		want       int
	}{
		{"empty", "", 1},
		{"leaf", "a: " + leaf + "\n", 2},
		{"leaf_in_a_list", "a:\n  - " + leaf + "\n  - " + leaf + "\n", 4},
		{"no_leaf", "ENC[AES256_GCM, a]", 3},
		{"no_end", "ENC[AES256_GCM,a", 3},
		{"url_and_time", "a: https://x:80/y\nb: 10:20:30-01\n", 3},
		{"flow", "{a: [0,0], b: }", 7},
		{"comments", "#\n# a\na: b # c\n", 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := SealedFileValues([]byte(tt.yaml)); got != tt.want {
				t.Errorf("%d values, want %d", got, tt.want)
			}
		})
	}
}

// FuzzSealedFileValues holds the count against the nodes that the YAML parser makes: a value has at most a key and the
// map that a pair in a list stands for beside it.
func FuzzSealedFileValues(f *testing.F) {
	for _, text := range []string{
		"a: b\n", "- - - a\n", "[[[[0,0]]]]", "{a,b,c}", "[a: b, \"c\":d]", "? a\n? b\n", "a:\n b:\n  c:\n", "[a " +
			":b]", "{a,b :c}", "#a\n#b\n",
		"a: ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]\n", "[ENC[AES256_GCM,0,0,0,0,0]]", "a: |\n  " +
			"x\n", "---\n...\n---\n", "&a [*a,*a]", "[*a:b,*a:b]", "[&a:b,&a:b]", "[!a:b,!a:b]",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := yaml.NewDecoder(bytes.NewReader(data))
		nodes, documents := 0, 0
		for ; ; documents++ {
			var doc yaml.Node
			if d.Decode(&doc) != nil {
				break
			}
			nodes += countNodes(&doc)
		}
		if most := 3*SealedFileValues(data) + 2*documents; nodes > most {
			t.Errorf("%q: %d nodes, want at most %d", data, nodes, most)
		}
	})
}

func countNodes(n *yaml.Node) int {
	count := 1
	for _, comment := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		count += strings.Count(comment, "#") / 2 // a line of a comment takes half of what a node does
	}
	for _, child := range n.Content {
		count += countNodes(child)
	}
	return count
}
