package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// pageRows limits the rows that one View reads, so that a long list does not hold a transaction open.
const pageRows = 500

// List implements adminv1.AdminServiceServer. Each page has the state at the time when the page is read.
func (s *Server) List(ctx context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	q, err := readQuery(r)
	if err == nil {
		q.access, err = s.accessFor(ctx)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	after, err := q.readToken(r.GetContinue())
	if err != nil {
		return nil, err
	}
	response := &adminv1.ListResponse{}
	for {
		var page []*adminv1.Object
		if page, after, err = s.page(ctx, q, after, int(r.GetLimit())-len(response.Objects)); err != nil {
			return nil, s.fail(err)
		}
		response.Objects = append(response.Objects, page...)
		full := r.GetLimit() > 0 && len(response.Objects) >= int(r.GetLimit())
		if full || after == "" {
			response.Continue = q.writeToken(after)
			break
		}
	}
	if len(response.Objects) > 0 {
		return response, nil
	}
	return response, s.requireCluster(ctx, q.Cluster)
}

// page returns the next matching objects and the cursor of the next page. The cursor of the last page is empty. A limit
// of 0 or less means no limit.
func (s *Server) page(ctx context.Context, q *query, after string, limit int) (page []*adminv1.Object, next string,
	err error) {
	err = s.store.View(ctx, func(tx *store.Tx) error {
		page = nil
		keys, end, err := q.Page(tx, after, pageRows)
		if err != nil {
			return err
		}
		reader := fold.NewReader(tx) // many facts share rows
		for i, key := range keys {
			object, err := q.read(tx, reader, key)
			if err != nil {
				return err
			}
			if object == nil {
				continue
			}
			if page = append(page, object); len(page) == limit && i < len(keys)-1 {
				next = q.Cursor(key)
				return nil
			}
		}
		next = end
		return nil
	})
	return page, next, err
}

// query is a checked ListRequest.
type query struct {
	store.Selection
	labels labels.Selector
	access access
	digest string // of the request, without its page
}

func readQuery(r *adminv1.ListRequest) (*query, error) {
	kind, err := readKind(r.GetKind())
	if err != nil {
		return nil, err
	}
	selector, err := labels.Parse(r.GetLabelSelector())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "label selector: %v", err)
	}
	if r.GetLimit() < 0 {
		return nil, negativeLimit(r.GetLimit())
	}
	cluster := r.GetCluster()
	if r.GetAllClusters() {
		cluster = ""
	}
	if !kind.Namespaced && cluster != "" {
		return nil, notOfCluster(kind)
	}
	whole := proto.CloneOf(r)
	whole.Limit, whole.Continue = 0, ""
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(whole)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &query{
		Selection: store.Selection{
			Kind: kind, Cluster: cluster, AllClusters: r.GetAllClusters(), Namespace: r.GetNamespace(),
			Name: r.GetName(),
		},
		labels: selector,
		digest: manifest.DigestOf(text).String(),
	}, nil
}

// writeToken returns a ListResponse.continue, which is opaque to clients: the digest of the query and a cursor.
func (q *query) writeToken(after string) string {
	if after == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(q.digest + after))
}

// readToken returns the cursor in a token of writeToken. If the token is of another query, readToken returns an error.
func (q *query) readToken(token string) (after string, err error) {
	if token == "" {
		return "", nil
	}
	data, err := base64.RawURLEncoding.DecodeString(token)
	after, ours := strings.CutPrefix(string(data), q.digest)
	if err != nil || !ours {
		return "", status.Error(codes.InvalidArgument,
			"the continue token is of another list: start the list without a token")
	}
	return after, nil
}

// read returns an object of the page, or nil if the object does not exist or its labels do not match.
func (q *query) read(tx *store.Tx, r *fold.Reader, key api.Key) (*adminv1.Object, error) {
	if sees, err := q.access.sees(tx, key); err != nil || !sees {
		return nil, err
	}
	if !q.labels.Empty() {
		row, ok, err := store.Resources.Get(tx, key.Path())
		if errors.Is(err, store.ErrDamaged) {
			return nil, nil // nobody knows its labels
		}
		if err != nil || !ok || !q.labels.Matches(labelsOf(row)) { // credentials have no labels
			return nil, err
		}
	}
	return read(tx, r, key)
}

// labelsOf returns the labels of a row for selectors.
func labelsOf(row store.Resource) labels.Labels {
	if row.Key.Role() == api.ClusterRole {
		return api.ClusterLabels(row.Key.Name, row.Object.Labels())
	}
	return labels.Set(row.Object.Labels())
}
