package kube

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/shared/reporting"
)

func TestSchemas(t *testing.T) {
	c, _ := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"paths": {"apis/example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/example.com/v1?hash=0AFF"},
			"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=zz"}, "apis/example.com": {}, "version": {},
			"apis/../v1": {}, "apis/a/b/c": {}, "api": {}}}`)
	})
	all, err := c.Schemas(t.Context())
	if got := fmt.Sprintf("%s %x %v", all[0].GroupVersion, all[1].Hash, all[1].GroupVersion); err != nil ||
		len(all) != 2 || got != "v1 0aff example.com/v1" || len(all[0].Hash) != 0 {
		t.Errorf("%v, error %v", all, err)
	}
}

func TestSchema(t *testing.T) {
	for _, answer := range []struct {
		name, document, want string
		code                 int
		compress             bool
	}{
		{"compressed", "a document", "", 200, true},
		{"plain", "a document", "", 200, false},
		{"missing", `{"message": "the server could not find the requested resource"}`, "could not find", 404, false},
		{"large", strings.Repeat("a", reporting.MaxSchema+1), "more than 16 MiB", 200, false},
	} {
		t.Run(answer.name, func(t *testing.T) {
			c, s := scripted(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "gzip" || r.Header.Get("Accept") != "application/json" {
					t.Errorf("asked with %v", r.Header)
				}
				if !answer.compress {
					w.WriteHeader(answer.code)
					fmt.Fprint(w, answer.document)
					return
				}
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				fmt.Fprint(z, answer.document)
				_ = z.Close()
			})
			var got bytes.Buffer
			err := c.Schema(t.Context(), schema.GroupVersion{Group: "apps", Version: "v1"}, &got)
			if answer.want != "" {
				if err == nil || !strings.Contains(err.Error(), answer.want) {
					t.Errorf("error %v, want %q", err, answer.want)
				}
				return
			}
			z, zerr := gzip.NewReader(&got)
			if err != nil || zerr != nil {
				t.Fatalf("%v, %v", err, zerr)
			}
			text, err := io.ReadAll(z)
			if err != nil || string(text) != answer.document || s.requests() != "GET /openapi/v3/apis/apps/v1" {
				t.Errorf("%q, error %v, requests %s", text, err, s.requests())
			}
		})
	}
	c, s := scripted(t, func(http.ResponseWriter, *http.Request) {})
	for _, gv := range []schema.GroupVersion{{Version: "../../api/v1/secrets"}, {Group: "a/b", Version: "v1"}, {}} {
		if err := c.Schema(t.Context(), gv, io.Discard); err == nil || s.requests() != "" {
			t.Errorf("%s: error %v, requests %s", gv, err, s.requests())
		}
	}
}
