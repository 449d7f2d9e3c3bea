package graph

import (
	"errors"
	"fmt"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/condition"
)

// errWait is the error of a source that is missing in this pass but was in the last one.
var errWait = errors.New("not rendered yet")

// fetchKey returns the key of the fetch of a source, and finds the inputs of the source: Work.Parts. If a later render
// of this pass may give an input, the error is errWait.
func (p *pass) fetchKey(source Node) (string, map[api.Key][]api.Given, error) {
	var parts map[api.Key][]api.Given
	fetch, err := api.FetchOf(given(source), func(by api.Given, in api.SourceInput) (api.Given, error) {
		found, err := p.sourceInput(by, in)
		if parts == nil {
			parts = map[api.Key][]api.Given{}
		}
		parts[by.Key] = append(parts[by.Key], found)
		return found, err
	})
	return fetch.Key, parts, err
}

func given(n Node) api.Given {
	return api.Given{Key: n.Key, Object: n.Object, Owner: n.Owner, Confined: n.Confined}
}

// sourceInput returns the source that an input of another source names, by the rules of resolve: its limits must be the
// same as those of the other source, or wider. A source of the hub has only inputs of the hub.
func (p *pass) sourceInput(by api.Given, in api.SourceInput) (api.Given, error) {
	if p.in.NoCrossNamespaceRefs && in.Key.Namespace != by.Key.Namespace {
		return api.Given{}, problem{condition.AccessDenied, fmt.Sprintf("no access to %s from namespace %s: the hub runs "+
			"with --no-cross-namespace-refs", in.Key, by.Key.Namespace)}
	}
	found, wait, err := p.look(in.Key, by)
	switch {
	case wait:
		return api.Given{}, errWait
	case errors.Is(err, errNoSource):
		return api.Given{}, fmt.Errorf("%w: there is no %s%s", errNoSource, in.Key, in.Key.Missing())
	}
	if err == nil {
		found, err = p.dealias(found)
	}
	return given(found), err
}
