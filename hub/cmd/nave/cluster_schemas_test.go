package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// schemaHub gives the documents of clusters, by the version of example.com, and the errors of others.
type schemaHub struct {
	adminv1.AdminServiceClient
	documents map[string]map[string]string
	errors    map[string]error
	listed    int
	read      []string // clusters
}

func (h *schemaHub) ListSchemas(_ context.Context, r *adminv1.ListSchemasRequest, _ ...grpc.CallOption) (
	*adminv1.ListSchemasResponse, error) {
	h.listed++
	m := &adminv1.ListSchemasResponse{}
	for version, document := range h.documents[r.GetCluster()] {
		hash := sha512.Sum512([]byte(document))
		m.Served = append(m.Served, &adminv1.SchemaVersion{Group: "example.com", Version: version, Hash: hash[:]})
	}
	return m, h.errors[r.GetCluster()]
}

func (h *schemaHub) ReadSchema(_ context.Context, r *adminv1.ReadSchemaRequest, _ ...grpc.CallOption) (
	*adminv1.ReadSchemaResponse, error) {
	h.read = append(h.read, r.GetCluster())
	document := h.documents[r.GetCluster()][r.GetVersion().GetVersion()]
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(document))
	err = errors.Join(err, z.Close())
	hash := sha512.Sum512([]byte(document))
	return &adminv1.ReadSchemaResponse{Data: b.Bytes(), Hash: hash[:]}, err
}

// boxDocument is the document of an API server whose kind Box has a field.
func boxDocument(field string) string {
	return `{"openapi": "3.0.0", "components": {"schemas": {"Box": {"type": "object", "properties": {"` + field +
		`": {"type": "string"}, "apiVersion": {}, "kind": {}, "metadata": {}}, "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1",
		"kind": "Box"}]}}}}`
}

// TestClusterSchemas checks one object against the schemas of several clusters: two of them have the same, which are
// read once; one has others, one does not serve the kind, and the rest does not answer.
func TestClusterSchemas(t *testing.T) {
	hub := &schemaHub{documents: map[string]map[string]string{
		"a": {"v1": boxDocument("size")}, "b": {"v1": boxDocument("size")}, "c": {"v1": boxDocument("color")}, "d": {},
	}, errors: map[string]error{
		"e": status.Error(codes.Unavailable, "the spoke is not connected"),
		"f": status.Error(codes.FailedPrecondition, "the spoke does not know schemas: upgrade the spoke"),
		"g": status.Error(codes.Unimplemented, "unknown method ListSchemas"),
	}}
	v := newValidator(newClusterSchemas(hub).of)
	v.complete = true
	o := &manifest.Object{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Box", "size": "large",
		"metadata": map[string]any{"name": "box"}}}
	for _, cluster := range []string{"a", "b", "c", "d", "e", "f", "g"} { // the fake is not safe for concurrent use
		if err := v.check(t.Context(), []string{cluster}, []renderedObject{{Object: o}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	err := v.err()
	for _, want := range []string{
		`on c: Box.example.com box: Box has the unknown field "size"`,
		"on d: Box.example.com box: the cluster does not serve Box in example.com/v1, and no CustomResourceDefinition",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	var notes []string
	v.printNotes(func(line string) { notes = append(notes, line) })
	const builtin = ": validated by the schemas that nave has of Kubernetes' own kinds"
	for _, want := range []string{
		"on e: the spoke is not connected" + builtin, "on f: the spoke does not know schemas: upgrade the spoke" + builtin,
		"on g: the hub is too old to ask spokes for schemas: upgrade it" + builtin,
		"on e, f, g: not validated, because there is no schema: Box.example.com v1",
	} {
		if !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("notes %q, want %q", notes, want)
		}
	}
	if strings.Join(hub.read, "") != "ac" || hub.listed != 7 {
		t.Errorf("%d lists, documents of %v", hub.listed, hub.read)
	}
	hub.errors["h"] = status.Error(codes.NotFound, "there is no Cluster h")
	if err := v.check(t.Context(), []string{"h"}, []renderedObject{{Object: o}}, nil); status.Code(err) != codes.NotFound {
		t.Errorf("error %v", err)
	}
}
