package kube

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
)

func TestData(t *testing.T) {
	for name, test := range map[string]struct {
		kind, answer string
		want         map[string]string // nil: an error
	}{
		"secret":     {"Secret", `{"metadata":{"uid":"u","resourceVersion":"7"},"data":{"a":"aHVudGVyMg=="}}`, map[string]string{"a": "hunter2"}},
		"config_map": {"ConfigMap", `{"metadata":{"uid":"u","resourceVersion":"7"},"data":{"a":"hunter2"},"binaryData":{"b":"eA=="}}`, map[string]string{"a": "hunter2"}},
		"empty":      {"Secret", `{"metadata":{"uid":"u","resourceVersion":"7"}}`, map[string]string{}},
		"null":       {"ConfigMap", `{"metadata":{"uid":"u","resourceVersion":"7"},"data":null}`, map[string]string{}},
		"no_base64":  {"Secret", `{"data":{"a":"hunter2!"}}`, nil},
		"no_text":    {"ConfigMap", `{"data":{"a":["hunter2"]}}`, nil},
		"no_object":  {"Secret", `"hunter2"`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := scripted(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, test.answer) })
			d, err := c.Data(t.Context(), bundle.ObjectIdentity{Version: "v1", Kind: test.kind, Namespace: "n", Name: "s"})
			if test.want == nil {
				if err == nil || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || d.UID != "u" || d.ResourceVersion != "7" || !maps.Equal(d.Values, test.want) {
				t.Errorf("got %+v, %v", d.Values, err)
			}
			if shown := fmt.Sprintf("%v %+v %#v", d, d, d); strings.Contains(shown, "hunter2") {
				t.Error("a value is shown")
			}
		})
	}
}

func TestData_reveal(t *testing.T) {
	c, _ := scripted(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"metadata":{"uid":"u","annotations":{"fleet.nave.io/reveal":"a,b.c"}},"data":{}}`)
	})
	d, err := c.Data(t.Context(), bundle.ObjectIdentity{Version: "v1", Kind: "ConfigMap", Namespace: "n", Name: "s"})
	if err != nil || d.Reveal != "a,b.c" {
		t.Errorf("got %q, %v", d.Reveal, err)
	}
}
