package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// changeOf is the change of a Kustomization of a cluster in a watch.
func changeOf(name, ready string) *adminv1.WatchResponse {
	return &adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_CHANGED, Object: &adminv1.Object{
		Key: &adminv1.ObjectKey{Cluster: "east", Kind: "Kustomization", Namespace: "flux-system", Name: name},
		Json: fmt.Appendf(nil, `{"kind":"Kustomization","metadata":{"name":%q,"namespace":"flux-system"},`+
			`"status":{"conditions":[{"type":"Ready","status":%q,"message":"m"}]}}`, name, ready),
	}}
}

// TestWatch_aligned prints a change below the headings of the first objects.
func TestWatch_aligned(t *testing.T) {
	kind, err := api.FindKind("ks")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := &changePrinter{printer: &printer{out: &out}, kind: kind}
	for _, change := range []*adminv1.WatchResponse{changeOf("a", "True"), changeOf("a-long-name", "True"),
		{Type: adminv1.WatchType_WATCH_TYPE_SYNCED}, changeOf("a", "Unknown")} {
		if err := p.printChange(change); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("printed:\n%s", out.String())
	}
	at := strings.Index(lines[0], "READY")
	for i, want := range []string{"True", "True", "Unknown"} {
		if line := lines[i+1]; len(line) < at || !strings.HasPrefix(line[at:], want) {
			t.Errorf("%q is not below the heading in\n%s", want, out.String())
		}
	}
}

// TestWatch_deleted tells that an object is gone, of which the hub sends only the key, and goes on.
func TestWatch_deleted(t *testing.T) {
	gone := func(name string) *adminv1.WatchResponse {
		return &adminv1.WatchResponse{Type: adminv1.WatchType_WATCH_TYPE_DELETED,
			Object: &adminv1.Object{Key: changeOf(name, "").GetObject().GetKey()}}
	}
	var out bytes.Buffer
	p := &changePrinter{printer: &printer{out: &out, outputFlags: outputFlags{format: "name"}}}
	for _, format := range []string{"", "name"} {
		p.format = format
		for _, change := range []*adminv1.WatchResponse{changeOf("a", "True"), gone("a"),
			{Type: adminv1.WatchType_WATCH_TYPE_SYNCED}, gone("b")} {
			if err := p.printChange(change); err != nil {
				t.Fatal(err)
			}
		}
	}
	const name = "Kustomization flux-system/"
	if want := name + "a on east deleted\n" + name + "b on east deleted\nkustomization.kustomize.toolkit.fluxcd.io/a\n" +
		name + "a on east deleted\n" + name + "b on east deleted\n"; out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
}

// TestWatch_deleted_json keeps what is no object out of what a program reads.
func TestWatch_deleted_json(t *testing.T) {
	out, errOut := nave(t, serve(t, &hostileHub{}), "get", "kustomizations", "-w", "-o", "jsonpath={.apiVersion}")
	if out != "v1" || !strings.Contains(errOut, " deleted") {
		t.Errorf("printed %q and %q", out, errOut)
	}
}

// TestWatch_range carries the same template out for each change.
func TestWatch_range(t *testing.T) {
	template, err := parsePath(`{.metadata.name}:{range .status.conditions[*]}{.type}={.status}{end};`)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := &changePrinter{printer: &printer{out: &out, outputFlags: outputFlags{format: jsonPath}, path: template}}
	for _, name := range []string{"a", "b", "c"} {
		if err := p.printChange(changeOf(name, "True")); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != "a:Ready=True;b:Ready=True;c:Ready=True;" {
		t.Errorf("printed %s", out.String())
	}
}

// TestGet_name prints an object as kubectl does with -o name.
func TestGet_name(t *testing.T) {
	rows, err := decodeRows([]*adminv1.Object{changeOf("app", "True").GetObject()}, "")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := &printer{out: &out, outputFlags: outputFlags{format: "name"}}
	if err := printRows(p, &out, api.Kind{}, rows, false); err != nil ||
		out.String() != "kustomization.kustomize.toolkit.fluxcd.io/app\n" {
		t.Errorf("%v, printed %q", err, out.String())
	}
}

// TestKindOf_events asks for events as an object.
func TestKindOf_events(t *testing.T) {
	if _, _, err := kindOf([]string{"events"}); err == nil || !strings.Contains(err.Error(), "nave events") {
		t.Errorf("got %v", err)
	}
}
