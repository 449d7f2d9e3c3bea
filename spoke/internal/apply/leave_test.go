package apply

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// TestLeaveFields makes an object say what the live object says. Indexes are those of the object as it is in Git.
func TestLeaveFields(t *testing.T) {
	for _, c := range []struct {
		name, git, live string
		paths           [][]string
		want            string
	}{
		{"value", `{"s":{"a":1,"b":1}}`, `{"s":{"a":2,"b":2}}`, [][]string{{"s", "a"}}, `{"s":{"a":2,"b":1}}`},
		{"absent", `{"s":{"a":1,"b":1}}`, `{"s":{}}`, [][]string{{"s", "a"}}, `{"s":{"b":1}}`},
		{"elements", `{"l":["0","1","2"]}`, `{"l":[]}`, [][]string{{"l", "0"}, {"l", "1"}}, `{"l":["2"]}`},
		{"elements_backward", `{"l":["0","1","2"]}`, `{"l":[]}`, [][]string{{"l", "2"}, {"l", "0"}}, `{"l":["1"]}`},
		{"element_twice", `{"l":["0","1"]}`, `{"l":[]}`, [][]string{{"l", "0"}, {"l", "00"}, {"l", "0"}}, `{"l":["1"]}`},
		{"some_elements", `{"l":["0","1","2"]}`, `{"l":["x"]}`, [][]string{{"l", "0"}, {"l", "1"}}, `{"l":["x","2"]}`},
		{"inside_of_an_element", `{"l":[["0","1"],["2","3"],["4"]]}`, `{"l":[]}`,
			[][]string{{"l", "0"}, {"l", "0", "1"}, {"l", "1", "0"}, {"l", "2", "0"}}, `{"l":[["3"],[]]}`},
		{"list_and_element", `{"l":["0","1"]}`, `{"l":["x"]}`, [][]string{{"l", "1"}, {"l"}}, `{"l":["x"]}`},
		{"no_index", `{"l":["0","1"]}`, `{"l":[]}`, [][]string{{"l", "-"}, {"l", "9"}, {"l", "x"}}, `{"l":["0","1"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			git, live := &manifest.Object{}, &manifest.Object{}
			for text, o := range map[string]*manifest.Object{c.git: git, c.live: live} {
				if err := json.Unmarshal([]byte(text), &o.Object); err != nil {
					t.Fatal(err)
				}
			}
			leaveFields(git, kube.Live{Object: live}, kube.Takeover{}, c.paths)
			if got, err := json.Marshal(git.Object); err != nil || string(got) != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
}

// TestLeaveFields_long removes many elements of a long list.
func TestLeaveFields_long(t *testing.T) {
	const n = 50_000
	var list []any
	var paths [][]string
	for i := range n {
		list = append(list, fmt.Sprint(i))
		paths = append(paths, []string{"l", fmt.Sprint(i)})
	}
	started := time.Now()
	git := &manifest.Object{Object: map[string]any{"l": list}}
	leaveFields(git, kube.Live{Object: &manifest.Object{Object: map[string]any{}}}, kube.Takeover{}, paths[1:])
	left, _ := git.Object["l"].([]any)
	if took := time.Since(started); took > 5*time.Second || len(left) != 1 || left[0] != "0" {
		t.Errorf("%d elements after %s", len(left), took)
	}
}
