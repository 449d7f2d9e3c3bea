package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/plan"
)

// validate checks the objects that would be added or changed.
func (c *comparison) validate(ctx context.Context, all []*outlook) error {
	if c.check == nil {
		return nil
	}
	c.check.complete = true
	same, of := map[string]definitions{}, map[string]string{} // definitions by their digests, which are by cluster
	for _, o := range all {
		id, err := addDefinitions(same, o.resumed)
		if err != nil {
			return err
		}
		of[o.cluster] = id
	}
	var asked []string
	for _, d := range c.pairs {
		if d.new != nil {
			asked = append(asked, d.clusters...)
		}
	}
	slices.Sort(asked)
	if _, err := c.check.ask(ctx, slices.Compact(asked)); err != nil { // all at the same time
		return err
	}
	for _, d := range c.pairs {
		objects, err := d.differing()
		if err != nil {
			return err
		}
		if len(objects) == 0 {
			continue
		}
		clusters := map[string][]string{} // by digests of definitions
		for _, cluster := range d.clusters {
			clusters[of[cluster]] = append(clusters[of[cluster]], cluster)
		}
		for id, names := range clusters {
			if err := c.check.check(ctx, names, objects, same[id]); err != nil {
				return err
			}
		}
	}
	return nil
}

// addDefinitions adds the definitions of a cluster, and returns the key that they have.
func addDefinitions(same map[string]definitions, p *plan.Previewed) (id string, err error) {
	var digests strings.Builder
	d := definitions{}
	for _, a := range p.Applications {
		for _, ref := range a.Application.Objects {
			if ref.Kind == definitionKind {
				digests.WriteString(ref.Digest.String())
			}
		}
	}
	if _, ok := same[digests.String()]; ok {
		return digests.String(), nil
	}
	for _, a := range p.Applications {
		for _, ref := range a.Application.Objects {
			if ref.Kind != definitionKind {
				continue
			}
			o, err := decodeObject(a, ref.Digest)
			if err != nil {
				return "", err
			}
			d.add(o)
		}
	}
	same[digests.String()] = d
	return digests.String(), nil
}

// differing returns the objects of the new version that would be added or changed.
func (d *pairDiff) differing() (objects []renderedObject, err error) {
	if d.new == nil {
		return nil, nil
	}
	pieces := piecesOf(d.new.Application)
	for _, id := range slices.SortedFunc(maps.Keys(pieces), pieceID.compare) {
		if verb := d.files[id].verb; verb != added && verb != changed {
			continue
		}
		o, err := decodeObject(*d.new, pieces[id].Digest)
		if err != nil {
			return nil, err
		}
		objects = append(objects, renderedObject{o, d.new.Origin})
	}
	return objects, nil
}
