package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// kindOf returns the kind in "KIND …", "KIND/NAME", "source git …" or "source git/NAME", and the arguments after it.
func kindOf(args []string) (api.Kind, []string, error) {
	if len(args) == 0 {
		return api.Kind{}, nil,
			usageError("the kind is missing: give one, such as kustomizations, gitrepositories, clusters or fleets")
	}
	if len(args) > 1 {
		second, name, slash := strings.Cut(args[1], "/")
		k, ok := api.KindByName(args[0] + " " + second)
		switch {
		case ok && slash:
			return k, append([]string{name}, args[2:]...), checkName(k, name)
		case ok:
			return k, args[2:], nil
		}
	}
	word, name, slash := strings.Cut(args[0], "/")
	if slices.Contains([]string{"events", "event", "ev"}, word) {
		return api.Kind{}, nil, usageError("events are no objects of the hub: nave events lists them")
	}
	k, err := api.FindKind(word)
	if err != nil {
		return k, nil, withExit2(err)
	}
	if slash {
		return k, append([]string{name}, args[1:]...), checkName(k, name)
	}
	return k, args[1:], nil
}

// checkName returns an error about a name that no object can have.
func checkName(kind api.Kind, name string) error {
	switch at := strings.LastIndex(name, "/"); {
	case name == "":
		return usageError("the name after %s/ is empty: give one, or leave out the slash", strings.ToLower(kind.Name))
	case at >= 0:
		return usageError("%s: a name has no slash: want %s %s, with -n for the namespace", name, kind.Name, name[at+1:])
	}
	return nil
}

// key returns the key of the object in "KIND NAME". If there is not exactly one name, key returns an error.
func (s *session) key(args []string) (*adminv1.ObjectKey, error) {
	kind, rest, err := kindOf(args)
	if err != nil {
		return nil, err
	}
	if len(rest) != 1 || rest[0] == "" {
		return nil, usageError("want the name of exactly one %s", kind.Name)
	}
	if err := cmp.Or(checkName(kind, rest[0]), s.checkScope(kind)); err != nil {
		return nil, err
	}
	key := &adminv1.ObjectKey{Cluster: s.cluster, Kind: kind.Name, Name: rest[0]}
	if kind.Namespaced {
		key.Namespace = s.namespace
	}
	return key, nil
}

// kindAndName returns the parts of KIND/NAME, the value of a flag --for. The kind may be one that the hub does not
// have.
func kindAndName(value string) (kind, name string, err error) {
	kind, name, ok := strings.Cut(value, "/")
	if !ok || kind == "" || name == "" {
		return "", "", usageError("--for=%s: want KIND/NAME, such as kustomization/apps", value)
	}
	return kind, name, nil
}

// checkScope returns an error about --cluster or --namespace if the objects of a kind have none.
func (s *session) checkScope(kind api.Kind) error {
	switch {
	case kind.Namespaced:
		return nil
	case s.cluster != "":
		return usageError("--cluster does nothing for %s, which are objects of the hub: leave it out", kind.Plural)
	case s.namespaceGiven:
		return usageError("--namespace does nothing for %s, which have no namespace: leave it out", kind.Plural)
	}
	return nil
}

// show returns a key in the format of messages.
func show(k *adminv1.ObjectKey) string {
	return oneLine(keyOf(k).String())
}

// keyOf returns the key in a message of the hub.
func keyOf(k *adminv1.ObjectKey) api.Key { return fold.KeyOf(k) }
