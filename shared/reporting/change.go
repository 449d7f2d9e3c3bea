package reporting

import (
	"fmt"
	"strings"
)

// DescribeChange describes in a line how a field was changed. was and is are what the reader may see of its value
// before and after, as JSON; empty: there was no field, or there is none.
func DescribeChange(path, was, is string) string {
	switch {
	case was == "":
		return fmt.Sprintf("%s was added: %s", path, is)
	case is == "":
		return fmt.Sprintf("%s was removed: %s", path, was)
	case was != is:
		return fmt.Sprintf("%s: %s became %s", path, was, is)
	case strings.Contains(was, Mask) || strings.Contains(was, redactedPrefix):
		return path + ": a secret value differs"
	}
	return fmt.Sprintf("%s: what is not shown differs: %s", path, was)
}
