package plugin

import (
	"fmt"
	"testing"
)

func TestParseGitHelpers(t *testing.T) {
	for _, bad := range []string{"", "aws", "aws=", "aws= ", "gcp=x", "=x"} {
		if h, err := ParseGitHelpers([]string{bad}); err == nil {
			t.Errorf("%q became %v", bad, h)
		}
	}
	if _, err := ParseGitHelpers([]string{"aws=a", "aws=b"}); err == nil {
		t.Error("two helpers of one provider")
	}
	if h, err := ParseGitHelpers(
		[]string{"aws=a  b", "azure=c"},
	); err != nil ||
		fmt.Sprint(h) != "map[aws:[a b] azure:[c]]" {
		t.Errorf("got %v, %v", h, err)
	}
}
