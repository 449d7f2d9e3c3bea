package kube

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
)

// Data is the data of a ConfigMap or Secret. It may hold secrets.
type Data struct {
	UID, ResourceVersion string
	Values               map[string]string // of a Secret decoded
}

// String hides the values from fmt.
func (d Data) String() string { return "[data of version " + d.ResourceVersion + "]" }

// GoString hides the values from fmt.
func (d Data) GoString() string { return d.String() }

// Data returns the data of a ConfigMap or Secret.
func (c *Client) Data(ctx context.Context, id bundle.ObjectIdentity) (Data, error) {
	r, err := c.on(ctx, "get", id)
	if err != nil {
		return Data{}, err
	}
	r.method, r.accept = http.MethodGet, mediaJSON
	body, _, err := c.do(ctx, r)
	if err != nil {
		return Data{}, err
	}
	malformed := &Error{Op: "get", Object: r.object, Reason: Other, Message: "an answer that is not a " + id.Kind}
	var o struct {
		Metadata struct {
			UID             string `json:"uid"`
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &o) != nil { // the decoder's error would quote a value
		return Data{}, malformed
	}
	d := Data{UID: o.Metadata.UID, ResourceVersion: o.Metadata.ResourceVersion, Values: map[string]string{}}
	if len(o.Data) == 0 || string(o.Data) == "null" {
		return d, nil
	}
	if !strings.EqualFold(id.Kind, "Secret") {
		if json.Unmarshal(o.Data, &d.Values) != nil {
			return Data{}, malformed
		}
		return d, nil
	}
	var encoded map[string][]byte
	if json.Unmarshal(o.Data, &encoded) != nil {
		return Data{}, malformed
	}
	for name, value := range encoded {
		d.Values[name] = string(value)
	}
	return d, nil
}
