package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/generate"
	"github.com/navefleet/nave/spoke/internal/kube"
	"github.com/navefleet/nave/spoke/internal/release"
)

// recipesOf returns the recipes of an application.
func recipesOf(app *bundle.Application) []bundle.Recipe {
	if app.Release == nil {
		return nil
	}
	return app.Release.Recipes
}

// clientOf returns the client with the account of an application.
func (a *Agent) clientOf(app *bundle.Application) (*kube.Client, error) {
	if a.Releases == nil {
		return nil, errNoReleases
	}
	if app.ServiceAccount == "" {
		return a.Releases.Client, nil
	}
	return a.Releases.Client.As(app.Name.Namespace, app.ServiceAccount)
}

// mayTake reports whether a release may take values of an object: not if nothing may change the object here, because a
// bundle could copy what it must not see.
func (a *Agent) mayTake(id bundle.ObjectIdentity) bool { return a.Releases.Applier.Permits(id) == nil }

// needGenerated finds the values of the recipes, or makes them, once in a run. The caller must not hold memory for
// objects.
func (l *loader) needGenerated(ctx context.Context) error {
	return l.findGenerated(ctx, func(search *generate.Search) (values *generate.Values, err error) {
		if values, err = search.Values(ctx); err == nil {
			l.made = values
		}
		return values, err
	})
}

// needValues reads the sources of values, and finds or makes generated ones. The caller must not hold memory for
// objects.
func (l *loader) needValues(ctx context.Context) error {
	if err := l.needSources(ctx); err != nil {
		return err
	}
	return l.needGenerated(ctx)
}

// learnGenerated finds the values of the recipes that there are, so that a text can be redacted. It makes none. The
// caller must not hold memory for objects.
func (l *loader) learnGenerated(ctx context.Context) error {
	return l.findGenerated(ctx, func(search *generate.Search) (*generate.Values, error) { return search.Found(), nil })
}

// findGenerated searches for the values of the recipes, unless they were made in this run. From now on the values that
// choose returns are redacted.
func (l *loader) findGenerated(ctx context.Context, choose func(*generate.Search) (*generate.Values, error)) error {
	if len(recipesOf(l.app)) == 0 {
		return nil
	}
	l.making.Lock()
	defer l.making.Unlock()
	if l.made != nil {
		return nil
	}
	search, err := l.search(ctx)
	var values *generate.Values
	if err == nil {
		values, err = choose(search)
	}
	if err != nil {
		return fmt.Errorf("generated values: %w", err)
	}
	l.known.learnGenerated(l.app.Name, values)
	return nil
}

// search finds the values of the recipes. The record of a revision that is underway, or failed, has the values that the
// revision was begun with, such as a new authority of which the cluster may have a part. Otherwise those of the cluster
// count, and then those of the records, the newest first: a release that was rolled back to a revision without a value
// gets the same one again.
func (l *loader) search(ctx context.Context) (*generate.Search, error) {
	client, err := l.client(l.app)
	if err != nil {
		return nil, err
	}
	search, sources, err := l.startSearch(ctx)
	if err != nil {
		return nil, err
	}
	records := &recordsOf{budget: l.budget, mayTake: map[manifest.ID]bool{}, storage: &release.Storage{Client: client,
		Namespace: l.app.Release.StorageNamespace, Name: l.app.Release.Name, Now: time.Now}}
	for _, id := range sources {
		records.mayTake[id.ID()] = true
	}
	if err := records.find(ctx); err != nil {
		return nil, err
	}
	if records.underway {
		if err := records.takeNext(ctx, search); err != nil {
			return nil, err
		}
	}
	for _, id := range sources {
		if err := l.takeLive(ctx, client, search, id); err != nil {
			return nil, err
		}
	}
	for !search.IsComplete() && len(records.versions) > 0 {
		if err := records.takeNext(ctx, search); err != nil {
			return nil, err
		}
	}
	return search, nil
}

// takeLive lets a search that is not complete take the values of an object in the cluster, within the memory for live
// objects.
func (l *loader) takeLive(ctx context.Context, client *kube.Client, search *generate.Search,
	id bundle.ObjectIdentity) error {
	if search.IsComplete() {
		return nil
	}
	memory := l.budget.holding()
	defer memory.release()
	if err := memory.grow(ctx, l.budget.look()); err != nil {
		return err
	}
	live, err := client.LookWhole(ctx, id, func(json []byte) error {
		return memory.await(ctx, versionCost(json)-l.budget.look())
	})
	if reason := kube.ReasonOf(err); reason == kube.NotFound || reason == kube.NoMatch {
		return nil
	}
	if err == nil {
		search.Take(id.ID(), live.Object)
	}
	return err
}

// startSearch returns a search for all objects with generated values, and those of them that values may be taken of.
func (l *loader) startSearch(ctx context.Context) (*generate.Search, []bundle.ObjectIdentity, error) {
	search := generate.NewSearch(recipesOf(l.app))
	search.Add(notes(l.app.Release.Notes))
	var sources []bundle.ObjectIdentity
	for _, ref := range l.generatedReferences() {
		has, err := l.addTo(ctx, search, ref)
		if err != nil {
			return nil, nil, err
		}
		if has && l.mayTake(ref.ObjectIdentity) {
			sources = append(sources, ref.ObjectIdentity)
		}
	}
	return search, sources, nil
}

// notes returns the notes of a release as an object that a search takes.
func notes(text string) *manifest.Object {
	return &manifest.Object{Object: map[string]any{"notes": text}}
}

// generatedReferences returns the objects and the hooks of the release.
func (l *loader) generatedReferences() []bundle.ObjectReference {
	all := append([]bundle.ObjectReference(nil), l.app.Objects...)
	for _, h := range l.app.Hooks {
		all = append(all, h.ObjectReference)
	}
	return all
}

// addTo adds an object to a search, and reports whether the object has generated values.
func (l *loader) addTo(ctx context.Context, search *generate.Search, ref bundle.ObjectReference) (bool, error) {
	data, err := l.read(ctx, ref.Digest)
	if err != nil {
		return false, err
	}
	if !l.mayHoldSealed(ref.ObjectIdentity, data) {
		return false, nil
	}
	memory := l.budget.holding()
	defer memory.release()
	if err := memory.grow(ctx, objectCost(data)); err != nil {
		return false, err
	}
	o, err := decode(ref, data)
	if err != nil {
		return false, err
	}
	return search.Add(o), nil
}

// generatedRedactors are the Redactors of generated values: now, and before, which a controller may still quote.
type generatedRedactors struct{ now, before *decrypt.Redactor }

// learnGenerated keeps the Redactor of the generated values of an application.
func (r *redactors) learnGenerated(app bundle.ApplicationName, values *generate.Values) {
	texts := map[string]string{}
	values.Secrets(func(text string) { texts[fmt.Sprint(len(texts))] = text })
	fresh := decrypt.ValueRedactor(texts)
	if fresh.Size() > maxKnown/16 {
		fresh = decrypt.HideAll()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.generated[app]
	if last.now == nil || !last.now.Equal(fresh) {
		r.generated[app] = generatedRedactors{fresh, last.now}
	}
}

// forgetGenerated has the generated values of an application read again before a text that may quote one is reported.
func (r *redactors) forgetGenerated(app bundle.ApplicationName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := r.generated[app]; last.now != nil {
		r.generated[app] = generatedRedactors{before: last.now}
	}
}

// hasGenerated reports whether the generated values of an application are known, and can be redacted.
func (r *redactors) hasGenerated(app bundle.ApplicationName) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.generated[app].now
	return now != nil && !now.HidesAll()
}
