package version

import (
	"strings"
	"testing"
)

func TestStringLinked(t *testing.T) {
	defer func(v, c string) { Version, Commit = v, c }(Version, Commit)
	Version, Commit = "v1.2.3", "abc"
	if got := String(); !strings.HasPrefix(got, "v1.2.3 (abc, go") {
		t.Errorf("%q", got)
	}
}

func TestStringUnlinked(t *testing.T) {
	if v, c := Build(); v == "" || c == "" {
		t.Errorf("version %q, commit %q", v, c)
	}
}
