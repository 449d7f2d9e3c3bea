package main

import (
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// oldHub knows no request.
type oldHub struct {
	adminv1.UnimplementedAdminServiceServer
}

// formsOf returns how people name an object of a kind: each with the name x.
func formsOf(kind api.Kind) (forms [][]string) {
	names := []string{kind.Name, kind.Plural}
	if kind.Group != "" {
		names = append(names, strings.ToLower(kind.Name)+"."+kind.Group)
	}
	if kind.Short != "" {
		names = append(names, kind.Short)
	}
	for _, name := range names {
		forms = append(forms, []string{name, "x"}, []string{name + "/x"})
	}
	for _, words := range kind.Words {
		first, second, _ := strings.Cut(words, " ")
		forms = append(forms, []string{first, second, "x"}, []string{first + "s", second, "x"},
			[]string{first, second + "/x"}, []string{words, "x"}, []string{words + "/x"}, []string{first + "-" + second, "x"})
	}
	return forms
}

// TestKindOf_forms finds each kind by each of its forms.
func TestKindOf_forms(t *testing.T) {
	for _, kind := range api.Kinds() {
		for _, form := range formsOf(kind) {
			got, rest, err := kindOf(form)
			if err != nil || got.Name != kind.Name || len(rest) != 1 || rest[0] != "x" {
				t.Errorf("%q: got %s %q, %v", form, got.Name, rest, err)
			}
		}
	}
}

// TestVerbs_kinds names an object of each kind to each verb: all verbs know all of them, and ask the hub.
func TestVerbs_kinds(t *testing.T) {
	config := serve(t, oldHub{})
	for _, verb := range []string{"get", "describe", "export", "delete", "reconcile", "suspend", "resume", "wait", "tree",
		"events", "events --for", "explain"} {
		t.Run(verb, func(t *testing.T) {
			for _, kind := range api.Kinds() {
				if !kind.Supported() || verb == "export" && kind.Derived {
					continue
				}
				args := append(strings.Fields(verb), append(kind.Words, kind.Plural)[0]+"/x")
				_, errOut := nave(t, config, args...)
				if !strings.Contains(errOut, "the hub is too old") {
					t.Errorf("nave %q: %s", args, errOut)
				}
			}
		})
	}
}

// TestVerbs_several has words that stand for several kinds: get and export print all of them, and all other verbs say
// which kinds there are.
func TestVerbs_several(t *testing.T) {
	config := serve(t, oldHub{})
	for _, words := range []string{"images", "image all", "images all", "source", "sources all", "all"} {
		for _, verb := range []string{"get", "export"} {
			args := append([]string{verb}, strings.Fields(words)...)
			if _, errOut := nave(t, config, args...); !strings.Contains(errOut, "the hub is too old") {
				t.Errorf("nave %q: %s", args, errOut)
			}
		}
	}
	for _, verb := range []string{"get", "describe", "delete", "reconcile", "suspend", "wait", "tree", "events",
		"events --for", "explain"} {
		for _, name := range []string{"image/x", "images/x"} {
			args := append(strings.Fields(verb), name)
			_, errOut := nave(t, config, args...)
			if !strings.Contains(errOut, "stands for several kinds: name one of image policy, image repository, image update") {
				t.Errorf("nave %q: %s", args, errOut)
			}
		}
	}
}
