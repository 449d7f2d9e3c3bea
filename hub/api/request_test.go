package api

import "testing"

// TestAnswers compares handled requests with wanted ones.
func TestAnswers(t *testing.T) {
	const first, second, third = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05.5+01:00", "2026-01-02T03:04:06Z"
	const future = "2099-01-01T00:00:00Z"
	for name, tt := range map[string]struct {
		handled, wanted, last string
		want                  bool
	}{
		"none":               {"", first, first, false},
		"none_known":         {"", first, "", false},
		"wanted":             {first, first, first, true},
		"earlier":            {first, second, second, false},
		"last":               {second, first, second, true},
		"between":            {second, first, third, true},
		"last_of_annotation": {"now", first, "now", true},
		"annotation_before":  {"now", first, first, false},
		"future_before":      {future, first, first, false},
		"future_is_last":     {future, first, future, true},
		"wanted_before_last": {first, first, "now", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Answers(tt.handled, tt.wanted, tt.last); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
