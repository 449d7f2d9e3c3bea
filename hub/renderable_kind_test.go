package hub_test

import (
	"cmp"
	"context"
	"encoding/json"
	"path"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// This file has all code of the kind Note, a made-up renderable: each text file of a folder is a ConfigMap, with a
// heading from another ConfigMap.

const noteMisnamed = "NoteMisnamed" // a reason

func init() {
	api.Register(api.Kind{
		Name: "Note", Plural: "notes", Group: "test.nave.io", Version: "v1", Namespaced: true, Role: api.RenderableRole,
		Check: func(o *manifest.Object, found field.ErrorList) field.ErrorList {
			if name, _, _ := unstructured.NestedString(o.Object, "spec", "sourceRef", "name"); name == "" {
				return append(found, field.Required(field.NewPath("spec", "sourceRef", "name"), ""))
			}
			return found
		},
		Reasons: []api.Reason{{Name: noteMisnamed, Means: "a file is not a note", Advice: "Let its name end in .txt"}},
		View: func(o *api.Object) (any, error) {
			n, err := api.Decode[note](o)
			if err != nil {
				return nil, err
			}
			build := noteSpec{Namespace: o.Key.Namespace, Path: n.Spec.Path}
			spec, err := json.Marshal(build)
			ref := n.Spec.SourceRef
			return &api.Renderable{
				Inputs: []api.Input{
					{Field: "spec.headingFrom", Kind: "ConfigMap", Namespace: o.Key.Namespace, Name: n.Spec.HeadingFrom},
				},
				SpecWith: func(in api.SpecInputs) any {
					build.Heading = in.Data[0].Data["heading"]
					return build
				},
				Source:   api.Key{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, o.Key.Namespace), Name: ref.Name},
				Renderer: "note", Spec: spec, Prune: true, Interval: n.Spec.Interval.Duration,
			}, err
		},
	})
}

// note is a Note.
type note struct {
	Spec struct {
		Path     string          `json:"path"`
		Interval metav1.Duration `json:"interval"`
		// HeadingFrom is the name of a ConfigMap.
		HeadingFrom string `json:"headingFrom"`
		SourceRef   struct {
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"sourceRef"`
	} `json:"spec"`
}

// noteSpec has the fields of a Note that its render depends on.
type noteSpec struct{ Namespace, Path, Heading string }

// noteRenderer renders Notes. It implements render.Renderer.
type noteRenderer struct{}

func (noteRenderer) Render(ctx context.Context, r render.Request) (*render.Result, error) {
	var spec noteSpec
	if err := json.Unmarshal(r.Spec, &spec); err != nil {
		return nil, err
	}
	t, err := tree.Open(ctx, r.Root, r.Exclude)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	dir, err := t.Locate(spec.Path)
	if err != nil {
		return nil, err
	}
	entries, err := t.List(dir)
	if err != nil {
		return nil, err
	}
	result := &render.Result{}
	for _, e := range entries {
		text, err := t.Read(path.Join(dir, e.Name))
		if err != nil {
			return nil, err
		}
		name, ok := strings.CutSuffix(e.Name, ".txt")
		if !ok {
			return nil, &api.Failure{Reason: noteMisnamed, Text: e.Name + " is not a note: its name must end in .txt"}
		}
		o := &manifest.Object{Object: map[string]any{"data": map[string]any{"text": spec.Heading + string(text)}}}
		o.SetAPIVersion("v1")
		o.SetKind("ConfigMap")
		o.SetNamespace(spec.Namespace)
		o.SetName(name)
		result.Objects = append(result.Objects, o)
	}
	result.Reads = t.Reads()
	return result, nil
}
