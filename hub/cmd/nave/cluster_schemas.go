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

// clusterSchemas reads the schemas of clusters through the hub. Clusters share a document if it has the hash that both
// list. A spoke may belong to an attacker, so that a list alone says nothing about what other clusters serve.
type clusterSchemas struct {
	client adminv1.AdminServiceClient

	mu        sync.Mutex
	byCluster map[string]*schemas
	fallbacks map[string]*schemas          // by their reason
	documents map[string]*openapi.Document // by the hash that the hub computed
}

func newClusterSchemas(client adminv1.AdminServiceClient) *clusterSchemas {
	return &clusterSchemas{client: client, byCluster: map[string]*schemas{}, fallbacks: map[string]*schemas{},
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.byCluster[cluster] = c.listed(cluster, answer.GetServed())
		return c.byCluster[cluster], nil
	}
	reason := unanswered(err)
	if reason == "" {
		return nil, fmt.Errorf("ask cluster %s for its schemas: %w", cluster, err)
	}
	if c.fallbacks[reason] == nil {
		c.fallbacks[reason] = builtInSchemas(reason)
	}
	c.byCluster[cluster] = c.fallbacks[reason]
	return c.byCluster[cluster], nil
}

// unanswered returns why a spoke does not give schemas; "" for an error that is not about the spoke.
func unanswered(err error) string {
	if isUnreached(err) || isCutOff(err) || isOtherServer(err) {
		return "" // the hub did not answer, and the spoke was not asked
	}
	if isTooOld(err) {
		return errTooOld("schemas of clusters").Error()
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.FailedPrecondition, codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted:
		return status.Convert(err).Message()
	}
	return ""
}

// listed returns the schemas that a cluster lists.
func (c *clusterSchemas) listed(cluster string, list []*adminv1.SchemaVersion) *schemas {
	s := &schemas{ofCluster: true, shares: true}
	versions := map[schema.GroupVersion]*adminv1.SchemaVersion{}
	for _, v := range list {
		gv := schema.GroupVersion{Group: v.GetGroup(), Version: v.GetVersion()}
		versions[gv] = v
		s.served = append(s.served, pathOfVersion(gv))
	}
	slices.Sort(s.served)
	s.read = func(ctx context.Context, gv schema.GroupVersion) (*openapi.Document, error) {
		return c.read(ctx, cluster, versions[gv])
	}
	return s
}

// read returns the document of a version. A document without the hash that the cluster lists is that of no other
// cluster.
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
