package reporting

import "testing"

// TestDescribeChange names a value before and after, unless both show the same.
func TestDescribeChange(t *testing.T) {
	for name, c := range map[string]struct{ was, is, want string }{
		"added":         {"", `"1"`, `/a was added: "1"`},
		"removed":       {`"1"`, "", `/a was removed: "1"`},
		"changed":       {`"1"`, `"2"`, `/a: "1" became "2"`},
		"masked":        {`"***"`, `"***"`, "/a: a secret value differs"},
		"masked_parts":  {`{"b":"***"}`, `{"b":"***"}`, "/a: a secret value differs"},
		"redacted":      {`"u:[redacted]@h"`, `"u:[redacted]@h"`, "/a: a secret value differs"},
		"left_out":      {`"[redacted: too much]"`, `"[redacted: too much]"`, "/a: a secret value differs"},
		"one_redacted":  {`"u:[redacted]@h"`, `"u:x@h"`, `/a: "u:[redacted]@h" became "u:x@h"`},
		"secret_added":  {"", `"***"`, `/a was added: "***"`},
		"cut_the_same":  {`"long…`, `"long…`, `/a: what is not shown differs: "long…`},
		"other_lengths": {`{"b":"***"}`, `{"b":"***","c":"***"}`, `/a: {"b":"***"} became {"b":"***","c":"***"}`},
	} {
		if got := DescribeChange("/a", c.was, c.is); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
