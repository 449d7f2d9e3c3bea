package inventory

import (
	"testing"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

func TestJudge(t *testing.T) {
	ours, theirs := manifest.DigestOf([]byte("ours")), manifest.DigestOf([]byte("theirs"))
	item := Item{UID: "u", ResourceVersion: "10", Managed: ours}
	in := func(mode Mode) Item { i := item; i.Mode = mode; return i }
	for _, c := range []struct {
		name string
		item Item
		live kube.Live
		want DriftKind
	}{
		{"as it was", item, kube.Live{UID: "u", ResourceVersion: "10", Managed: ours}, ""},
		{"only others' fields moved", item, kube.Live{UID: "u", ResourceVersion: "12", Managed: ours,
			Others: []string{"hpa"}}, ""},
		{"a field of ours has another owner", item, kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs}, Changed},
		{"managedFields were stripped", item, kube.Live{UID: "u", ResourceVersion: "12"}, Changed},
		{"a look from before the apply", item, kube.Live{UID: "u", ResourceVersion: "9", Managed: theirs}, ""},
		{"made anew by others", item, kube.Live{UID: "v", ResourceVersion: "12", Managed: ours}, Replaced},
		{"kubectl added a field", item, kube.Live{UID: "u", ResourceVersion: "12", Managed: ours,
			Adoptable: []string{"kubectl-edit"}}, Changed},
		{"kubectl added a field, and may", in(Merge),
			kube.Live{UID: "u", ResourceVersion: "12", Managed: ours, Adoptable: []string{"kubectl-edit"}}, ""},
		{"a field of ours changed under Merge", in(Merge), kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs},
			Changed},
		{"changed, and made only if missing", in(IfNotPresent),
			kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs}, ""},
		{"changed, and ignored", in(Ignore), kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs}, ""},
		{"not known to be made", Item{}, kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs}, ""},
		{"resource versions that are no numbers", Item{UID: "u", ResourceVersion: "b", Managed: ours},
			kube.Live{UID: "u", ResourceVersion: "a", Managed: theirs}, Changed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.item.Judge(c.live); got.Kind != c.want {
				t.Errorf("%q, want %q", got.Kind, c.want)
			}
		})
	}
}

func TestJudgeMissing(t *testing.T) {
	for _, c := range []struct {
		name   string
		item   Item
		atWork bool
		want   DriftKind
	}{
		{"an object of ours", Item{UID: "u"}, false, Missing},
		{"one that is made only if missing", Item{UID: "u", Mode: IfNotPresent}, false, Missing},
		{"one that is ignored", Item{UID: "u", Mode: Ignore}, false, ""},
		{"one that was never made", Item{}, false, ""},
		{"a job that is done and deleted itself", Item{UID: "u", Expires: true}, false, ""},
		{"a job that was deleted at work", Item{UID: "u", Expires: true}, true, Missing},
	} {
		if got := c.item.JudgeMissing(c.atWork); got.Kind != c.want {
			t.Errorf("%s: %q, want %q", c.name, got.Kind, c.want)
		}
	}
}
