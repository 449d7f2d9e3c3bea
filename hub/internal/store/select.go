package store

import (
	"strings"

	"github.com/navefleet/nave/hub/api"
)

// Selection is the objects of one kind that a list shows: those of the hub, those of one cluster, or all.
type Selection struct {
	Kind        api.Kind
	Cluster     string // empty: the hub
	AllClusters bool   // of the hub and of all clusters
	Namespace   string // empty: any
	Name        string // empty: any
}

// Has reports whether the selection has an object with the key.
func (s Selection) Has(k api.Key) bool {
	return k.Kind == s.Kind.Name &&
		(s.Name == "" || k.Name == s.Name) &&
		(s.Namespace == "" || !s.Kind.Namespaced || k.Namespace == s.Namespace) &&
		(s.AllClusters || k.Cluster == s.Cluster)
}

// Page returns the keys of the selected objects among the next limit rows, and the cursor of the next page. The cursor
// of the last page is empty.
func (s Selection) Page(tx *Tx, after string, limit int) (keys []api.Key, next string, err error) {
	add := func(key api.Key) {
		if s.Has(key) {
			keys = append(keys, key)
		}
	}
	if s.Kind.Role == api.CredentialRole {
		rows, next, err := Secrets.Page(tx, "", after, limit)
		for _, row := range rows {
			add(CredentialKey(row.Key))
		}
		return keys, next, err
	}
	list, prefix := Resources.PageKeys, s.prefix()
	if s.AllClusters {
		list, prefix = ResourcesByKind.PageKeys, s.Kind.Name+"/"
	}
	paths, next, err := list(tx, prefix, after, limit)
	for _, path := range paths {
		if key, ok := api.ParseKey(path); ok {
			add(key)
		}
	}
	return keys, next, err
}

// Cursor returns the place of a key in the order of the pages.
func (s Selection) Cursor(k api.Key) string {
	switch {
	case s.Kind.Role == api.CredentialRole:
		return CredentialPath(k.Namespace, k.Name)
	case s.AllClusters:
		return swapKind(k.Path())
	}
	return k.Path()
}

// prefix returns the common prefix of the paths of all selected objects of one cluster.
func (s Selection) prefix() string {
	key := api.Key{Cluster: s.Cluster, Kind: s.Kind.Name, Namespace: s.Namespace, Name: s.Name}
	switch {
	case !s.Kind.Namespaced:
		key.Namespace = ""
	case s.Namespace == "":
		key.Name = ""
		return strings.TrimSuffix(key.Path(), "/")
	}
	return key.Path()
}

// CredentialPath returns the key of a credential of the hub in the table Secrets.
func CredentialPath(namespace, name string) string { return namespace + "/" + name }

// CredentialKey returns the key of the credential with the given CredentialPath.
func CredentialKey(path string) api.Key {
	namespace, name, _ := strings.Cut(path, "/")
	return api.Key{Kind: api.SecretKind, Namespace: namespace, Name: name}
}
