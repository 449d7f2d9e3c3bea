package inventory

import (
	"testing"

	"github.com/navefleet/nave/shared/bundle"
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
		{"unchanged", item, kube.Live{UID: "u", ResourceVersion: "10", Managed: ours}, ""},
		{"fields_of_others", item, kube.Live{UID: "u", ResourceVersion: "12", Managed: ours,
			Others: []string{"hpa"}}, ""},
		{"field_lost", item, kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs}, Changed},
		{"managed_fields_stripped", item, kube.Live{UID: "u", ResourceVersion: "12"}, Changed},
		{"older_than_apply", item, kube.Live{UID: "u", ResourceVersion: "9", Managed: theirs}, ""},
		{"replaced", item, kube.Live{UID: "v", ResourceVersion: "12", Managed: ours}, Replaced},
		{"added_by_kubectl", item, kube.Live{UID: "u", ResourceVersion: "12", Managed: ours,
			Adoptable: []string{"kubectl-edit"}}, Changed},
		{"merge_added_by_kubectl", in(Merge),
			kube.Live{UID: "u", ResourceVersion: "12", Managed: ours, Adoptable: []string{"kubectl-edit"}}, ""},
		{"merge_field_lost", in(Merge), kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs},
			Changed},
		{"if_not_present", in(IfNotPresent),
			kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs}, ""},
		{"ignored", in(Ignore), kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs}, ""},
		{"not_known_to_exist", Item{}, kube.Live{UID: "u", ResourceVersion: "12", Managed: theirs}, ""},
		{"versions_not_numbers", Item{UID: "u", ResourceVersion: "b", Managed: ours},
			kube.Live{UID: "u", ResourceVersion: "a", Managed: theirs}, Changed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.item.Judge(c.live, bundle.ApplicationName{}); got.Kind != c.want {
				t.Errorf("%q, want %q", got.Kind, c.want)
			}
		})
	}
}

// TestJudge_ignored leaves changes of an object of a HelmRelease alone that is marked so; the mark is no other kind's.
func TestJudge_ignored(t *testing.T) {
	item := Item{UID: "u", ResourceVersion: "10", Managed: manifest.DigestOf([]byte("ours"))}
	live := kube.Live{UID: "u", ResourceVersion: "12",
		Labels: map[string]string{manifest.DriftDetectionAnnotation: "disabled"}}
	for kind, want := range map[string]DriftKind{"HelmRelease": "", "Kustomization": Changed} {
		if got := item.Judge(live, bundle.ApplicationName{Kind: kind}); got.Kind != want {
			t.Errorf("%s: %q, want %q", kind, got.Kind, want)
		}
	}
}

func TestJudgeMissing(t *testing.T) {
	for _, c := range []struct {
		name   string
		item   Item
		atWork bool
		want   DriftKind
	}{
		{"ours", Item{UID: "u"}, false, Missing},
		{"if_not_present", Item{UID: "u", Mode: IfNotPresent}, false, Missing},
		{"ignored", Item{UID: "u", Mode: Ignore}, false, ""},
		{"never_made", Item{}, false, ""},
		{"job_done", Item{UID: "u", Expires: true}, false, ""},
		{"job_at_work", Item{UID: "u", Expires: true}, true, Missing},
	} {
		if got := c.item.judgeMissing(c.atWork); got.Kind != c.want {
			t.Errorf("%s: %q, want %q", c.name, got.Kind, c.want)
		}
	}
}
