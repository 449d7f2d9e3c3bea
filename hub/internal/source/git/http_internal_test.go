package git

import (
	"net/http"
	"strings"
	"testing"
)

// TestHTTP_no_secret names the GitRepository that needs a Secret, and says for what.
func TestHTTP_no_secret(t *testing.T) {
	refused := &http.Response{StatusCode: http.StatusUnauthorized, Status: "401 Unauthorized"}
	const owner = "GitRepository flux-system/apps"
	for service, want := range map[string]string{
		receivePack: owner + " has no Secret. Reading needs none, but pushing does: name one in its spec.secretRef",
		uploadPack:  owner + " has no Secret: name one in its spec.secretRef",
	} {
		if err := (&httpSession{service: service, owner: owner}).check(refused, ""); !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", service, err)
		}
		err := (&httpSession{service: service}).check(refused, "")
		if err == nil || !strings.Contains(err.Error(), "check the Secret") {
			t.Errorf("%s with a Secret: %v", service, err)
		}
	}
}
