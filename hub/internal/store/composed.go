package store

import (
	"errors"
	"fmt"

	"github.com/navefleet/nave/hub/api"
)

// ErrNoInput: a source that another one reads does not exist.
var ErrNoInput = errors.New("source not found")

// Given returns the object with what decides who may see it.
func (r Resource) Given() api.Given {
	return api.Given{Key: r.Key, Object: r.Object, Owner: r.Owner, Confined: r.Confined}
}

// original returns the source of the hub that a source stands for, or the source itself.
func (r Resource) original(get func(api.Key) (Resource, bool, error)) (Resource, error) {
	if r.AliasOf == nil {
		return r, nil
	}
	of, exists, err := get(*r.AliasOf)
	if err == nil && !exists {
		err = fmt.Errorf("%w: %s stands for %s of the hub, which does not exist", ErrNoInput, r.Key.Local(), *r.AliasOf)
	}
	return of, err
}

// FetchOf returns the Fetch of a source, and the row that says what is fetched: the source itself, or the one of the
// hub that it stands for. get returns the row of an object; false if there is none. A source finds its inputs as
// package plan/graph finds them. Errors are those of get, and ErrNoInput and api.ErrLoop.
func (r Resource) FetchOf(get func(api.Key) (Resource, bool, error)) (fetch api.Fetch, of Resource, err error) {
	if of, err = r.original(get); err != nil {
		return fetch, r, err
	}
	fetch, err = api.FetchOf(of.Given(), func(by api.Given, in api.SourceInput) (api.Given, error) {
		for _, key := range api.SourceKeys(by.Key.Cluster, in.Key, by.Owner) {
			row, exists, err := get(key)
			if err != nil {
				return api.Given{}, err
			}
			if exists && row.seenBy(by) {
				of, err := row.original(get)
				return of.Given(), err
			}
		}
		return api.Given{}, fmt.Errorf("%w: there is no %s%s", ErrNoInput, in.Key, in.Key.Missing())
	})
	return fetch, of, err
}

// seenBy reports whether a source of the same graph, or one of the hub, may be an input of another: it was given by
// somebody of the same standing, or above.
func (r Resource) seenBy(by api.Given) bool {
	if r.Key.Cluster != by.Key.Cluster {
		return r.Confined == nil
	}
	return r.Confined.Covers(by.Confined)
}
