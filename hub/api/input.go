package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Input is a ConfigMap or Secret whose data a render reads.
type Input struct {
	Field     string `json:"-"` // the field that names the object: spec.postBuild.substituteFrom[0]
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Optional: if the object does not exist, the render continues without it.
	Optional bool `json:"optional,omitempty"`
	// If Form is not empty, only the text of one entry is read, in that form.
	Entry string           `json:"-"`
	Form  bundle.ShapeForm `json:"-"`
}

// String returns "Kind namespace/name".
func (i Input) String() string { return i.Kind + " " + i.Namespace + "/" + i.Name }

// ID returns the ID of the object.
func (i Input) ID() manifest.ID {
	return manifest.ID{Kind: i.Kind, Namespace: i.Namespace, Name: i.Name}
}

// IsSecret reports whether no value may be shown.
func (i Input) IsSecret() bool { return i.Kind == SecretKind }

// InputData is an Input and the data of its object.
type InputData struct {
	Input
	// Live: no Application of the cluster has the object. Only the cluster knows whether the object exists.
	Live bool `json:"live,omitempty"`
	// Data is the data of the object as text. Values of a Secret from a SOPS file are placeholders.
	Data map[string]string `json:"data,omitempty"`
	// Sealed are the SOPS files of the placeholders in Data, and Decryption names the keys for them. They are set for
	// renderables whose results keep placeholders of their inputs.
	Sealed     []bundle.SealedFile    `json:"-"`
	Decryption bundle.SecretReference `json:"-"`
	// Question is what was asked of the cluster, because the hub cannot read the entry. If the answer is known, Values has
	// the JSON of the values with placeholders, nil if there are none, and Source says what the placeholders stand for. If
	// Unasked is set, the spoke cannot be asked now.
	Question *bundle.ShapeQuestion `json:"-"`
	Answered bool                  `json:"-"`
	Unasked  bool                  `json:"-"`
	Values   json.RawMessage       `json:"-"`
	Source   *bundle.ValueSource   `json:"-"`
	Types    map[string]string     `json:"-"` // see ChartValues
	Texts    map[string]string     `json:"-"` // see ChartValues
}

// Equal reports whether the data are the same in every field. A walk compares them for each pair of a renderable and an
// object that it reads, which is why reflection is left to the fields that few have.
func (d *InputData) Equal(o *InputData) bool {
	return d.Input == o.Input && d.Live == o.Live && d.Decryption == o.Decryption && d.Answered == o.Answered &&
		d.Unasked == o.Unasked && bytes.Equal(d.Values, o.Values) && maps.Equal(d.Data, o.Data) &&
		maps.Equal(d.Types, o.Types) && maps.Equal(d.Texts, o.Texts) &&
		(d.Sealed == nil && o.Sealed == nil || reflect.DeepEqual(d.Sealed, o.Sealed)) &&
		(d.Question == o.Question || reflect.DeepEqual(d.Question, o.Question)) &&
		(d.Source == o.Source || reflect.DeepEqual(d.Source, o.Source))
}

// SpecInputs are what the Spec of a render is completed with.
type SpecInputs struct {
	Source *Object     // that is rendered from
	Data   []InputData // in the order of Renderable.Inputs
	// Lenient: unset variables are replaced by empty text; else they are errors.
	Lenient bool
}

// Complete returns the complete Spec of the render.
func (r *Renderable) Complete(in SpecInputs) (json.RawMessage, error) {
	if r.SpecWith == nil || len(r.Inputs) == 0 && !in.Lenient && !r.SpecNeedsSource {
		return r.Spec, nil
	}
	data, err := json.Marshal(r.SpecWith(in))
	if err != nil {
		return nil, fmt.Errorf("encode the build: %w", err)
	}
	return data, nil
}

// DataOf returns the data of a ConfigMap or Secret as a cluster would show it. The data of a Secret is decoded from
// base64, and stringData overrides it. A placeholder in the place of base64 stays. The error names the field, never its
// value.
func DataOf(o *manifest.Object) (map[string]string, error) {
	data, err := texts(o, "data")
	if err != nil || o.GetKind() != "Secret" {
		return data, err
	}
	for _, key := range slices.Sorted(maps.Keys(data)) {
		value := data[key]
		if sealed.Placeholder(value).Valid() {
			continue
		}
		decoded, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return nil, fmt.Errorf("%s: data.%s is not base64: write the value into stringData instead",
				manifest.IDOf(o), key)
		}
		data[key] = string(decoded)
	}
	plain, err := texts(o, "stringData")
	maps.Copy(data, plain)
	return data, err
}

// texts returns a field of an object that is a map of strings. If the field is missing, texts returns an empty map.
func texts(o *manifest.Object, name string) (map[string]string, error) {
	out := map[string]string{}
	value := o.Object[name]
	if value == nil {
		return out, nil
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: %s is not a map", manifest.IDOf(o), name)
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		switch text := fields[key].(type) {
		case string:
			out[key] = text
		case nil:
			out[key] = ""
		default:
			return nil, fmt.Errorf("%s: %s.%s is not a string: put quotes around its value", manifest.IDOf(o), name, key)
		}
	}
	return out, nil
}
