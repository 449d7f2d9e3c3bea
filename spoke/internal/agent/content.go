package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
	"github.com/navefleet/nave/spoke/internal/release/objects"
)

// releaseObjects returns the objects of a release as objects does. Values of generated fields in the cluster stay, and
// are no reason to send an object again.
func (l *loader) releaseObjects(ctx context.Context, other bool) ([]apply.Object, error) {
	all, err := l.objects(ctx, other)
	generated := l.generated()
	for i := range all {
		if g, is := generated[all[i].ObjectIdentity]; is {
			all[i].Digest, all[i].Generated = g.Digest, g.Paths()
		}
		if err == nil && len(recipesOf(l.app)) > 0 {
			all[i].Made, err = l.depends(ctx, l.app.Objects[i])
		}
	}
	return all, err
}

// applied returns the objects as they are applied, with the marks of Helm if they are a release.
func (l *loader) applied(ctx context.Context, other bool) ([]apply.Object, error) {
	if l.app.Release == nil {
		return l.objects(ctx, other)
	}
	all, err := l.releaseObjects(ctx, other)
	return objects.Marked(l.app.Release, all), err
}

// generated returns the generated fields of the objects that are no hooks.
func (l *loader) generated() map[bundle.ObjectIdentity]bundle.GeneratedFields {
	all := map[bundle.ObjectIdentity]bundle.GeneratedFields{}
	for _, g := range l.app.Release.Generated {
		if !g.Hook {
			all[g.Object] = g
		}
	}
	return all
}

// definitions returns the definitions of the chart.
func (l *loader) definitions() []apply.Object {
	all := make([]apply.Object, 0, len(l.app.Release.CRDs))
	for _, ref := range l.app.Release.CRDs {
		all = append(all, apply.Object{ObjectReference: ref,
			Load: func(ctx context.Context) (apply.Loaded, error) { return l.load(ctx, ref) }})
	}
	return all
}

// content returns the release as a record has it, in plaintext.
func (c *carrier) content(ctx context.Context) (release.Record, error) {
	app := c.loader.app
	r := release.Record{Name: app.Release.Name, Namespace: app.Release.Namespace}
	var err error
	if r.Chart, err = recordChart(app.Release); err != nil {
		return r, err
	}
	if r.Config, r.Info.Notes, err = c.loader.values(ctx); err != nil {
		return r, err
	}
	if r.Manifest, err = c.manifest(ctx); err != nil {
		return r, err
	}
	size := len(r.Manifest) + len(r.Config)
	for _, h := range app.Hooks {
		text, err := c.text(ctx, h.ObjectReference, nil)
		if err != nil {
			return r, err
		}
		if size += len(text); size > release.MaxContent {
			return r, contentTooLarge(app, size)
		}
		r.Hooks = append(r.Hooks, release.Hook{Name: h.Name, Kind: h.Kind, Path: h.Path, Events: h.Events, Weight: h.Weight,
			Manifest: strings.TrimPrefix(text, "---\n"), DeletePolicies: h.DeletePolicies,
			OutputLogPolicies: h.OutputLogPolicies})
	}
	return r, nil
}

// recordChart returns a chart as Helm writes it: without templates and files, which no command needs that has none of
// its own.
func recordChart(r *bundle.Release) (json.RawMessage, error) {
	defaults := r.Defaults
	if len(defaults) == 0 {
		defaults = []byte("{}")
	}
	return json.Marshal(struct {
		Metadata  json.RawMessage `json:"metadata"`
		Templates []string        `json:"templates"`
		Values    json.RawMessage `json:"values"`
		Files     []string        `json:"files"`
	}{r.Chart, []string{}, defaults, []string{}})
}

func contentTooLarge(app *bundle.Application, size int) error {
	return &bundle.TooLargeError{What: "the record of " + app.Name.String(), Unit: "bytes", Size: size,
		Limit: release.MaxContent}
}

// manifest returns the text of the objects, one object in memory at a time.
func (c *carrier) manifest(ctx context.Context) (string, error) {
	app, generated := c.loader.app, c.loader.generated()
	var b strings.Builder
	for _, ref := range app.Objects {
		text, err := c.text(ctx, ref, generated[ref.ObjectIdentity].Paths())
		if err != nil {
			return "", err
		}
		if b.Len()+len(text) > release.MaxContent {
			return "", contentTooLarge(app, b.Len()+len(text))
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// text returns an object as YAML. Its generated fields, named by their paths, have the values of the cluster.
func (c *carrier) text(ctx context.Context, ref bundle.ObjectReference, generated [][]string) (string, error) {
	loaded, err := c.loader.load(ctx, ref)
	if err != nil {
		return "", fmt.Errorf("%s: %w", ref.ID(), err)
	}
	defer loaded.Release()
	if len(generated) > 0 {
		live, err := c.client.LookWhole(ctx, ref.ObjectIdentity, loaded.Await)
		switch reason := kube.ReasonOf(err); {
		case err == nil:
			apply.KeepGenerated(loaded.Object, live.Object, generated)
		case reason != kube.NotFound && reason != kube.NoMatch:
			return "", err
		}
	}
	return release.Manifest([]*manifest.Object{loaded.Object})
}

// values returns the values and the notes of the release, in plaintext.
func (l *loader) values(ctx context.Context) (values json.RawMessage, notes string, err error) {
	r := l.app.Release
	values = r.Values
	if !bytes.Contains(values, []byte(sealed.Mark)) && !strings.Contains(r.Notes, sealed.Mark) {
		return values, r.Notes, nil
	}
	if err := l.needValues(ctx); err != nil {
		return nil, "", err
	}
	if _, err := l.reserve(ctx); err != nil {
		return nil, "", &sealedError{err}
	}
	var plain map[string]any
	decoder := json.NewDecoder(bytes.NewReader(values))
	decoder.UseNumber()
	if len(values) > 0 {
		err = decoder.Decode(&plain)
	}
	if err != nil {
		return nil, "", errors.New("the values of the release are no JSON")
	}
	whole := &manifest.Object{Object: map[string]any{"values": plain, "notes": r.Notes}}
	finished, _, err := l.finish(ctx, whole, len(values)+len(r.Notes))
	if err != nil {
		return nil, "", fmt.Errorf("the values of the release: %w", err)
	}
	notes, _ = finished.Object["notes"].(string)
	values, err = json.Marshal(finished.Object["values"])
	return values, notes, err
}
