package store

import (
	"encoding/json"
	"slices"
	"testing"
)

// TestBaseNames_json writes names as a list, and reads rows from before there was a list.
func TestBaseNames_json(t *testing.T) {
	names := []string{"https://git.example/a?x=1, 2 at v1", "b at v2"}
	data, err := json.Marshal(Content{Bases: NewBaseNames(names)})
	if err != nil {
		t.Fatal(err)
	}
	var row struct{ Bases []string }
	if err := json.Unmarshal(data, &row); err != nil || !slices.Equal(row.Bases, names) {
		t.Errorf("%s: %q, %v", data, row.Bases, err)
	}
	for text, want := range map[string][]string{
		string(data): names, `{"bases": "a at v1, b at v2"}`: {"a at v1", "b at v2"}, `{}`: nil,
	} {
		var c Content
		if err := json.Unmarshal([]byte(text), &c); err != nil || !slices.Equal(c.Bases.List(), want) {
			t.Errorf("%s: %q, %v", text, c.Bases.List(), err)
		}
	}
	if json.Unmarshal([]byte(`{"bases": 1}`), new(Content)) == nil {
		t.Error("a number is a list of names")
	}
}
