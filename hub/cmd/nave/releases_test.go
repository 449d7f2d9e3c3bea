package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestDiffVersions_release compares releases: hooks and definitions are named, generated values are no change, and no
// value of the release is shown.
func TestDiffVersions_release(t *testing.T) {
	contents := map[manifest.Digest][]byte{}
	object := func(kind, name, text string) bundle.ObjectReference {
		data := fmt.Appendf(nil, `{"apiVersion":"v1","kind":%q,"metadata":{"name":%q},"data":{"a":%q}}`, kind, name, text)
		d := manifest.DigestOf(data)
		contents[d] = data
		return bundle.ObjectReference{ObjectIdentity: bundle.ObjectIdentity{Version: "v1", Kind: kind, Name: name}, Digest: d}
	}
	version := func(password, hook, values, leaves string) *edition {
		o := object("ConfigMap", "generated", password)
		return &edition{app: &bundle.Application{Name: bundle.ApplicationName{Kind: "HelmRelease", Name: "web"},
			Objects: []bundle.ObjectReference{o}, Hooks: []bundle.Hook{{ObjectReference: object("Pod", "before", hook)},
				{ObjectReference: object("Pod", leaves, "same")}}, Prune: true,
			Release: &bundle.Release{Name: "web", Namespace: "shop", Chart: []byte(`{"name":"web","version":"1.0.0"}`),
				Values: []byte(values), CRDs: []bundle.ObjectReference{object("Definition", leaves, "same")},
				Generated: []bundle.GeneratedFields{{Object: o.ObjectIdentity, Fields: []string{"/data/a"},
					Digest: manifest.DigestOf([]byte("without"))}}},
		}, read: func(d manifest.Digest) ([]byte, bool) { data, ok := contents[d]; return data, ok }}
	}
	changes, err := diffVersions("web", version("one", "old", `{"a":"canary"}`, "left"),
		version("two", "new", `{"a":"canary2"}`, "came"))
	if err != nil {
		t.Fatal(err)
	}
	var names, texts []string
	for _, c := range changes {
		names, texts = append(names, strings.TrimSpace(c.object.String())+" "+string(c.verb)), append(texts, c.text)
	}
	const want = " changed,definition Definition came added,definition Definition left left in the cluster," +
		"hook Pod before changed,hook Pod came added,hook Pod left removed"
	if got := strings.Join(names, ","); got != want {
		t.Errorf("changes %q, want %q", got, want)
	}
	if all := strings.Join(texts, ""); strings.Contains(all, "canary") || !strings.Contains(all, "+  a: new") {
		t.Errorf("changes:\n%s", all)
	}
}

// TestReleaseLines prints the options of actions as fields, without those that have Helm's zero values.
func TestReleaseLines(t *testing.T) {
	lines := strings.Join(releaseLines(&bundle.Release{
		Install: bundle.ReleaseAction{Timeout: 5 * time.Minute, DisableWait: true},
		Upgrade: bundle.ReleaseAction{Remediation: bundle.Remediation{Retries: -1}},
		Test:    bundle.ReleaseTest{Enable: true, Only: []string{"a", "b"}},
	}), "\n")
	for _, want := range []string{"install.timeout: 5m0s", "install.disableWait: true", "upgrade.remediation.retries: -1",
		"test.enable: true", "test.filters: a, b"} {
		if !strings.Contains(lines, want+"\n") {
			t.Errorf("%q is missing:\n%s", want, lines)
		}
	}
	if strings.ContainsAny(lines, "{}") || strings.Contains(lines, "rollback.") {
		t.Errorf("lines:\n%s", lines)
	}
}
