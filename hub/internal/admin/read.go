package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// Get implements adminv1.AdminServiceServer.
func (s *Server) Get(ctx context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	key, err := readKey(r.Key)
	if err != nil {
		return nil, err
	}
	var object *adminv1.Object
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		object, err = read(fold.NewReader(tx), tx, key)
		return err
	})
	if err == nil && object == nil {
		err = notFound(key)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	return &adminv1.GetResponse{Object: object}, nil
}

// List implements adminv1.AdminServiceServer.
func (s *Server) List(ctx context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	if _, err := s.operator(ctx); err != nil {
		return nil, err
	}
	q, err := readQuery(r)
	if err != nil {
		return nil, err
	}
	response := &adminv1.ListResponse{}
	err = s.store.View(ctx, func(tx *store.Tx) error {
		response.Objects = nil
		return q.each(tx, func(_ api.Key, o *adminv1.Object) error {
			response.Objects = append(response.Objects, o)
			return nil
		})
	})
	if err != nil {
		return nil, s.fail(err)
	}
	return response, nil
}

// read returns one object with its status; nil when there is none.
func read(r *fold.Reader, tx *store.Tx, key api.Key) (*adminv1.Object, error) {
	if key.Kind == api.SecretKind {
		row, ok, err := store.Secrets.Get(tx, secretRow(key))
		if err != nil || !ok || key.Cluster != "" {
			return nil, err
		}
		return showSecret(key, row)
	}
	facts, ok, err := r.Read(key)
	if err != nil || !ok {
		return nil, err
	}
	data, err := fold.Fold(facts)
	if err != nil {
		return nil, fmt.Errorf("fold %s: %w", key, err)
	}
	return &adminv1.Object{Key: writeKey(key), Json: data}, nil
}

// query is a checked ListRequest.
type query struct {
	kind        api.Kind
	namespace   string
	name        string // empty: any
	cluster     string
	allClusters bool
	selector    labels.Selector
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
	return &query{
		kind: kind, namespace: r.GetNamespace(), cluster: r.GetCluster(), allClusters: r.GetAllClusters(), selector: selector,
	}, nil
}

// prefix is what the keys of all matching rows begin with.
func (q *query) prefix() string {
	switch {
	case q.allClusters:
		return ""
	case q.namespace == "" || !q.kind.Namespaced:
		return q.cluster + "/" + q.kind.Name + "/"
	}
	return q.cluster + "/" + q.kind.Name + "/" + q.namespace + "/"
}

// each calls visit for every matching object, in the order of the keys.
func (q *query) each(tx *store.Tx, visit func(api.Key, *adminv1.Object) error) error {
	if q.kind.Name == api.SecretKind {
		return q.eachSecret(tx, visit)
	}
	reader := fold.NewReader(tx) // many facts share rows
	return store.Resources.Scan(tx, q.prefix(), func(_ string, r store.Resource) error {
		if !q.matches(r.Key) || !q.selects(r.Object.JSON) {
			return nil
		}
		object, err := read(reader, tx, r.Key)
		if err != nil || object == nil {
			return err
		}
		return visit(r.Key, object)
	})
}

func (q *query) eachSecret(tx *store.Tx, visit func(api.Key, *adminv1.Object) error) error {
	if q.cluster != "" || !q.selector.Empty() {
		return nil // credentials are the hub's, and have no labels
	}
	return store.Secrets.Scan(tx, "", func(row string, secret store.Secret) error {
		namespace, name, _ := strings.Cut(row, "/")
		key := api.Key{Kind: api.SecretKind, Namespace: namespace, Name: name}
		if !q.matches(key) {
			return nil
		}
		object, err := showSecret(key, secret)
		if err != nil {
			return err
		}
		return visit(key, object)
	})
}

func (q *query) matches(k api.Key) bool {
	return k.Kind == q.kind.Name &&
		(q.name == "" || k.Name == q.name) &&
		(q.namespace == "" || !q.kind.Namespaced || k.Namespace == q.namespace) &&
		(q.allClusters || k.Cluster == q.cluster)
}

// selects reports whether the object's labels match.
func (q *query) selects(object json.RawMessage) bool {
	if q.selector.Empty() {
		return true
	}
	var o struct {
		Metadata struct {
			Labels labels.Set `json:"labels"`
		} `json:"metadata"`
	}
	return json.Unmarshal(object, &o) == nil && q.selector.Matches(o.Metadata.Labels)
}
