package kustomize

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
	"github.com/navefleet/nave/hub/internal/render/seal"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Flux's owner labels, on every object of a Kustomization.
const (
	NameLabel      = api.GroupKustomize + "/name"
	NamespaceLabel = api.GroupKustomize + "/namespace"
)

// finish changes the output of kustomize in place as Flux does: substitution, common metadata, owner labels. Then
// finish checks each object. What an object becomes depends on nothing that finishedKey lacks, if dependsOnContent.
func finish(objects []*manifest.Object, spec *Spec, vars *variables, e *encrypted) error {
	for _, o := range objects {
		if err := finishOne(o, vars, spec, e); err != nil {
			return &objectError{o, err}
		}
	}
	return nil
}

// finishOne finishes one object. The error has all errors of its metadata.
func finishOne(o *manifest.Object, vars *variables, spec *Spec, e *encrypted) error {
	if err := vars.substitute(o); err != nil {
		return err
	}
	if err := errors.Join(checkNamed(o), checkMetadata(o)); err != nil {
		return err
	}
	setMetadata(o, spec)
	if err := e.check(o); err != nil {
		return fmt.Errorf("%s: %w", manifest.IDOf(o), err)
	}
	return render.CheckSize(o)
}

// setMetadata overrides labels and annotations. Common metadata comes last, as in Flux: it may even replace the labels
// of the owner, which Nave does not read.
func setMetadata(o *manifest.Object, spec *Spec) {
	labels := map[string]string{NameLabel: spec.Name, NamespaceLabel: spec.Namespace}
	if c := spec.CommonMetadata; c != nil {
		labels = merged(labels, c.Labels)
		if len(c.Annotations) > 0 {
			o.SetAnnotations(merged(o.GetAnnotations(), c.Annotations))
		}
	}
	o.SetLabels(merged(o.GetLabels(), labels))
}

// merged returns a map of all keys. If both maps have a key, the value is that of b.
func merged(a, b map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// checkNamed refuses an object without kind, apiVersion or name, or with a namespace that is no text.
func checkNamed(o *manifest.Object) error {
	switch {
	case o.GetKind() == "":
		return fmt.Errorf("object %q: %w: kind is missing", o.GetName(), render.ErrIncomplete)
	case o.GetAPIVersion() == "":
		return fmt.Errorf("%s %q: %w: apiVersion is missing", o.GetKind(), o.GetName(), render.ErrIncomplete)
	case o.GetName() == "" && o.GetGenerateName() != "":
		return fmt.Errorf("%s %s: %w: generateName cannot be used, give it a name", o.GetKind(), o.GetGenerateName(),
			render.ErrIncomplete)
	case o.GetName() == "":
		return fmt.Errorf("%s: %w: metadata.name %s", o.GetKind(), render.ErrIncomplete, whyNoText(o, "name"))
	case o.GetNamespace() == "" && whyNoText(o, "namespace") != missing:
		return fmt.Errorf("%s %s: metadata.namespace %s", o.GetKind(), o.GetName(), whyNoText(o, "namespace"))
	}
	return nil
}

const missing = "is missing"

// whyNoText returns the problem of a field of metadata that is no text.
func whyNoText(o *manifest.Object, name string) string {
	metadata, _ := o.Object["metadata"].(map[string]any)
	value := metadata[name]
	switch value.(type) {
	case nil, string:
		return missing
	case int64, float64:
		return fmt.Sprintf("is the number %v: put it in quotes", value)
	case bool:
		return fmt.Sprintf("is the boolean %v: put it in quotes", value)
	}
	return "is no text"
}

// checkMetadata refuses labels and annotations that are no text, as the API server would: setting ours would drop them.
func checkMetadata(o *manifest.Object) error {
	var errs []error
	metadata, _ := o.Object["metadata"].(map[string]any)
	for _, field := range []string{"labels", "annotations"} {
		value, ok := metadata[field]
		if !ok || value == nil {
			continue
		}
		m, ok := value.(map[string]any)
		if !ok {
			errs = append(errs, fmt.Errorf("%s: metadata.%s: must be a map", manifest.IDOf(o), field))
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if _, ok := m[k].(string); !ok && m[k] != nil {
				errs = append(errs, fmt.Errorf("%s: metadata.%s.%s: must be text, not %v; put it in quotes "+
					"(a substituted value needs quotes after the substitution)", manifest.IDOf(o), field, k, m[k]))
			}
		}
	}
	return errors.Join(errs...)
}

func checkUnique(objects []*manifest.Object) error {
	seen := make(map[manifest.ID]bool, len(objects))
	for _, o := range objects {
		id := manifest.IDOf(o)
		key := id
		key.Namespace = cmp.Or(id.Namespace, "default") // its namespace in the cluster, if its kind has namespaces
		if seen[key] {
			return &objectError{o, fmt.Errorf("%s: %w", id, render.ErrDuplicate)}
		}
		seen[key] = true
	}
	return nil
}

// check refuses an object that would reach a cluster as ciphertext, and one with an encrypted value in its identity. An
// object with decryption disabled, and a ConfigMap made of a SOPS file, may have ciphertext.
func (e *encrypted) check(o *manifest.Object) error {
	if manifest.IsDecryptionDisabled(o) {
		return nil
	}
	if manifest.IsEncrypted(o) {
		return fmt.Errorf("%w: it holds SOPS metadata that does not come from a SOPS file of the tree", render.ErrEncrypted)
	}
	if sealed.InIdentity(o) {
		return fmt.Errorf("%w: an object's apiVersion, kind, namespace and name must be readable; "+
			"encrypt with encrypted_regex: ^(data|stringData)$", render.ErrEncrypted)
	}
	isSecret, isConfigMap := o.GetKind() == "Secret", o.GetKind() == "ConfigMap"
	return eachText(o, func(field, text string) error {
		switch {
		case seal.IsLeaf(text) && !(isConfigMap && e.ciphertext[text]):
			return fmt.Errorf("%s: %w: an encrypted value outside of a SOPS file; encrypt the whole file with sops", field,
				render.ErrEncrypted)
		case isSecret && strings.Contains(text, "ENC[AES256_GCM,") && isSOPSFile(text):
			return fmt.Errorf("%s: %w: a SOPS file inside of an object; put it into data in base64, or name the file in a "+
				"secretGenerator", field,
				render.ErrEncrypted)
		}
		return nil
	})
}

func isSOPSFile(text string) bool {
	_, ok := seal.Detect([]byte(text))
	return ok
}

// eachText calls fn for every text in an object, with the name of its field. Base64 in the data of a Secret or in the
// binaryData of a ConfigMap is decoded first.
func eachText(o *manifest.Object, fn func(field, text string) error) error {
	return mapTexts(o.Object, "", binaryFields(o),
		func(field, text string) (string, error) { return text, fn(field, text) })
}

// binaryFields returns the fields of an object whose values are base64.
func binaryFields(o *manifest.Object) string {
	switch {
	case o.GetAPIVersion() == "v1" && o.GetKind() == "Secret":
		return "data"
	case o.GetAPIVersion() == "v1" && o.GetKind() == "ConfigMap":
		return "binaryData"
	}
	return ""
}

// mapTexts replaces every text in a tree of JSON values in place, but no keys. If a text below the top-level field
// named binary is base64, mapTexts decodes it before fn and encodes it after.
func mapTexts(v any, field, binary string, fn func(field, text string) (string, error)) (err error) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			name := k
			if field != "" {
				name = field + "." + k
			}
			if v[k], err = mapValue(e, name, binary, fn); err != nil {
				return err
			}
		}
	case []any:
		for i, e := range v {
			if v[i], err = mapValue(e, fmt.Sprintf("%s[%d]", field, i), binary, fn); err != nil {
				return err
			}
		}
	}
	return nil
}

// replaceTexts is mapTexts with a function that does not fail.
func replaceTexts(v any, binary string, fn func(field, text string) string) {
	_ = mapTexts(v, "", binary, func(field, text string) (string, error) { return fn(field, text), nil })
}

// mapValue returns the replacement of one value.
func mapValue(v any, name, binary string, fn func(field, text string) (string, error)) (any, error) {
	s, ok := v.(string)
	if !ok {
		return v, mapTexts(v, name, binary, fn)
	}
	text, isEncoded := s, false
	if binary != "" && strings.HasPrefix(name, binary+".") {
		text, isEncoded = decoded(s)
	}
	out, err := fn(name, text)
	switch {
	case err != nil || out == text:
		return v, err
	case isEncoded:
		return base64.StdEncoding.EncodeToString([]byte(out)), nil
	}
	return out, nil
}

// decoded returns the decoded base64 text and true. If the text is not base64, such as a placeholder, decoded returns
// the text itself and false.
func decoded(s string) (string, bool) {
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return s, false
	}
	return string(data), true
}
