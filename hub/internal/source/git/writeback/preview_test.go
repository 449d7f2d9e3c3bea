package writeback_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/source"
)

// TestPreview says what a run would push, pushes nothing, and leaves the next run as it would be without.
func TestPreview(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.setCommit("messageTemplate", "bump{{ range .Changed.Changes }} {{ .NewValue }}{{ end }}")
	w.set("push", map[string]any{"branch": "images"})
	w.commit(map[string]string{"apps/web.yaml": deployment("org/web:1"),
		"secret.yaml": "kind: Secret\nstringData:\n  pass: S3CRET\n  image: org/web:1 # {\"$imagepolicy\": \"shop:web\"}\n",
		"other.yaml":  "a: b # {\"$imagepolicy\": \"shop:none\"}\n"})
	w.policies["web"] = "org/web:2"
	before := w.served("for-each-ref")

	p, err := w.preview()
	w.do(err)
	if len(p.Commits) != 1 {
		t.Fatalf("got %+v", p)
	}
	c := p.Commits[0]
	if p.Checkout != "main@sha1:"+w.head("main") || !slices.Equal(c.Targets, []string{"refs/heads/images"}) ||
		c.Message != "bump org/web:2" {
		t.Errorf("got %+v", p)
	}
	for _, want := range []string{"--- a/apps/web.yaml\n+++ b/apps/web.yaml\n", "-      image: 'org/web:1'   #",
		"+      image: 'org/web:2'   #", "   pass: <hidden>\n-  image: <hidden, before>\n+  image: <hidden, after>\n"} {
		if !strings.Contains(c.Diff, want) {
			t.Errorf("%q is missing in the diff:\n%s", want, c.Diff)
		}
	}
	if len(p.Problems) != 1 || !strings.HasPrefix(p.Problems[0], "other.yaml: line 1: ") {
		t.Errorf("problems %q", p.Problems)
	}
	if strings.Contains(c.Diff, "S3CRET") || w.served("for-each-ref") != before {
		t.Error("a Secret is shown, or something was pushed")
	}

	w.runs("pushed commit")
	w.holds("images:apps/web.yaml", deployment("org/web:2"))
	p, err = w.preview()
	if err != nil || len(p.Commits) != 0 || len(p.Problems) != 1 ||
		!slices.Equal(p.Unpushed, []string{"branch images has the changes already"}) {
		t.Errorf("after the run: %+v, %v", p, err)
	}
	w.runs("nothing to push: branch 'images' has the changes, which are not merged yet")
}

// TestPreview_names has files whose names look like lines of a diff and of a message: they are told in quotes.
func TestPreview_names(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	const name = "a\n+++ b\n+image: x.yaml"
	w.commit(map[string]string{name: "a: x # {\"$imagepolicy\": \"shop:web\"}\nb: x # {\"$imagepolicy\": \"shop:none\"}\n",
		"größe.yaml": "a: x # {\"$imagepolicy\": \"shop:web\"}\n"})
	w.policies["web"] = "org/web:2"
	p, err := w.preview()
	if err != nil || len(p.Commits) != 1 || len(p.Problems) != 1 {
		t.Fatalf("got %+v, %v", p, err)
	}
	if diff := p.Commits[0].Diff; !strings.HasPrefix(diff, "--- \"a/a\\n+++ b\\n+image: x.yaml\"\n+++ \"b/a\\n") ||
		!strings.Contains(diff, "--- a/größe.yaml\n") {
		t.Errorf("the diff is\n%s", diff)
	}
	if !strings.HasPrefix(p.Problems[0], `"a\n+++ b\n+image: x.yaml": line 2: `) {
		t.Errorf("the problem is %q", p.Problems[0])
	}
}

// TestPreview_unpushed says why a run would push nothing.
func TestPreview_unpushed(t *testing.T) {
	why := func(w *world) string {
		w.Helper()
		p, err := w.preview()
		w.do(err)
		if len(p.Commits) > 0 {
			t.Errorf("got %+v", p)
		}
		return strings.Join(p.Unpushed, ", ")
	}
	w, server := newReview(t, false)
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	if got := why(w); got != "no file would change" {
		t.Errorf("without an image: %s", got)
	}
	w.policies["web"] = "org/web:2"
	w.runs("pushed commit")
	server.Decline(1)
	w.served("update-ref", "-d", "refs/heads/image-update")
	if got := why(w); !strings.Contains(got, "/pull/1 was closed without a merge: its changes are not proposed again") {
		t.Errorf("after people declined the request: %s", got)
	}
}

// TestPreview_refused fails as the run would, whose commit the GitRepository would refuse.
func TestPreview_refused(t *testing.T) {
	w := newWorld(t, gittest.Options{})
	w.commit(map[string]string{"web.yaml": deployment("org/web:1")})
	w.policies["web"] = "org/web:2"
	w.setCommit("messageTemplate", "{{ .Nothing }}")
	if _, err := w.preview(); !errors.Is(err, source.ErrRequest) || !strings.Contains(err.Error(), "messageTemplate") {
		t.Errorf("got %v", err)
	}
}
