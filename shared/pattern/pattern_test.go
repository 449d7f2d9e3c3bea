package pattern

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

// TestSize refuses a large regular expression before it takes the memory.
func TestSize(t *testing.T) {
	for text, fits := range map[string]bool{
		"": true, "^Run": true, "(a|b|c)+[^x-z]*": true, `(\d{1,3}\.){3}\d{1,3}`: true, "(?i:server|name)": true,
		`^[\pL]{1,63}(-[\pL]{1,63})?$`: true, "(.{10}){30,}": true, strings.Repeat("a", 490): true,
		"a{500}": false, "((a{9}){9}){9}": false, strings.Repeat("(.{1000})", 400): false,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		size, err := Size(text)
		runtime.ReadMemStats(&after)
		tooLarge := errors.Is(err, ErrTooLarge)
		if took := after.TotalAlloc - before.TotalAlloc; fits != (err == nil) || fits == tooLarge || took > 4<<20 {
			t.Errorf("%.20q: %d, %v, and %d bytes", text, size, err, took)
		}
	}
	_, err := Size(strings.Repeat("()", 1<<20))
	if err == nil || !strings.Contains(err.Error(), "the limit is 4096") {
		t.Error(err)
	}
	if _, err := Compile("("); err == nil || !strings.Contains(err.Error(), "missing closing )") {
		t.Error(err)
	}
	if p, err := Compile("^a+$"); err != nil || !p.MatchString("aaa") {
		t.Error(err)
	}
}
