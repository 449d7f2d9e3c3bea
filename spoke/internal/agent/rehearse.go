package agent

import (
	"context"
	"fmt"
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/apply"
)

// The most memory that the parts of a preview take beside the objects that are compared, measured by
// TestPreview_memory.
const (
	applicationByteCost = 16  // of an encoded Application: as it came, decoded, and the list of its objects
	contentByteCost     = 2   // as it came, and compressed
	contentCost         = 512 // more, of each object
)

// rehearsal is the preview of one application. It holds memory for the application and for the content that the disk
// does not have, until it ends.
type rehearsal struct {
	*preview
	memory  *holding
	content map[manifest.Digest][]byte
	size    uint64 // bytes of content
}

// read gets an application, and what the disk lacks of it.
func (r *rehearsal) read(ctx context.Context, e bundle.Entry) (*bundle.Application, error) {
	if err := r.fetch(ctx, []manifest.Digest{e.Digest}); err != nil {
		return nil, err
	}
	data, ok := r.content[e.Digest]
	if !ok {
		var err error
		if data, err = r.Store.Blob(e.Digest); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	if err := r.memory.grow(ctx, applicationByteCost*int64(len(data))); err != nil {
		return nil, fmt.Errorf("%s %w", e.Name, err)
	}
	apps, err := r.readApplications([]bundle.Entry{e}, map[manifest.Digest][]byte{e.Digest: data})
	if err != nil {
		return nil, err
	}
	return apps[e.Name], r.fetch(ctx, apps[e.Name].Digests())
}

// fetch gets the blobs that the disk lacks, and keeps them in memory.
func (r *rehearsal) fetch(ctx context.Context, digests []manifest.Digest) error {
	slices.SortFunc(digests, manifest.Digest.Compare)
	missing, err := r.Store.Missing(slices.Compact(digests))
	if err != nil || len(missing) == 0 {
		return err
	}
	if n := len(r.content) + len(missing); n > bundle.MaxPreviewObjects {
		return fmt.Errorf("the preview needs %d objects of content, the limit is %d", n, bundle.MaxPreviewObjects)
	}
	return r.Hub.Fetch(ctx, missing, func(d manifest.Digest, announced uint64, frame []byte) error {
		if announced > bundle.MaxPreviewBytes-r.size {
			return fmt.Errorf("the preview needs more than %d bytes of content", bundle.MaxPreviewBytes)
		}
		if err := r.memory.grow(ctx, contentByteCost*int64(announced)+contentCost); err != nil {
			return fmt.Errorf("the content of the preview %w", err)
		}
		r.size += announced
		_, data, err := r.Store.Check(d, announced, frame)
		r.content[d] = data
		return err
	})
}

// dryRun loads the objects of an application as an apply does.
func (r *rehearsal) dryRun(ctx context.Context, app *bundle.Application) (apply.Previews, error) {
	l := r.loader(ctx, app)
	defer l.close()
	set := apply.Set{
		Target: apply.Target{Application: app.Name, Previous: r.inventories[app.Name], ServiceAccount: app.ServiceAccount},
		Force:  app.Force, Ignore: app.Ignore,
	}
	inputs, err := l.inputs(ctx)
	if err == nil {
		before := r.apps[app.Name]
		set.Objects, err = l.applied(ctx, before == nil || inputs != before.mark.Inputs)
	}
	if err != nil {
		return apply.Previews{}, err
	}
	return r.Applier.Preview(ctx, set, func(id manifest.ID) bool { return r.hides(ctx, id) })
}

// loader returns a loader that reads the content of the preview, and whose Redactors end with the preview.
func (r *rehearsal) loader(ctx context.Context, app *bundle.Application) *loader {
	l := r.newLoader(ctx, app)
	l.known, l.compares, l.budget = r.known, true, r.memory.budget
	stored := l.blob
	l.blob = func(d manifest.Digest) ([]byte, error) {
		if data, ok := r.content[d]; ok {
			return data, nil
		}
		return stored(d)
	}
	return l
}

// hides reports whether an object in the cluster may hold secret values of the application that applied it.
func (r *rehearsal) hides(ctx context.Context, id manifest.ID) bool {
	owner, item, owned := r.Index.Application(id)
	if !owned {
		return false
	}
	if n := r.apps[owner]; n != nil && n.app != nil {
		for _, ref := range n.app.Objects {
			if ref.ID() == id && ref.Digest == item.Digest {
				return holdsSecrets(n.app) && r.dependsOnSecrets(ctx, n.app, ref)
			}
		}
	}
	return true // an earlier version was applied, of which nothing is known
}

// dependsOnSecrets reports whether an object may have values of sealed files or of Secrets.
func (r *rehearsal) dependsOnSecrets(ctx context.Context, app *bundle.Application, ref bundle.ObjectReference) bool {
	l := r.loader(ctx, app)
	defer l.close()
	depends, err := l.depends(ctx, ref)
	return depends || err != nil
}
