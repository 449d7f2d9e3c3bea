package registry

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// TestClassify_words quotes what a registry says to people, and not its data.
func TestClassify_words(t *testing.T) {
	repository, err := name.NewRepository("ghcr.io/org/app")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		detail any
		want   string
	}{
		"none": {nil, `the registry says "DENIED: not yours"; `},
		"data": {[]any{map[string]any{"Action": "pull"}}, `the registry says "DENIED: not yours"; `},
		"text": {"ask Ada", `the registry says "DENIED: not yours; ask Ada"; `},
	} {
		t.Run(name, func(t *testing.T) {
			answer := &transport.Error{StatusCode: http.StatusUnauthorized,
				Errors: []transport.Diagnostic{{Code: "DENIED", Message: "not yours", Detail: c.detail}}}
			if err := (&Access{Repository: repository}).Classify(answer); !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
