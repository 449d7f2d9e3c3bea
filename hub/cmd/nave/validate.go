package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	openapi_v3 "github.com/google/gnostic-models/openapiv3"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kube-openapi/pkg/util/proto"
	"k8s.io/kube-openapi/pkg/util/proto/validation"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/wording"
)

// validateFlags are the flags of --validate.
type validateFlags struct {
	validate            bool
	kubeconfig, context string
	schemas             []string
}

func (f *validateFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.validate, "validate", false, "check the objects against the schemas of an API server: unknown "+
		"fields, missing fields, wrong types")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "with --validate: file that names the cluster whose schemas hold; "+
		"default as kubectl")
	flags.StringVar(&f.context, "kube-context", "", "with --validate: context of the kubeconfig")
	flags.StringSliceVar(&f.schemas, "schemas", nil, "with --validate: files, or folders of files, with the schemas, in "+
		"place of a cluster; written by kubectl get --raw /openapi/v3/apis/apps/v1; builtin: only the kinds of Kubernetes "+
		"itself")
}

// open returns the validator that the flags ask for; nil without --validate.
func (f *validateFlags) open(ctx context.Context) (*validator, error) {
	switch {
	case !f.validate && (f.kubeconfig != "" || f.context != "" || len(f.schemas) > 0):
		return nil, errors.New("--kubeconfig, --kube-context and --schemas do nothing without --validate")
	case !f.validate:
		return nil, nil
	case len(f.schemas) > 0 && (f.kubeconfig != "" || f.context != ""):
		return nil, errors.New("--schemas takes the place of a cluster: leave out --kubeconfig and --kube-context")
	case slices.Equal(f.schemas, []string{"builtin"}):
		return newValidator(builtInSchema, builtInVersions()), nil
	case len(f.schemas) > 0:
		return schemasIn(f.schemas)
	}
	v, err := schemasOf(ctx, f.kubeconfig, f.context)
	if f.kubeconfig == "" && f.context == "" && isNoKubeconfig(err) {
		v = newValidator(builtInSchema, builtInVersions())
		v.fallback = "there is no kubeconfig: validated by the schemas that nave has of Kubernetes' own kinds"
		return v, nil
	}
	return v, err
}

// isNoKubeconfig reports whether an error is that there is no kubeconfig at all.
func isNoKubeconfig(err error) bool {
	for ; err != nil; err = errors.Unwrap(err) {
		if clientcmd.IsEmptyConfig(err) {
			return true
		}
	}
	return false
}

// validator checks objects against the OpenAPI v3 schemas of an API server.
type validator struct {
	// read returns the document of a group and version; nil if the server does not have the version.
	read func(ctx context.Context, gv schema.GroupVersion) ([]byte, error)

	mu    sync.Mutex
	known map[schema.GroupVersion]map[string]proto.Schema // by kind; nil: the server does not have the version

	given   map[schema.GroupVersionKind]proto.Schema // those of files, which precede what read returns
	served  []string                                 // the paths of the index of the server, as pathOfVersion returns them
	missing map[string]bool                          // kinds without a schema
	// fallback is the note that the built-in schemas are used without a flag; empty: the flags name the schemas.
	fallback string
}

func newValidator(read func(context.Context, schema.GroupVersion) ([]byte, error), served []string) *validator {
	return &validator{read: read, known: map[schema.GroupVersion]map[string]proto.Schema{}, served: served,
		given: map[schema.GroupVersionKind]proto.Schema{}, missing: map[string]bool{}}
}

// schemasOf returns a validator with the schemas of a cluster, which are read when they are needed.
func schemasOf(ctx context.Context, kubeconfig, kubecontext string) (*validator, error) {
	k, err := connectKubernetes(kubeconfig, kubecontext)
	if err != nil {
		return nil, fmt.Errorf("--validate: %w", err)
	}
	var index struct {
		Paths map[string]struct{} `json:"paths"`
	}
	found, err := k.get(ctx, "/openapi/v3", nil, &index)
	if err == nil && !found {
		err = errors.New("the cluster has no /openapi/v3")
	}
	if err != nil {
		return nil, fmt.Errorf("--validate: %w", err)
	}
	return newValidator(func(ctx context.Context, gv schema.GroupVersion) ([]byte, error) {
		path := pathOfVersion(gv)
		if _, served := index.Paths[path]; !served {
			return nil, nil
		}
		var document json.RawMessage
		_, err := k.get(ctx, "/openapi/v3/"+path, nil, &document)
		return document, err
	}, slices.Collect(maps.Keys(index.Paths))), nil
}

// pathOfVersion returns the name of a group and version in the index of an API server.
func pathOfVersion(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.Group + "/" + gv.Version
}

// schemasIn returns a validator with the schemas in files, and with the built-in ones of other kinds.
func schemasIn(paths []string) (*validator, error) {
	v := newValidator(builtInSchema, builtInVersions())
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(path, "*.json")); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			data, err := readInput(nil, file)
			if err != nil {
				return nil, fmt.Errorf("--schemas: %w", err)
			}
			kinds, err := schemasFrom(data)
			if err != nil {
				return nil, fmt.Errorf("--schemas %s: %w", file, err)
			}
			for gvk, s := range kinds {
				v.given[gvk] = s
				v.served = append(v.served, pathOfVersion(gvk.GroupVersion()))
			}
		}
	}
	if len(v.given) == 0 {
		return nil, fmt.Errorf("--schemas: %s has no schema of a kind", strings.Join(paths, ", "))
	}
	return v, nil
}

// schemasFrom returns the schemas of kinds in an OpenAPI v3 document.
func schemasFrom(data []byte) (map[schema.GroupVersionKind]proto.Schema, error) {
	var values any
	err := json.Unmarshal(data, &values)
	if err == nil {
		data, err = json.Marshal(unwrapped(values))
	}
	if err != nil {
		return nil, fmt.Errorf("read the schemas: %w", err)
	}
	document, err := openapi_v3.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("read the schemas: %w", err)
	}
	models, err := proto.NewOpenAPIV3Data(document)
	if err != nil {
		return nil, fmt.Errorf("read the schemas: %w", err)
	}
	kinds := map[schema.GroupVersionKind]proto.Schema{}
	for _, name := range models.ListModels() {
		model := models.LookupModel(name)
		list, _ := model.GetExtensions()["x-kubernetes-group-version-kind"].([]any)
		if len(list) == 1 { // DeleteOptions and WatchEvent name every version, whether the server has it or not
			kinds[kindOfExtension(list[0])] = model
		}
	}
	return kinds, nil
}

// unwrapped returns the JSON values of a document in which each allOf of a single reference is replaced by the
// reference. API servers wrap references that have a default, and NewOpenAPIV3Data takes a wrapped one for any value.
func unwrapped(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if all, _ := v["allOf"].([]any); len(all) == 1 {
			if reference, _ := all[0].(map[string]any); reference["$ref"] != nil {
				return map[string]any{"$ref": reference["$ref"]}
			}
		}
		for key, field := range v {
			v[key] = unwrapped(field)
		}
	case []any:
		for i, item := range v {
			v[i] = unwrapped(item)
		}
	}
	return v
}

// kindOfExtension returns the kind in an extension of a schema.
func kindOfExtension(item any) (gvk schema.GroupVersionKind) {
	fields := map[string]string{}
	switch item := item.(type) {
	case map[any]any:
		for key, value := range item {
			fields[fmt.Sprint(key)] = fmt.Sprint(value)
		}
	case map[string]any:
		for key, value := range item {
			fields[key] = fmt.Sprint(value)
		}
	}
	return schema.GroupVersionKind{Group: fields["group"], Version: fields["version"], Kind: fields["kind"]}
}

// schema returns the schema of a kind. If the server does not have its group and version, schema returns nil.
func (v *validator) schema(ctx context.Context, gvk schema.GroupVersionKind) (proto.Schema, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s := v.given[gvk]; s != nil {
		return s, nil
	}
	gv := gvk.GroupVersion()
	kinds, known := v.known[gv]
	if !known {
		data, err := v.read(ctx, gv)
		if err != nil {
			return nil, err
		}
		if data != nil {
			found, err := schemasFrom(data)
			if err != nil {
				return nil, err
			}
			kinds = map[string]proto.Schema{}
			for gvk, s := range found {
				kinds[gvk.Kind] = s
			}
		}
		v.known[gv] = kinds
	}
	if kinds[gvk.Kind] == nil && slices.Contains(v.served, pathOfVersion(gv)) {
		return nil, fmt.Errorf("there is no kind %s in %s", gvk.Kind, gv)
	}
	return kinds[gvk.Kind], nil
}

// validate returns what is wrong with objects, one line each. A nil validator finds nothing. The error is that of
// reading schemas.
func (v *validator) validate(ctx context.Context, objects []*manifest.Object) (wrong []string, err error) {
	if v == nil {
		return nil, nil
	}
	for _, o := range objects {
		gvk := o.GroupVersionKind()
		s, err := v.schema(ctx, gvk)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, err
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("%s: %v", manifest.IDOf(o), err))
			continue
		case s == nil && isOfKubernetes(gvk.Group):
			wrong = append(wrong, fmt.Sprintf("%s: %s", manifest.IDOf(o), v.explainUnserved(gvk.GroupVersion())))
			continue
		case s == nil:
			v.missing[v.describeMissing(gvk)] = true
			continue
		}
		opaque := map[string]bool{}
		object := withoutNulls(o.Object, gvk.Kind, opaque)
		for _, err := range validation.ValidateModel(object, s, gvk.Kind) {
			if text := explainInvalid(err, opaque); text != "" {
				wrong = append(wrong, fmt.Sprintf("%s: %s", manifest.IDOf(o), text))
			}
		}
	}
	return wrong, nil
}

// explainInvalid returns what is wrong with a field. If the field has a value that only the cluster knows,
// explainInvalid returns "".
func explainInvalid(err error, opaque map[string]bool) string {
	v, ok := errors.AsType[validation.ValidationError](err)
	if !ok {
		return err.Error()
	}
	if cause, ok := errors.AsType[validation.InvalidTypeError](v.Err); ok {
		if opaque[v.Path] {
			return ""
		}
		return fmt.Sprintf("%s is a %s, want %s", v.Path, cause.Actual, cause.Expected)
	}
	if cause, ok := errors.AsType[validation.MissingRequiredFieldError](v.Err); ok {
		return fmt.Sprintf("%s has no field %q, which is required", v.Path, cause.Field)
	}
	if cause, ok := errors.AsType[validation.UnknownFieldError](v.Err); ok {
		return fmt.Sprintf("%s has the unknown field %q", v.Path, cause.Field)
	}
	return fmt.Sprintf("%s: %v", v.Path, v.Err)
}

// withoutNulls copies JSON values without fields that are null, which API servers drop. In opaque it notes the paths of
// texts that stand for values that only the cluster knows: their types are not known.
func withoutNulls(v any, path string, opaque map[string]bool) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for key, field := range v {
			if field != nil {
				c[key] = withoutNulls(field, path+"."+key, opaque)
			}
		}
		return c
	case []any:
		c := make([]any, 0, len(v))
		for i, item := range v {
			c = append(c, withoutNulls(item, fmt.Sprintf("%s[%d]", path, i), opaque))
		}
		return c
	case string:
		opaque[path] = sealed.Placeholder(v).Valid() || strings.Contains(v, "${")
	case float64:
		if whole := int64(v); float64(whole) == v {
			return whole
		}
	}
	return v
}

// notes says which schemas were used if no flag does, and which kinds were not checked.
func (v *validator) notes() string {
	switch {
	case v == nil:
		return ""
	case len(v.missing) == 0:
		return v.fallback
	}
	kinds := slices.Sorted(maps.Keys(v.missing))
	return strings.TrimPrefix(v.fallback+"; not validated, because there is no schema: "+
		wording.List(kinds, len(kinds), 10), "; ")
}

// invalidError returns the error of a validation. If nothing is wrong, invalidError returns nil.
func invalidError(wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	return errors.New("not valid:\n" + strings.Join(slices.Compact(wrong), "\n"))
}
