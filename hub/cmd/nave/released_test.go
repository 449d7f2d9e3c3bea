package main

import (
	"strings"
	"testing"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestPrintReleased prints the remote bases below the table: once if they did not change.
func TestPrintReleased(t *testing.T) {
	app := func(name string) *adminv1.ReleasedApplication {
		return &adminv1.ReleasedApplication{Key: &adminv1.ObjectKey{Kind: "Kustomization", Namespace: "apps", Name: name},
			Change: adminv1.ApplicationChange_APPLICATION_CHANGE_CHANGED, Revision: "main@sha1:1", RevisionBefore: "main@sha1:0"}
	}
	moved, same, plain, added := app("moved"), app("same"), app("plain"), app("added")
	moved.Bases, moved.BasesBefore = []string{"b at v2", "c at v1"}, []string{"b at v1", "c at v1"}
	same.Bases, same.BasesBefore = []string{"b at v2"}, []string{"b at v2"}
	added.Bases, added.RevisionBefore = []string{"b at v2"}, ""
	var out strings.Builder
	list := releasedOf([]*adminv1.ReleasedApplication{moved, same, plain, added})
	if err := (&printer{out: &out}).print(printoutOfReleased("east", list, "REVISION", "BEFORE")); err != nil {
		t.Fatal(err)
	}
	_, bases, _ := strings.Cut(out.String(), "Remote bases of")
	if want := ` Kustomization apps/moved: b at v2, c at v1
    before: b at v1, c at v1
Remote bases of Kustomization apps/same: b at v2
Remote bases of Kustomization apps/added: b at v2
`; bases != want {
		t.Errorf("printed:\n%s", out.String())
	}
}
