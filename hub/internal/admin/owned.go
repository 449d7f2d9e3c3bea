package admin

import (
	"encoding/json"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// requireOperators returns an error if the object has an owner, so that operators must not change it. The error names
// the owner, and its source and path. Objects of the hub that their owner does not give any more belong to the
// operators: orphaned objects, and those whose removal is held.
func requireOperators(tx *store.Tx, row store.Resource, verb string) error {
	owner := ownerOf(row)
	if owner == nil {
		return nil
	}
	return ownedElsewhere(row.Key, *owner, placeInGit(tx, *owner), verb)
}

// ownerOf returns the object that alone may change another one; nil if operators may.
func ownerOf(row store.Resource) *api.Key {
	if row.Held && row.Key.Cluster == "" {
		return nil
	}
	return row.GivenBy()
}

// givenBy returns who gives an object of the hub.
func givenBy(row store.Resource) adminv1.GivenBy {
	switch {
	case row.Key.Cluster != "":
		return adminv1.GivenBy_GIVEN_BY_UNSPECIFIED
	case ownerOf(row) != nil:
		return adminv1.GivenBy_GIVEN_BY_OBJECT
	}
	return adminv1.GivenBy_GIVEN_BY_OPERATORS
}

// ownedElsewhere returns the error about an object with an owner. place is where the owner has it from; "" if that is
// not known.
func ownedElsewhere(key, owner api.Key, place, verb string) error {
	wayOut := ""
	if owner.Role() == api.RenderableRole {
		wayOut = ": change it in Git"
		if verb == "deleted" {
			wayOut = ": take it out of Git"
		}
		wayOut += place
	}
	return status.Errorf(codes.FailedPrecondition, "%s comes from %s and can only be %s there%s", key, owner, verb, wayOut)
}

// placeInGit returns the source and the path of a renderable for the end of a message. If they cannot be read,
// placeInGit returns "".
func placeInGit(tx *store.Tx, owner api.Key) string {
	row, there, err := store.Resources.Get(tx, owner.Path())
	if err != nil || !there {
		return ""
	}
	source, named := row.Object.SourceReference()
	view, err := row.Object.Renderable()
	if err != nil || !named {
		return ""
	}
	place := ", in " + source.Local()
	var build struct {
		Path string `json:"path"`
	}
	if json.Unmarshal(view.Spec, &build) == nil && build.Path != "" {
		place += " below " + build.Path
	}
	return place
}
