package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/navefleet/nave/hub/internal/openapi"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/reporting"
)

// clusterSchemas reads the schemas of clusters through the hub. Clusters with the same documents have the same schemas.
type clusterSchemas struct {
	client adminv1.AdminServiceClient

	mu        sync.Mutex
	byCluster map[string]*schemas
	same      map[string]*schemas          // by their list, or by the reason of a fallback
	documents map[string]*openapi.Document // by hash
}

func newClusterSchemas(client adminv1.AdminServiceClient) *clusterSchemas {
	return &clusterSchemas{client: client, byCluster: map[string]*schemas{}, same: map[string]*schemas{},
		documents: map[string]*openapi.Document{}}
}

// of returns the schemas of a cluster. If its spoke does not answer, they are the built-in ones.
func (c *clusterSchemas) of(ctx context.Context, cluster string) (*schemas, error) {
	c.mu.Lock()
	known := c.byCluster[cluster]
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	answer, err := c.client.ListSchemas(ctx, &adminv1.ListSchemasRequest{Cluster: cluster})
	id, found := "", (*schemas)(nil)
	if err == nil {
		id, found = c.listed(cluster, answer.GetServed())
	} else if id = unanswered(err); id != "" {
		found = builtInSchemas(id)
	}
	if found == nil {
		return nil, fmt.Errorf("ask cluster %s for its schemas: %w", cluster, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.same[id] == nil {
		c.same[id] = found
	}
	c.byCluster[cluster] = c.same[id]
	return c.same[id], nil
}

// unanswered returns why a spoke does not give schemas; "" for an error that is not about the spoke.
func unanswered(err error) string {
	switch status.Code(err) {
	case codes.Unimplemented:
		return "the hub is too old to ask spokes for schemas: upgrade it"
	case codes.Unavailable, codes.FailedPrecondition, codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted:
		return status.Convert(err).Message()
	}
	return ""
}

// listed returns the schemas that a cluster lists, and an identifier that equal lists share.
func (c *clusterSchemas) listed(cluster string, list []*adminv1.SchemaVersion) (id string, s *schemas) {
	s = &schemas{ofCluster: true}
	versions := map[schema.GroupVersion]*adminv1.SchemaVersion{}
	for _, v := range list {
		gv := schema.GroupVersion{Group: v.GetGroup(), Version: v.GetVersion()}
		versions[gv] = v
		s.served = append(s.served, pathOfVersion(gv))
		id += fmt.Sprintf("%s %x\n", gv, v.GetHash())
		if len(v.GetHash()) == 0 { // the documents may differ
			id += cluster + "\n"
		}
	}
	s.read = func(ctx context.Context, gv schema.GroupVersion) (*openapi.Document, error) {
		return c.read(ctx, cluster, versions[gv])
	}
	return id, s
}

// read returns the document of a version.
func (c *clusterSchemas) read(ctx context.Context, cluster string, v *adminv1.SchemaVersion) (*openapi.Document,
	error) {
	c.mu.Lock()
	known := c.documents[string(v.GetHash())]
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	answer, err := c.client.ReadSchema(ctx, &adminv1.ReadSchemaRequest{Cluster: cluster, Version: v})
	if err != nil {
		return nil, fmt.Errorf("ask cluster %s for its schemas: %w", cluster, err)
	}
	document, err := parseCompressed(answer.GetData())
	if err != nil {
		return nil, fmt.Errorf("read the schemas of cluster %s: %w", cluster, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if hash := answer.GetHash(); len(hash) > 0 && slices.Equal(hash, v.GetHash()) {
		c.documents[string(hash)] = document
	}
	return document, nil
}

// parseCompressed reads a document that was compressed by gzip.
func parseCompressed(data []byte) (*openapi.Document, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(z, reporting.MaxSchema+1)) // one byte more: Parse refuses it
	if err != nil {
		return nil, err
	}
	return openapi.Parse(plain)
}
