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
	return api.Given{Key: r.Key, Object: r.Object, Owner: r.Owner, Confined: r.Confined, Tags: r.Tags.Control()}
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
// package plan/graph finds them. Errors are those of get, and ErrNoInput and api.ErrLoop. If the error of a source that
// chooses a tag is ErrNoInput, the Fetch has a key: the row of that key has what the source chose last.
func (r Resource) FetchOf(get func(api.Key) (Resource, bool, error)) (fetch api.Fetch, of Resource, err error) {
	if of, err = r.original(get); err != nil {
		return fetch, r, err
	}
	fetch, err = api.FetchOf(of.Given(), func(by api.Given, in api.SourceInput) (api.Given, error) {
		row, found, err := firstSeen(by, in.Key, get)
		if err != nil {
			return api.Given{}, err
		}
		if found {
			of, err := row.original(get)
			return of.Given(), err
		}
		return api.Given{}, fmt.Errorf("%w: there is no %s%s", ErrNoInput, in.Key, in.Key.Missing())
	})
	if view, failed := of.Object.Source(); errors.Is(err, ErrNoInput) && failed == nil && view.ChoosesTag {
		fetch.Key = of.Key.Path()
	}
	return fetch, of, err
}

// FindSource returns the source that an object, or a Fleet's template, names. If there is none that the object may use,
// or the object names none, FindSource returns false. An object finds its source as package plan/graph finds it. get is
// that of FetchOf, and so are the errors of get.
func (r Resource) FindSource(get func(api.Key) (Resource, bool, error)) (source Resource, found bool, err error) {
	name, ok := r.Object.SourceReference()
	if !ok || name.Name == "" {
		return Resource{}, false, nil
	}
	by := r.Given()
	if source, found, err = firstSeen(by, name, get); found || err != nil {
		return source, found, err
	}
	view, err := r.Object.Renderable()
	if err != nil { // a Fleet
		return Resource{}, false, nil
	}
	by.Confined = r.Confined.Inside(r.Key, view) // a source that the object itself may give
	source, found, err = get(name.In(r.Key.Cluster))
	return source, found && source.seenBy(by), err
}

// firstSeen returns the source of a name: the first one, in the order of api.SourceKeys, that by may use. If there is
// none, firstSeen returns false.
func firstSeen(by api.Given, name api.Key, get func(api.Key) (Resource, bool, error)) (Resource, bool, error) {
	for _, key := range api.SourceKeys(by.Key.Cluster, name, by.Owner) {
		row, exists, err := get(key)
		if err != nil || exists && row.seenBy(by) {
			return row, err == nil, err
		}
	}
	return Resource{}, false, nil
}

// seenBy reports whether an object may use a source of the same graph, or one of the hub: the source was given by
// somebody of the same standing, or above.
func (r Resource) seenBy(by api.Given) bool {
	if r.Key.Cluster != by.Key.Cluster {
		return r.Confined == nil
	}
	return r.Confined.Covers(by.Confined)
}
