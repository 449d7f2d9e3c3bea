package admin

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// readKey resolves what people write for a kind, and gives a namespaced object of the hub the default namespace.
func readKey(p *adminv1.ObjectKey) (api.Key, error) {
	kind, err := readKind(p.GetKind())
	if err != nil {
		return api.Key{}, err
	}
	key := api.Key{Cluster: p.GetCluster(), Kind: kind.Name, Namespace: p.GetNamespace(), Name: p.GetName()}
	if key.Name == "" {
		return api.Key{}, status.Errorf(codes.InvalidArgument, "which %s? The name is missing", kind.Name)
	}
	switch {
	case !kind.Namespaced:
		key.Namespace = ""
	case key.Namespace == "":
		key.Namespace = api.DefaultNamespace
	}
	return key, nil
}

func readKind(word string) (api.Kind, error) {
	kind, ok := api.KindByName(word)
	if ok {
		return kind, nil
	}
	var names []string
	for _, k := range api.Kinds() {
		names = append(names, k.Plural)
	}
	return api.Kind{}, status.Errorf(codes.InvalidArgument, "kind %q is unknown; the hub knows %s", word,
		strings.Join(names, ", "))
}

// secretRow returns the row of a credential in the vault's table.
func secretRow(k api.Key) string { return k.Namespace + "/" + k.Name }

// secretKey returns the key of the credential in a row of the vault's table.
func secretKey(row string) api.Key {
	namespace, name, _ := strings.Cut(row, "/")
	return api.Key{Kind: api.SecretKind, Namespace: namespace, Name: name}
}

func notFound(k api.Key) error { return status.Errorf(codes.NotFound, "%s not found", k) }
