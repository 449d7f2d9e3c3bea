package api_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	autov1 "github.com/fluxcd/image-automation-controller/api/v1"
	autov1beta1 "github.com/fluxcd/image-automation-controller/api/v1beta1" //nolint:staticcheck // still used
	autov1beta2 "github.com/fluxcd/image-automation-controller/api/v1beta2" //nolint:staticcheck // still used
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	imagev1beta1 "github.com/fluxcd/image-reflector-controller/api/v1beta1" //nolint:staticcheck // still used
	imagev1beta2 "github.com/fluxcd/image-reflector-controller/api/v1beta2" //nolint:staticcheck // still used
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	kustomizev1beta1 "github.com/fluxcd/kustomize-controller/api/v1beta1" //nolint:staticcheck // repositories still use it
	kustomizev1beta2 "github.com/fluxcd/kustomize-controller/api/v1beta2"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	sourcev1beta1 "github.com/fluxcd/source-controller/api/v1beta1" //nolint:staticcheck // repositories still use it
	sourcev1beta2 "github.com/fluxcd/source-controller/api/v1beta2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/manifest"
)

// minimal has the required fields of spec of each supported kind of Flux.
var minimal = map[string]string{
	"GitRepository":         "interval: 1m\nurl: https://git.example.com/x",
	"OCIRepository":         "interval: 1m\nurl: oci://registry.example.com/x",
	"Bucket":                "interval: 1m\nendpoint: s3.example.com\nbucketName: x\nsecretRef: {name: x}",
	"HelmRepository":        "url: https://charts.example.com",
	"HelmChart":             "interval: 1m\nchart: x\nsourceRef: {kind: HelmRepository, name: x}",
	"ImageRepository":       "interval: 1m\nimage: registry.example.com/x",
	"ImagePolicy":           "imageRepositoryRef: {name: x}\npolicy: {numerical: {}}",
	"Kustomization":         "interval: 1m\nprune: true\nsourceRef: {kind: GitRepository, name: x}",
	"ImageUpdateAutomation": "interval: 1m\nsourceRef: {kind: GitRepository, name: x}\ngit: {commit: {author: {email: a@b}}}",
}

// minimalObject returns an object of an API version with the required fields.
func minimalObject(t *testing.T, apiVersion, kind string) *manifest.Object {
	t.Helper()
	return parse(t, "apiVersion: "+apiVersion+"\nkind: "+kind+"\nmetadata: {name: a, namespace: b}\nspec:\n"+
		indent(minimal[kind]))
}

// TestVersions admits each kind in each version that Flux had and that repositories carry, as the stored version.
func TestVersions(t *testing.T) {
	for kind, versions := range map[string]string{
		"GitRepository": "v1 v1beta2 v1beta1 v1alpha1", "OCIRepository": "v1 v1beta2", "Bucket": "v1 v1beta2 v1beta1 v1alpha1",
		"Kustomization": "v1 v1beta2 v1beta1 v1alpha1", "HelmRepository": "v1 v1beta2 v1beta1 v1alpha1",
		"HelmChart": "v1 v1beta2 v1beta1 v1alpha1", "ImageRepository": "v1 v1beta2 v1beta1",
		"ImagePolicy":           "v1 v1beta2 v1beta1 v1alpha2 v1alpha1",
		"ImageUpdateAutomation": "v1 v1beta2 v1beta1",
	} {
		known, _ := api.KindByName(kind)
		for version := range strings.FieldsSeq(versions) {
			t.Run(kind+"/"+version, func(t *testing.T) {
				o, err := api.Admit(minimalObject(t, known.Group+"/"+version, kind), api.ClusterGraph)
				if err != nil {
					t.Fatal(err)
				}
				stored := parse(t, string(o.JSON))
				want := schema.GroupVersionKind{Group: known.Group, Version: "v1", Kind: kind}
				if got := stored.GroupVersionKind(); got != want {
					t.Errorf("stored as %s", got)
				}
			})
		}
		t.Run(kind+"/unknown", func(t *testing.T) {
			_, err := api.Admit(minimalObject(t, known.Group+"/v9", kind), api.ClusterGraph)
			if err == nil || !strings.Contains(err.Error(), "v9") || !strings.Contains(err.Error(), known.Group+" has v1") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestVersions_fields sets each field of spec that a version of a kind has in Flux's own types. A field is admitted, or
// the error is about this field or its value: none is unknown.
func TestVersions_fields(t *testing.T) {
	for version, spec := range map[string]any{
		"source.toolkit.fluxcd.io/v1/GitRepository":             sourcev1.GitRepositorySpec{},
		"source.toolkit.fluxcd.io/v1beta2/GitRepository":        sourcev1beta2.GitRepositorySpec{},
		"source.toolkit.fluxcd.io/v1beta1/GitRepository":        sourcev1beta1.GitRepositorySpec{},
		"source.toolkit.fluxcd.io/v1/OCIRepository":             sourcev1.OCIRepositorySpec{},
		"source.toolkit.fluxcd.io/v1beta2/OCIRepository":        sourcev1beta2.OCIRepositorySpec{},
		"source.toolkit.fluxcd.io/v1/Bucket":                    sourcev1.BucketSpec{},
		"source.toolkit.fluxcd.io/v1beta2/Bucket":               sourcev1beta2.BucketSpec{},
		"source.toolkit.fluxcd.io/v1beta1/Bucket":               sourcev1beta1.BucketSpec{},
		"source.toolkit.fluxcd.io/v1/HelmRepository":            sourcev1.HelmRepositorySpec{},
		"source.toolkit.fluxcd.io/v1beta2/HelmRepository":       sourcev1beta2.HelmRepositorySpec{},
		"source.toolkit.fluxcd.io/v1beta1/HelmRepository":       sourcev1beta1.HelmRepositorySpec{},
		"image.toolkit.fluxcd.io/v1/ImageRepository":            imagev1.ImageRepositorySpec{},
		"image.toolkit.fluxcd.io/v1beta2/ImageRepository":       imagev1beta2.ImageRepositorySpec{},
		"image.toolkit.fluxcd.io/v1beta1/ImageRepository":       imagev1beta1.ImageRepositorySpec{},
		"image.toolkit.fluxcd.io/v1/ImagePolicy":                imagev1.ImagePolicySpec{},
		"image.toolkit.fluxcd.io/v1beta2/ImagePolicy":           imagev1beta2.ImagePolicySpec{},
		"image.toolkit.fluxcd.io/v1beta1/ImagePolicy":           imagev1beta1.ImagePolicySpec{},
		"source.toolkit.fluxcd.io/v1/HelmChart":                 sourcev1.HelmChartSpec{},
		"source.toolkit.fluxcd.io/v1beta2/HelmChart":            sourcev1beta2.HelmChartSpec{},
		"source.toolkit.fluxcd.io/v1beta1/HelmChart":            sourcev1beta1.HelmChartSpec{},
		"kustomize.toolkit.fluxcd.io/v1/Kustomization":          kustomizev1.KustomizationSpec{},
		"kustomize.toolkit.fluxcd.io/v1beta2/Kustomization":     kustomizev1beta2.KustomizationSpec{},
		"kustomize.toolkit.fluxcd.io/v1beta1/Kustomization":     kustomizev1beta1.KustomizationSpec{},
		"image.toolkit.fluxcd.io/v1/ImageUpdateAutomation":      autov1.ImageUpdateAutomationSpec{},
		"image.toolkit.fluxcd.io/v1beta2/ImageUpdateAutomation": autov1beta2.ImageUpdateAutomationSpec{},
		"image.toolkit.fluxcd.io/v1beta1/ImageUpdateAutomation": autov1beta1.ImageUpdateAutomationSpec{},
	} {
		parts := strings.Split(version, "/")
		for name, value := range filled(t, spec) {
			t.Run(version+"/"+name, func(t *testing.T) {
				o := minimalObject(t, parts[0]+"/"+parts[1], parts[2])
				o.Object["spec"].(map[string]any)[name] = value
				_, err := api.Admit(o, api.ClusterGraph)
				if err != nil && (strings.Contains(err.Error(), "unknown field") || !strings.Contains(err.Error(), "spec."+name)) {
					t.Error(err)
				}
			})
		}
	}
}

// filled returns all fields of a spec, each with some value, as JSON.
func filled(t *testing.T, spec any) (fields map[string]any) {
	t.Helper()
	v := reflect.New(reflect.TypeOf(spec)).Elem()
	fill(v)
	data, err := json.Marshal(v.Interface())
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	if len(fields) != v.NumField() {
		t.Errorf("%T has %d fields, and %d are filled", spec, v.NumField(), len(fields))
	}
	return fields
}

// fill sets a value, and all that is in it, to something that is not empty.
func fill(v reflect.Value) {
	if at, ok := v.Addr().Interface().(*metav1.Duration); ok {
		at.Duration = 60e9
		return
	}
	if v.Type().String() == "v1.JSON" { // of apiextensions
		v.FieldByName("Raw").SetBytes([]byte(`{"kind":"ConfigMap"}`))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}
