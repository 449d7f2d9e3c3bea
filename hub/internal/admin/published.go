package admin

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// Limits of the messages of Published and PublishedContent.
const (
	maxPart         = 256 << 10 // bytes of a message, but for a single object
	maxApplications = 500       // of a message, about 300 bytes each
	maxContents     = 10_000    // objects of one request
)

// published are the roles of the hub's objects that a preview needs.
var published = []api.Role{api.ClusterRole, api.FleetRole, api.SourceRole, api.RenderableRole}

// Published implements adminv1.AdminServiceServer. Each cluster is read in a View of its own.
func (s *Server) Published(r *adminv1.PublishedRequest, stream adminv1.AdminService_PublishedServer) error {
	ctx := stream.Context()
	if _, err := s.operator(ctx); err != nil {
		return err
	}
	if err := s.sendHub(ctx, stream); err != nil {
		return s.fail(err)
	}
	clusters := r.GetClusters()
	if len(clusters) == 0 {
		err := s.store.View(ctx, func(tx *store.Tx) error {
			clusters = nil
			return store.Releases.Sizes(tx, "", func(cluster string, _ int) error {
				clusters = append(clusters, cluster)
				return nil
			})
		})
		if err != nil {
			return s.fail(err)
		}
	}
	for _, cluster := range clusters {
		err := s.sendCluster(ctx, cluster, stream)
		if err == nil && r.GetGraphs() {
			err = s.sendGraph(ctx, cluster, stream)
		}
		if err != nil {
			return s.fail(err)
		}
	}
	return nil
}

// sendHub sends the objects of the hub, page by page.
func (s *Server) sendHub(ctx context.Context, stream adminv1.AdminService_PublishedServer) error {
	part := &adminv1.PublishedHub{Epoch: s.store.Epoch()}
	size, after := 0, ""
	send := func() error {
		response := &adminv1.PublishedResponse{Part: &adminv1.PublishedResponse_Hub{Hub: part}}
		part, size = &adminv1.PublishedHub{Epoch: s.store.Epoch()}, 0
		return stream.Send(response)
	}
	for {
		var rows []store.Row[store.Resource]
		var next string
		err := s.store.View(ctx, func(tx *store.Tx) (err error) {
			rows, next, err = store.Resources.PageIntact(tx, "/", after, pageRows)
			return err
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if !slices.Contains(published, row.Value.Key.Role()) || row.Value.Object == nil {
				continue
			}
			if size > 0 && size+len(row.Value.Object.JSON) > maxPart {
				if err := send(); err != nil {
					return err
				}
			}
			part.Objects, size = append(part.Objects, hubObject(row.Value)), size+len(row.Value.Object.JSON)
		}
		if after = next; after == "" {
			return send()
		}
	}
}

func hubObject(r store.Resource) *adminv1.HubObject {
	o := &adminv1.HubObject{Json: r.Object.JSON, Suspended: r.Suspended}
	if r.Owner != nil {
		o.Owner = fold.KeyMessage(*r.Owner)
	}
	if r.Confined != nil {
		o.Confined, _ = json.Marshal(r.Confined) // strings only: there is no error to have
	}
	return o
}

// sendCluster sends the release of one cluster, its pin, and what is suspended in its graph. If the cluster does not
// exist, the error is NOT_FOUND.
func (s *Server) sendCluster(ctx context.Context, cluster string, stream adminv1.AdminService_PublishedServer) error {
	var c releasedCluster
	err := s.store.View(ctx, func(tx *store.Tx) (err error) {
		c, err = readReleased(tx, cluster)
		return err
	})
	if err != nil {
		return err
	}
	part := &adminv1.PublishedCluster{Cluster: cluster, Sequence: c.sequence, Unreadable: c.unreadable,
		Pin: pinMessage(c.pin), Capabilities: c.capabilities}
	for _, key := range c.suspended {
		part.Suspended = append(part.Suspended, fold.KeyMessage(key))
	}
	for i, e := range c.release.Applications {
		part.Applications = append(part.Applications, publishedApplication(cluster, e, c.rows[e.Name]))
		if len(part.Applications) == maxApplications && i < len(c.release.Applications)-1 {
			response := &adminv1.PublishedResponse{Part: &adminv1.PublishedResponse_Cluster{Cluster: part}}
			if err := stream.Send(response); err != nil {
				return err
			}
			part = &adminv1.PublishedCluster{Cluster: cluster, Sequence: c.sequence}
		}
	}
	return stream.Send(&adminv1.PublishedResponse{Part: &adminv1.PublishedResponse_Cluster{Cluster: part}})
}

// releasedCluster has the rows about what was released to a cluster.
type releasedCluster struct {
	release    store.Release
	unreadable string // why the release cannot be read; then nothing else is known
	sequence   uint64 // of the bundle
	pin        *store.Pin
	rows       map[bundle.ApplicationName]store.Resource // see readGraph
	suspended  []api.Key
	// capabilities identifies what the spoke reported about its API server; empty: nothing.
	capabilities string
}

// readReleased reads the rows about what was released to a cluster.
func readReleased(tx *store.Tx, cluster string) (c releasedCluster, err error) {
	if err := requireRow(tx, api.ClusterKey(cluster)); err != nil {
		return c, err
	}
	c.release, _, err = store.Releases.Get(tx, cluster)
	if errors.Is(err, store.ErrDamaged) {
		return releasedCluster{unreadable: err.Error()}, nil
	}
	if err != nil {
		return c, err
	}
	signed, _, err := store.SignedBundles.GetIntact(tx, cluster)
	if err != nil {
		return c, err
	}
	c.sequence = signed.Bundle.Sequence
	spoke, _, err := store.Spokes.GetIntact(tx, cluster)
	if err != nil {
		return c, err
	}
	if !spoke.Capabilities.IsZero() {
		c.capabilities = spoke.Capabilities.String()
	}
	if c.pin, err = readPin(tx, cluster); err != nil {
		return c, err
	}
	return c, c.readGraph(tx, cluster)
}

// readGraph reads the rows that the release was rendered from, and those that an operator suspended. Objects that left
// the graph since the release, and damaged rows, are missing.
func (c *releasedCluster) readGraph(tx *store.Tx, cluster string) error {
	c.rows = map[bundle.ApplicationName]store.Resource{}
	for _, e := range c.release.Applications {
		c.rows[e.Name] = store.Resource{}
	}
	return store.Resources.ScanApart(tx, store.OfCluster(cluster), func(_ string, row store.Resource) error {
		name := row.Key.Application()
		if _, released := c.rows[name]; released {
			c.rows[name] = row
		}
		if row.Suspended {
			c.suspended = append(c.suspended, row.Key)
		}
		return nil
	}, func(string, error) error { return nil })
}

// sendGraph sends the objects of a cluster's graph, page by page, without damaged ones and without those that only the
// hub makes: a client makes its own.
func (s *Server) sendGraph(ctx context.Context, cluster string, stream adminv1.AdminService_PublishedServer) error {
	for after, next, more := "", "", true; more; after, more = next, next != "" {
		var rows []store.Row[store.Resource]
		err := s.store.View(ctx, func(tx *store.Tx) (err error) {
			rows, next, err = store.Resources.PageIntact(tx, store.OfCluster(cluster), after, pageRows)
			return err
		})
		if err != nil {
			return err
		}
		part, size := &adminv1.PublishedCluster{Cluster: cluster}, 0
		for i, row := range rows {
			if row.Value.Object != nil && row.Value.Owner != nil && !row.Value.Key.Derived() {
				part.Objects, size = append(part.Objects, hubObject(row.Value)), size+len(row.Value.Object.JSON)
			}
			if last := i == len(rows)-1; len(part.Objects) == 0 || size < maxPart && !last {
				continue
			}
			response := &adminv1.PublishedResponse{Part: &adminv1.PublishedResponse_Cluster{Cluster: part}}
			if err := stream.Send(response); err != nil {
				return err
			}
			part, size = &adminv1.PublishedCluster{Cluster: cluster}, 0
		}
	}
	return nil
}

func publishedApplication(cluster string, e store.Entry, row store.Resource) *adminv1.PublishedApplication {
	p := &adminv1.PublishedApplication{Key: fold.KeyMessage(api.ApplicationKey(cluster, e.Name)), Fleet: e.Fleet,
		Digest: e.Digest.String(), Revision: e.Revision, Orphaned: row.Orphaned, OrphanOnDelete: row.OrphanOnDelete,
		PinnedRevision: e.PinnedRevision, Told: &adminv1.ToldRelease{Upgrade: e.Chart.Upgrade, Last: int64(e.Chart.Last)}}
	if owner := row.GivenBy(); owner != nil {
		p.Parent = fold.KeyMessage(*owner)
	}
	if row.Object != nil {
		p.PruneDisabled = row.Object.Marks().IsPruneDisabled()
	}
	return p
}

// PublishedContent implements adminv1.AdminServiceServer. It sends only what the cluster's release reaches.
func (s *Server) PublishedContent(r *adminv1.PublishedContentRequest,
	stream adminv1.AdminService_PublishedContentServer) error {
	ctx := stream.Context()
	if _, err := s.operator(ctx); err != nil {
		return err
	}
	key := fold.KeyOf(r.GetKey())
	digest, err := manifest.ParseDigest(r.GetDigest())
	if err != nil || len(r.GetObjects()) > maxContents {
		return status.Errorf(codes.InvalidArgument, "want the digest of an application, and at most %d objects", maxContents)
	}
	data, err := s.publishedBytes(ctx, key, digest)
	if err != nil {
		return s.fail(err)
	}
	if len(r.GetObjects()) == 0 {
		return sendPieces(stream, digest, data)
	}
	app, err := bundle.DecodeApplication(data)
	if err != nil {
		return s.fail(err)
	}
	return s.sendObjects(stream, key, app, r.GetObjects())
}

// sendObjects sends objects of an Application. If it does not have one of them, the error is NOT_FOUND.
func (s *Server) sendObjects(stream adminv1.AdminService_PublishedContentServer, key api.Key, app *bundle.Application,
	wanted []string) error {
	has := map[string]manifest.Digest{}
	for _, d := range app.Digests() {
		has[d.String()] = d
	}
	for _, text := range wanted {
		d, ok := has[text]
		if !ok {
			return status.Errorf(codes.NotFound, "%s has no object %s", key, text)
		}
		object, err := s.store.Blobs().Get(stream.Context(), d)
		if err != nil {
			return s.fail(err)
		}
		if err := sendPieces(stream, d, object); err != nil {
			return err
		}
	}
	return nil
}

// publishedBytes returns the bytes of an Application that the release of its cluster lists.
func (s *Server) publishedBytes(ctx context.Context, key api.Key, digest manifest.Digest) ([]byte, error) {
	err := s.store.View(ctx, func(tx *store.Tx) error {
		release, _, err := store.Releases.Get(tx, key.Cluster)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(release.Applications, func(e store.Entry) bool {
			return e.Digest == digest && e.Name == key.Application()
		}) {
			return status.Errorf(codes.NotFound, "%s is not released with the digest %s (any more): try again", key, digest)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	data, err := s.store.Blobs().Get(ctx, digest)
	if errors.Is(err, store.ErrNotFound) {
		err = status.Errorf(codes.NotFound, "the application of %s was replaced meanwhile: try again", key)
	}
	return data, err
}

// sendPieces sends the bytes of a blob.
func sendPieces(stream adminv1.AdminService_PublishedContentServer, d manifest.Digest, data []byte) error {
	for last := false; !last; {
		piece := data[:min(len(data), maxPart)]
		data = data[len(piece):]
		last = len(data) == 0
		err := stream.Send(&adminv1.PublishedContentResponse{Digest: d.String(), Data: piece, Last: last})
		if err != nil {
			return err
		}
	}
	return nil
}
