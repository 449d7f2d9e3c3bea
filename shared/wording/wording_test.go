package wording

import (
	"strings"
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 clusters", 1: "1 cluster", 2: "2 clusters"} {
		if got := Count(n, "cluster"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestList(t *testing.T) {
	for name, c := range map[string]struct {
		names       []string
		total, most int
		want        string
	}{
		"none":    {nil, 0, 3, ""},
		"all":     {[]string{"a", "b", "c"}, 3, 3, "a, b, c"},
		"some":    {[]string{"a", "b", "c"}, 3, 2, "a, b, and 1 more"},
		"unnamed": {[]string{"a", "b"}, 9, 3, "a, b, and 7 more"},
	} {
		if got := List(c.names, c.total, c.most); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestShorten keeps the beginning and the end of a long text, and cuts no character in two.
func TestShorten(t *testing.T) {
	for text, want := range map[string]string{"": "", "abcdef": "abcdef", "abcdefg": "abc … efg", "aéébcéé": "aé … é"} {
		if got := Shorten(text, 6); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestTime(t *testing.T) {
	zone := time.FixedZone("east", 3600)
	if got := Time(time.Date(2026, 1, 2, 0, 4, 5, 6, zone)); got != "2026-01-01T23:04:05Z" {
		t.Error(got)
	}
}

func TestDistance(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"main", "main", 0}, {"main", "mian", 2}, {"main", "mai", 1}, {"", "abc", 3}, {"master", "faster", 1},
		{"kitten", "sitting", 3}, {long, long + "y", 0}} {
		if got, back := Distance(c.a, c.b), Distance(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("%q, %q: %d and %d, want %d", c.a, c.b, got, back, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"apps", "infrastructure", "clusters"}
	for wrong, want := range map[string]string{"app": "apps", "infra": "infrastructure", "cluster": "clusters",
		"clutsers": "clusters", "zebra": ""} {
		if got := Nearest(wrong, names); got != want {
			t.Errorf("%s: %q, want %q", wrong, got, want)
		}
	}
}

func TestA(t *testing.T) {
	for noun, want := range map[string]string{"Cluster": "a Cluster", "ImagePolicy": "an ImagePolicy",
		"OCIRepository": "an OCIRepository", "unit": "a unit", "": "a "} {
		if got := A(noun); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
