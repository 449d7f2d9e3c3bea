package api_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/image"
)

// imagePolicy returns an ImagePolicy for the ImageRepository app.
func imagePolicy(spec string) string {
	return "{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, metadata: {name: app, namespace: apps}, " +
		"spec: {imageRepositoryRef: {name: app}, " + spec + "}}"
}

func TestImagePolicy(t *testing.T) {
	s := sourceView(t, imagePolicy("policy: {semver: {range: '>=1.0.0'}}"))
	want := api.Key{Kind: "ImageRepository", Namespace: "apps", Name: "app"}
	if !s.Upstream || s.Interval != time.Hour || len(s.Inputs) != 1 || s.Inputs[0].Key != want {
		t.Errorf("got %+v", s)
	}
	s = sourceView(t, strings.Replace(imagePolicy("policy: {numerical: {}}, digestReflectionPolicy: Always, interval: 5m"),
		"{name: app},", "{name: app, namespace: other},", 1))
	if s.Interval != 5*time.Minute || s.Inputs[0].Key.Namespace != "other" {
		t.Errorf("got %+v", s)
	}
	for name, c := range map[string]struct {
		spec  string
		words []string
	}{
		"no_policy":      {"policy: {}", []string{"spec.policy", "exactly one of semver, alphabetical and numerical"}},
		"two":            {"policy: {numerical: {}, semver: {range: '*'}}", []string{"spec.policy", "exactly one of"}},
		"unknown":        {"policy: {calver: {}}", []string{"spec.policy.calver", "unknown field"}},
		"range":          {"policy: {semver: {range: 'newest'}}", []string{"spec.policy.semver.range", `"newest"`, ">=1.0.0"}},
		"order":          {"policy: {numerical: {order: up}}", []string{"spec.policy.numerical.order", `"up"`, "asc", "desc"}},
		"letters":        {"policy: {alphabetical: {order: ASC}}", []string{"spec.policy.alphabetical.order", "asc"}},
		"pattern":        {"policy: {numerical: {}}, filterTags: {pattern: '('}", []string{"spec.filterTags.pattern", "missing closing )"}},
		"large":          {"policy: {numerical: {}}, filterTags: {pattern: 'a{600}'}", []string{"spec.filterTags.pattern", "too large"}},
		"extract":        {"policy: {numerical: {}}, filterTags: {pattern: '^(?P<ts>.*)$', extract: $t}", []string{"spec.filterTags.extract", `no group "t"`}},
		"digest":         {"policy: {numerical: {}}, digestReflectionPolicy: always", []string{"spec.digestReflectionPolicy", "Always"}},
		"no_interval":    {"policy: {numerical: {}}, digestReflectionPolicy: Always", []string{"spec.interval", "how often"}},
		"interval":       {"policy: {numerical: {}}, interval: 5m", []string{"spec.interval", "digestReflectionPolicy: Always", "remove it"}},
		"wrong_interval": {"policy: {numerical: {}}, interval: 5, digestReflectionPolicy: Always", []string{"spec.interval"}},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, imagePolicy(c.spec), api.ClusterGraph, c.words...) })
	}
	refuse(t, strings.Replace(imagePolicy("policy: {numerical: {}}"), "{name: app},", "{},", 1), api.ClusterGraph,
		"spec.imageRepositoryRef.name")
}

// TestPolicyRule reads the rule of each policy, with Flux's defaults.
func TestPolicyRule(t *testing.T) {
	for spec, want := range map[string]image.Rule{
		"policy: {semver: {range: 1.x}}":       {Order: image.Semver, Range: "1.x"},
		"policy: {alphabetical: {}}":           {Order: image.Alphabetical},
		"policy: {alphabetical: {order: asc}}": {Order: image.Alphabetical},
		"policy: {numerical: {order: desc}}, filterTags: {pattern: '^(.*)$', extract: $1}": {Order: image.Numerical,
			Descending: true, Pattern: "^(.*)$", Extract: "$1"},
	} {
		p, err := api.Decode[imagev1.ImagePolicy](admit(t, imagePolicy(spec), api.ClusterGraph))
		if err != nil {
			t.Fatal(err)
		}
		if got := api.PolicyRule(p); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", spec, got)
		}
		if p.Spec.DigestReflectionPolicy != imagev1.ReflectNever {
			t.Errorf("%s: %s", spec, p.Spec.DigestReflectionPolicy)
		}
	}
}

// TestSharing lets policies of other namespaces read an ImageRepository only as its accessFrom says.
func TestSharing(t *testing.T) {
	for name, c := range map[string]struct {
		access, namespace, want string
	}{
		"own":          {"", "apps", ""},
		"none":         {"", "web", "no access to ImageRepository apps/app from namespace web: its spec.accessFrom"},
		"all":          {"namespaceSelectors: [{}]", "web", ""},
		"empty_labels": {"namespaceSelectors: [{matchLabels: {}}]", "web", ""},
		"name":         {"namespaceSelectors: [{matchLabels: {kubernetes.io/metadata.name: web}}]", "web", ""},
		"other_name":   {"namespaceSelectors: [{matchLabels: {kubernetes.io/metadata.name: web}}]", "db", "from namespace db"},
		"labels":       {"namespaceSelectors: [{matchLabels: {tier: web}}]", "web", "the hub knows only kubernetes.io/metadata.name"},
		"name_and_label": {"namespaceSelectors: [{matchLabels: {kubernetes.io/metadata.name: web, tier: web}}]", "web",
			"the hub knows only kubernetes.io/metadata.name"},
		"one_of_them": {"namespaceSelectors: [{matchLabels: {tier: web}}, {matchLabels: {kubernetes.io/metadata.name: web}}]", "web", ""},
	} {
		t.Run(name, func(t *testing.T) {
			repository := admit(t, "{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImageRepository, metadata: {name: app, "+
				"namespace: apps}, spec: {image: ghcr.io/org/app, interval: 1m, accessFrom: {"+c.access+"}}}", api.ClusterGraph)
			policy := admit(t, "{apiVersion: image.toolkit.fluxcd.io/v1, kind: ImagePolicy, metadata: {name: app, namespace: "+
				c.namespace+"}, spec: {imageRepositoryRef: {name: app, namespace: apps}, policy: {numerical: {}}}}",
				api.ClusterGraph)
			_, err := api.FetchOf(api.Given{Key: policy.Key, Object: policy},
				func(api.Given, api.SourceInput) (api.Given, error) {
					return api.Given{Key: repository.Key, Object: repository}, nil
				})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
