package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// maxContent is the number of objects of one PublishedContentRequest.
const maxContent = 1000

// verb is what a change does to an object.
type verb string

const (
	added   verb = "added"
	changed verb = "changed"
	deleted verb = "deleted"
	left    verb = "left in the cluster" // it leaves the bundle and is not pruned
	same    verb = "unchanged"           // of a note
	removed verb = "removed"             // of an Application without objects, or a hook
)

// change is one difference of one object of an Application. Equal changes of several clusters are one.
type change struct {
	application string
	object      pieceID // zero: of the Application itself
	verb        verb
	text        string // a unified diff
	held        string // why it does not reach the clusters; empty: it does
}

// diffOf returns the changes between two versions of an Application.
func (c *comparison) diffOf(ctx context.Context, id pair, d *pairDiff) ([]change, error) {
	old, new := &edition{app: &bundle.Application{}}, &edition{app: &bundle.Application{}}
	if d.new != nil {
		new.app, new.read = d.new.Application, d.new.Object
	}
	if d.old.local != nil {
		old.app, old.read = d.old.local.Application, d.old.local.Object
	} else if !id.old.IsZero() {
		data, err := content(ctx, c.client, d.old, nil)
		if err != nil {
			return nil, err
		}
		if old.app, err = bundle.DecodeApplication(data[id.old]); err != nil {
			return nil, fmt.Errorf("%s of the hub: %w", d.old.key, err)
		}
		d.released = old.app
		objects, err := c.objects(ctx, d.old, old.app, new.app)
		if err != nil {
			return nil, err
		}
		old.read = func(digest manifest.Digest) ([]byte, bool) {
			data, ok := objects[digest]
			return data, ok
		}
	}
	return diffVersions(id.name.String(), old, new)
}

// objects asks the hub for the objects of the old version that the new one has in another form.
func (c *comparison) objects(ctx context.Context, a publishedApplication, old, new *bundle.Application) (
	map[manifest.Digest][]byte, error) {
	next := piecesOf(new)
	var wanted []manifest.Digest
	for name, o := range piecesOf(old) {
		if is, ok := next[name]; ok && is.same != o.same {
			wanted = append(wanted, o.Digest)
		}
	}
	all := map[manifest.Digest][]byte{}
	for chunk := range slices.Chunk(wanted, maxContent) {
		found, err := content(ctx, c.client, a, chunk)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, found)
	}
	return all, nil
}

// edition is one version of an Application. The zero app of a version that does not exist has no objects.
type edition struct {
	app  *bundle.Application
	read func(manifest.Digest) ([]byte, bool)
}

// object returns an object with the names of variables. Its encrypted values are placeholders.
func (v *edition) object(d manifest.Digest) (*manifest.Object, error) {
	data, ok := v.read(d)
	if !ok {
		return nil, fmt.Errorf("the object %s is missing", d)
	}
	o := &manifest.Object{}
	if err := json.Unmarshal(data, &o.Object); err != nil {
		return nil, err
	}
	showTexts([]*manifest.Object{o}, v.app.Substitution)
	return o, nil
}

// diffVersions returns the changes of an Application, sorted.
func diffVersions(name string, old, new *edition) (changes []change, err error) {
	before, after := piecesOf(old.app), piecesOf(new.app)
	for id, o := range after {
		was, ok := before[id]
		if ok && was.same == o.same {
			continue
		}
		x := change{application: name, object: id, verb: added}
		if ok {
			x.verb = changed
		}
		if x.text, err = diffObjects(old, new, was.Digest, o.Digest); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, id, err)
		}
		changes = append(changes, x)
	}
	for id := range before {
		if _, ok := after[id]; !ok {
			changes = append(changes, change{application: name, object: id, verb: old.becomes(id, new)})
		}
	}
	changes = append(changes, diffOptions(name, old.app, new.app)...)
	if len(changes) == 0 {
		changes = []change{whole(name, old, new)}
	}
	slices.SortFunc(changes, compareChanges)
	return changes, nil
}

// whole returns the change of an Application of which no object and no option changes.
func whole(name string, old, new *edition) change {
	switch {
	case new.read == nil:
		return change{application: name, verb: removed, text: "removed; it has no objects of its own"}
	case old.read == nil:
		return change{application: name, verb: added, text: "added; it has no objects of its own"}
	}
	return change{application: name, verb: same, text: unseen(old.app, new.app)}
}

func compareChanges(a, b change) int {
	return cmp.Or(strings.Compare(a.application, b.application), a.object.compare(b.object),
		strings.Compare(string(a.verb), string(b.verb)), strings.Compare(a.text, b.text),
		strings.Compare(a.held, b.held))
}

// becomes returns what becomes of a piece that is not in the new version. A hook runs no more, and Helm deletes hooks
// by their own policies alone; it never deletes definitions.
func (v *edition) becomes(piece pieceID, new *edition) verb {
	switch piece.part {
	case hookPart:
		return removed
	case definitionPart:
		return left
	}
	return v.leaves(new)
}

// leaves returns what becomes of an object that is not in the new version.
func (v *edition) leaves(new *edition) verb {
	prunes := new.app.Prune
	if new.read == nil { // the whole Application leaves
		prunes = v.app.PolicyOnRemoval() != bundle.Orphan
	}
	if prunes {
		return deleted
	}
	return left
}
