package kube

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/shared/reporting"
)

// schemasPath has the OpenAPI v3 documents of an API server.
const schemasPath = "/openapi/v3"

// SchemaVersion is a version of an API group that the API server has an OpenAPI v3 document of.
type SchemaVersion struct {
	schema.GroupVersion
	Hash []byte // SHA-512 of the document, as the API server says; nil: it says none
}

// Schemas returns the versions that the API server has documents of, sorted.
func (c *Client) Schemas(ctx context.Context) ([]SchemaVersion, error) {
	var index struct {
		Paths map[string]struct{ ServerRelativeURL string }
	}
	if err := c.read(ctx, schemasPath, schemasPath, &index); err != nil {
		return nil, err
	}
	var all []SchemaVersion
	for path, at := range index.Paths {
		gv, ok := versionOf(path)
		if !ok {
			continue
		}
		v := SchemaVersion{GroupVersion: gv}
		if u, err := url.Parse(at.ServerRelativeURL); err == nil {
			v.Hash, _ = hex.DecodeString(u.Query().Get("hash"))
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b SchemaVersion) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Version, b.Version))
	})
	return all, nil
}

// versionOf returns the version that a path of the index stands for. Other paths are those of groups.
func versionOf(path string) (gv schema.GroupVersion, ok bool) {
	switch parts := strings.Split(path, "/"); {
	case len(parts) == 2 && parts[0] == "api":
		gv.Version = parts[1]
	case len(parts) == 3 && parts[0] == "apis":
		gv.Group, gv.Version = parts[1], parts[2]
	default:
		return gv, false
	}
	_, err := pathOf(gv)
	return gv, err == nil
}

// pathOf returns the path of the document of a version. If no API group can have the version, pathOf returns an error.
func pathOf(gv schema.GroupVersion) (string, error) {
	if len(validation.IsDNS1123Label(gv.Version)) > 0 ||
		gv.Group != "" && len(validation.IsDNS1123Subdomain(gv.Group)) > 0 {
		return "", fmt.Errorf("%.128q is not a version of an API group", gv)
	}
	if gv.Group == "" {
		return schemasPath + "/api/" + gv.Version, nil
	}
	return schemasPath + "/apis/" + gv.Group + "/" + gv.Version, nil
}

// Schema writes the OpenAPI v3 document of a version, compressed by gzip. The document is not held in memory: API
// servers keep it compressed.
func (c *Client) Schema(ctx context.Context, gv schema.GroupVersion, to io.Writer) error {
	const op = "read the schemas of"
	path, err := pathOf(gv)
	if err != nil {
		return wrong(op, gv.String(), err)
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return unanswered(ctx, op, gv.String(), ctx.Err())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer cancel()
	r := request{op: op, object: gv.String(), method: http.MethodGet, path: path, accept: mediaJSON, encoding: "gzip"}
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return c.refused(r, resp.StatusCode, body)
	}
	if err := copyCompressed(to, resp); err != nil {
		return unanswered(ctx, op, gv.String(), err)
	}
	return nil
}

// copyCompressed writes the body of an answer, compressed by gzip.
func copyCompressed(to io.Writer, resp *http.Response) error {
	body := io.LimitReader(resp.Body, reporting.MaxSchema+1)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		return copyAll(to, body)
	}
	z, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err == nil {
		err = copyAll(z, body)
	}
	if err != nil {
		return err
	}
	return z.Close()
}

func copyAll(to io.Writer, from io.Reader) error {
	n, err := io.Copy(to, from)
	if err == nil && n > reporting.MaxSchema {
		err = fmt.Errorf("a document of more than %d MiB", reporting.MaxSchema>>20)
	}
	return err
}
