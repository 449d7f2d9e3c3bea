package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
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
	claimed   string // the document whose hash all clusters list; empty: their own
	errors    map[string]error
	listed    int
	read      []string // clusters
}

func (h *schemaHub) ListSchemas(_ context.Context, r *adminv1.ListSchemasRequest, _ ...grpc.CallOption) (
	*adminv1.ListSchemasResponse, error) {
	h.listed++
	m := &adminv1.ListSchemasResponse{}
	for version, document := range h.documents[r.GetCluster()] {
		hash := sha512.Sum512([]byte(cmp.Or(h.claimed, document)))
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
		"on g: the hub is too old for schemas of clusters: upgrade it" + builtin,
		"on e, f, g: not validated, because there is no schema: Box.example.com v1",
	} {
		if !strings.Contains(strings.Join(notes, "\n"), want) {
			t.Errorf("notes %q, want %q", notes, want)
		}
	}
	if strings.Join(hub.read, "") != "ac" || hub.listed != 7 {
		t.Errorf("%d lists, documents of %v", hub.listed, hub.read)
	}
	for cluster, failure := range map[string]error{
		"h": status.Error(codes.NotFound, "there is no Cluster h"),
		"i": status.Error(codes.Unavailable, "error reading from server: EOF"),
		"j": status.Error(codes.Unavailable, "connection error: desc = refused"),
	} {
		hub.errors[cluster] = failure
		if err := v.check(t.Context(), []string{cluster}, []renderedObject{{Object: o}}, nil); !errors.Is(err, failure) {
			t.Errorf("on %s: error %v", cluster, err)
		}
	}
}

// TestClusterSchemas_claimed has a cluster that lists the hash of another one's document, and sends one of its own. The
// other cluster is judged by its own document, in whatever order they are asked.
func TestClusterSchemas_claimed(t *testing.T) {
	for _, order := range []string{"evil honest", "honest evil"} {
		t.Run(order, func(t *testing.T) {
			hub := &schemaHub{claimed: boxDocument("size"), documents: map[string]map[string]string{
				"honest": {"v1": boxDocument("size")}, "evil": {"v1": boxDocument("color")}}}
			v := newValidator(newClusterSchemas(hub).of)
			for _, cluster := range strings.Fields(order) { // the fake is not safe for concurrent use
				if _, err := v.ask(t.Context(), []string{cluster}); err != nil {
					t.Fatal(err)
				}
			}
			o := &manifest.Object{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Box", "color": "red",
				"metadata": map[string]any{"name": "box"}}}
			if err := v.check(t.Context(), strings.Fields(order), []renderedObject{{Object: o}}, nil); err != nil {
				t.Fatal(err)
			}
			if err := v.err(); err == nil || !strings.Contains(err.Error(), `has the unknown field "color"`) ||
				strings.Contains(err.Error(), "on evil:") {
				t.Errorf("error %v, want the unknown field on the cluster honest", err)
			}
		})
	}
}

// TestDefinitions_of_Kubernetes has a definition of a kind that every API server has: it changes nothing.
func TestDefinitions_of_Kubernetes(t *testing.T) {
	d := definitions{}
	for _, group := range []string{"apps", "networking.k8s.io", "example.com"} {
		d.add(&manifest.Object{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": definitionKind,
			"spec": map[string]any{"group": group, "names": map[string]any{"kind": "Deployment"},
				"versions": []any{map[string]any{"name": "v1", "served": true}}}}})
	}
	if len(d) != 1 {
		t.Errorf("definitions of %v", d)
	}
	o := &manifest.Object{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "d"}, "spec": map[string]any{"replicsa": "x"}}}
	found, err := builtInSchemas("").check(t.Context(), o, d, true)
	if err != nil || !strings.Contains(fmt.Sprint(found.wrong), `has the unknown field "replicsa"`) {
		t.Errorf("%q, error %v", found.wrong, err)
	}
}
