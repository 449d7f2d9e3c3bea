package source

import (
	"testing"
	"time"
)

func TestTimeLimit(t *testing.T) {
	for name, c := range map[string]struct{ asked, want time.Duration }{
		"default":  {0, time.Minute},
		"less":     {time.Second, time.Second},
		"more":     {10 * time.Minute, 10 * time.Minute},
		"too_much": {24 * time.Hour, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Request{Timeout: c.asked}).TimeLimit(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
