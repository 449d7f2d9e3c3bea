package api

import "testing"

// TestLaterRequest compares requests of operators and in annotations.
func TestLaterRequest(t *testing.T) {
	const first, second = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05.5+01:00"
	for name, tt := range map[string]struct{ operators, annotation, want string }{
		"none":             {"", "", ""},
		"operators":        {first, "", first},
		"annotation":       {"", "now", "now"},
		"later_annotation": {first, second, second},
		"later_operators":  {second, first, second},
		"not_a_time":       {first, "now", first},
		"no_times":         {"one", "two", "one"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := LaterRequest(tt.operators, tt.annotation); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
