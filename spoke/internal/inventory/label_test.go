package inventory

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/kube"
)

func TestLabelOf(t *testing.T) {
	long := strings.Repeat("a", 253)
	for name, c := range map[string]struct {
		app  bundle.ApplicationName
		want string // a prefix
	}{
		"plain":       {apps, "Kustomization.flux-system.apps"},
		"dotted_name": {bundle.ApplicationName{Kind: "HelmRelease", Namespace: "a", Name: "b.c"}, "HelmRelease.a.b.c"},
		"long_name": {bundle.ApplicationName{Kind: "Kustomization", Namespace: "a", Name: long},
			"Kustomization.a.aaaaaaaaaaaaaa_"},
		"dotted_namespace": {bundle.ApplicationName{Kind: "HelmRelease", Namespace: "a.b", Name: "c"}, "HelmRelease.a.b.c_"},
		"not_for_a_label": {bundle.ApplicationName{Kind: "Kustomization", Namespace: "a", Name: "b:ü_c"},
			"Kustomization.a.b---c_"},
		"nothing":           {bundle.ApplicationName{}, "app_"},
		"ends_with_a_dash":  {bundle.ApplicationName{Kind: "K", Namespace: "n", Name: "a-"}, "K.n.a-_"},
		"just_short_enough": {bundle.ApplicationName{Kind: "K", Namespace: "n", Name: long[:59]}, "K.n." + long[:59]},
	} {
		t.Run(name, func(t *testing.T) {
			got := LabelOf(c.app)
			if msgs := validation.IsValidLabelValue(got); len(msgs) > 0 || !strings.HasPrefix(got, c.want) {
				t.Errorf("%q (%v), want %q…", got, msgs, c.want)
			}
			if whole := !strings.HasSuffix(c.want, "_"); whole != (got == c.want) {
				t.Errorf("%q", got)
			}
		})
	}
	if msgs := validation.IsQualifiedName(Label); len(msgs) > 0 {
		t.Error(msgs)
	}
}

func FuzzLabelOf(f *testing.F) {
	f.Add("Kustomization", "flux-system", "apps", "Kustomization", "flux-system", "more")
	f.Add("HelmRelease", "a.b", "c", "HelmRelease", "a", "b.c")
	f.Add("K", "n", strings.Repeat("a", 253), "K", "n", strings.Repeat("a", 252))
	f.Add("", "", "", "", "", "\x00")
	f.Fuzz(func(t *testing.T, kind, namespace, name, kind2, namespace2, name2 string) {
		a := bundle.ApplicationName{Kind: kind, Namespace: namespace, Name: name}
		b := bundle.ApplicationName{Kind: kind2, Namespace: namespace2, Name: name2}
		if msgs := validation.IsValidLabelValue(LabelOf(a)); len(msgs) > 0 || LabelOf(a) == "" {
			t.Errorf("%q: %v", LabelOf(a), msgs)
		}
		nul := strings.ContainsRune(kind+namespace+name+kind2+namespace2+name2, 0) // no name holds one
		if !nul && a != b && LabelOf(a) == LabelOf(b) {
			t.Errorf("%v and %v are both %q", a, b, LabelOf(a))
		}
	})
}

func TestProves(t *testing.T) {
	ours := manifest.DigestOf([]byte("ours"))
	mine, another := map[string]string{Label: LabelOf(apps)}, map[string]string{Label: LabelOf(more)}
	for name, c := range map[string]struct {
		item Item
		live kube.Live
		want bool
	}{
		"label_and_manager":         {Item{UID: "u"}, kube.Live{UID: "u", Managed: ours, Labels: mine}, true},
		"not_recorded":              {Item{}, kube.Live{UID: "u", Managed: ours, Labels: mine}, true},
		"made_anew_by_us":           {Item{UID: "t"}, kube.Live{UID: "u", Managed: ours, Labels: mine}, true},
		"label_without_manager":     {Item{UID: "u"}, kube.Live{UID: "u", Labels: mine}, false},
		"manager_without_label":     {Item{}, kube.Live{UID: "u", Managed: ours}, false},
		"another_application":       {Item{UID: "u"}, kube.Live{UID: "u", Managed: ours, Labels: another}, false},
		"neither":                   {Item{UID: "u"}, kube.Live{UID: "u"}, false},
		"before_the_label":          {Item{UID: "u"}, kube.Live{UID: "u", Managed: ours}, true},
		"before_the_label_replaced": {Item{UID: "t"}, kube.Live{UID: "u", Managed: ours}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.item.Proves(c.live, apps); got != c.want {
				t.Errorf("%t", got)
			}
		})
	}
}

func TestLacksLabel(t *testing.T) {
	managed := manifest.DigestOf([]byte("fields"))
	for name, c := range map[string]struct {
		item Item
		want bool
	}{
		"labelled":         {Item{Managed: managed, Labelled: true}, false},
		"before_the_label": {Item{Managed: managed}, true},
		"merged":           {Item{Managed: managed, Mode: Merge}, true},
		"found":            {Item{Mode: IfNotPresent}, false}, // not ours to label
		"left_alone":       {Item{Managed: managed, Mode: Ignore}, false},
		"from_a_page":      {Item{}, false}, // without a digest it is sent anyway
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.item.LacksLabel(); got != c.want {
				t.Errorf("%t", got)
			}
		})
	}
}
