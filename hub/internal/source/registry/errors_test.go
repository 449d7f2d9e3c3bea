package registry

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/navefleet/nave/hub/internal/source"
)

// TestClassify_advice names what gave the credentials that the registry refuses.
func TestClassify_advice(t *testing.T) {
	repository, err := name.NewRepository("ghcr.io/org/app")
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]source.Secret{"spec.secretRef": {
		source.DockerConfigKey: []byte(`{"auths": {"ghcr.io": {"username": "u", "password": "p"}}}`)}}
	for giver, want := range map[string]string{
		"":                             "; check the credentials for ghcr.io in the Secret of spec.secretRef",
		`the credential helper "pass"`: `; check the credentials for ghcr.io that the credential helper "pass" gives`,
	} {
		a := &Access{Repository: repository}
		if _, err := a.credentials(source.Request{Secrets: config, Giver: giver}); err != nil {
			t.Fatal(err)
		}
		if err := a.Classify(&transport.Error{StatusCode: http.StatusForbidden}); !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

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
