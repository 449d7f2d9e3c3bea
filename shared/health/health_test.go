package health

import "testing"

// fromBest is every status, from what nobody worries about to what needs somebody.
var fromBest = []Status{Current, InProgress, Terminating, Unknown, NotFound, Failed}

func TestWorst(t *testing.T) {
	for i, a := range fromBest {
		for j, b := range fromBest {
			if got, want := Worst(a, b), fromBest[max(i, j)]; got != want {
				t.Errorf("Worst(%s, %s) = %s, want %s", a, b, got, want)
			}
		}
	}
}

func TestParse_unknown(t *testing.T) {
	for _, s := range fromBest {
		if got := Parse(string(s)); got != s {
			t.Errorf("Parse(%q) = %s", s, got)
		}
	}
	for _, word := range []string{"", "current", "Healthy"} {
		if got := Parse(word); got != Unknown {
			t.Errorf("Parse(%q) = %s", word, got)
		}
		if Severity(Status(word)) != Severity(Unknown) {
			t.Errorf("Severity(%q) = %d", word, Severity(Status(word)))
		}
	}
}
