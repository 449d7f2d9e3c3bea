package kube

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/sealed"
)

// Data is the data of a ConfigMap or Secret. It may hold secrets.
type Data struct {
	UID, ResourceVersion string
	Values               map[string]string // of a Secret decoded
	Reveal               string            // the annotation fleet.nave.io/reveal
}

// String hides the values from fmt.
func (d Data) String() string { return "[data of version " + d.ResourceVersion + "]" }

// GoString hides the values from fmt.
func (d Data) GoString() string { return d.String() }

// Data returns the data of a ConfigMap or Secret.
func (c *Client) Data(ctx context.Context, id bundle.ObjectIdentity) (Data, error) {
	r, body, err := c.get(ctx, id, mediaJSON)
	if err != nil {
		return Data{}, err
	}
	d, err := readData(body, strings.EqualFold(id.Kind, "Secret"))
	if err != nil { // which would quote a value
		return Data{}, &Error{Op: r.op, Object: r.object, Reason: Other, Message: "an answer that is not a " + id.Kind}
	}
	return d, nil
}

// Secret returns the decoded data of a Secret.
func (c *Client) Secret(ctx context.Context, namespace, name string) (map[string][]byte, error) {
	d, err := c.Data(ctx, bundle.ObjectIdentity{Version: "v1", Kind: "Secret", Namespace: namespace, Name: name})
	if err != nil || len(d.Values) == 0 {
		return nil, err
	}
	decoded := make(map[string][]byte, len(d.Values))
	for name, value := range d.Values {
		decoded[name] = []byte(value)
	}
	return decoded, nil
}

// readData reads a ConfigMap, or a Secret, whose values are base64. Its errors may quote values.
func readData(body []byte, isSecret bool) (Data, error) {
	var o struct {
		Metadata struct {
			UID             string            `json:"uid"`
			ResourceVersion string            `json:"resourceVersion"`
			Annotations     map[string]string `json:"annotations"`
		} `json:"metadata"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &o); err != nil {
		return Data{}, err
	}
	d := Data{UID: o.Metadata.UID, ResourceVersion: o.Metadata.ResourceVersion, Values: map[string]string{},
		Reveal: o.Metadata.Annotations[sealed.RevealAnnotation]}
	if len(o.Data) == 0 || string(o.Data) == "null" {
		return d, nil
	}
	if !isSecret {
		return d, json.Unmarshal(o.Data, &d.Values)
	}
	var encoded map[string][]byte
	if err := json.Unmarshal(o.Data, &encoded); err != nil {
		return Data{}, err
	}
	for name, value := range encoded {
		d.Values[name] = string(value)
	}
	return d, nil
}
