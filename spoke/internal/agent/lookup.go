package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/substitution"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// missingInput is the error for a source of variables, a ConfigMap or Secret, that does not exist in the cluster.
type missingInput struct{ source bundle.VariableSource }

func (e *missingInput) Error() string {
	return fmt.Sprintf("%s, which variables come from (spec.postBuild.substituteFrom), does not exist in the cluster; "+
		"waiting for it to be created", nameOf(e.source))
}

func nameOf(s bundle.VariableSource) string { return s.Identity().ID().String() }

// readData returns a function that reads the sources of an application's variables with the application's account.
func (a *Agent) readData(app *bundle.Application) func(context.Context, bundle.ObjectIdentity) (kube.Data, error) {
	return func(ctx context.Context, id bundle.ObjectIdentity) (kube.Data, error) {
		if a.Data == nil {
			return kube.Data{}, errors.ErrUnsupported
		}
		return a.Data(ctx, app.ServiceAccount, id)
	}
}

// readLive returns the data of the substitution's sources that only the cluster has, by the index of the source. The
// sources, and those of values, are read once in a run. If a source of the substitution that is not optional does not
// exist, readLive returns a *missingInput.
func (l *loader) readLive(ctx context.Context) ([]kube.Data, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	if l.live != nil {
		return l.live, nil
	}
	substitution := cmp.Or(l.app.Substitution, &bundle.Substitution{})
	live := make([]kube.Data, len(substitution.Sources))
	for i, source := range substitution.Sources {
		if !source.Live {
			continue
		}
		var err error
		if live[i], err = l.readSource(ctx, source); err != nil {
			return nil, err
		}
	}
	sources, err := l.readSources(ctx)
	if err != nil {
		return nil, err
	}
	l.known.learnLive(l.app, live, sources)
	l.live, l.sources = live, sources
	return live, nil
}

// readSource reads one source. As in Flux, an entry that cannot name a variable is an error.
func (l *loader) readSource(ctx context.Context, source bundle.VariableSource) (kube.Data, error) {
	d, err := l.data(ctx, source.Identity())
	if kube.ReasonOf(err) == kube.NotFound {
		if source.Optional {
			return kube.Data{}, nil
		}
		return d, &missingInput{source}
	}
	if err != nil {
		return d, fmt.Errorf("variables (spec.postBuild.substituteFrom): %w", err)
	}
	for name := range d.Values {
		if !substitution.IsName(name) {
			return d, fmt.Errorf("%s: entry %q cannot be a variable (spec.postBuild.substituteFrom): a variable's name is "+
				"letters, digits and _, and begins with no digit", nameOf(source), name)
		}
	}
	return d, nil
}

// liveSecrets returns the Secrets of the cluster that an application reads.
func liveSecrets(app *bundle.Application) (secrets []bundle.ObjectIdentity) {
	for _, id := range app.Reads() {
		if id.Kind == "Secret" {
			secrets = append(secrets, id)
		}
	}
	return secrets
}

// holdsSecrets reports whether the objects of an application may get secret values.
func holdsSecrets(app *bundle.Application) bool {
	return len(app.SealedFiles) > 0 || len(liveSecrets(app)) > 0 || len(recipesOf(app)) > 0
}

// liveValues are the Redactors of the values that an application read from Secrets of the cluster, and of those that it
// read before, which a controller may still quote.
type liveValues struct {
	version     string // UIDs and resourceVersions of the Secrets
	now, before *decrypt.Redactor
}

// learnLive keeps the Redactor of the values that an application read from Secrets.
func (r *redactors) learnLive(app *bundle.Application, live []kube.Data, sources []source) {
	values, version := map[string]string{}, ""
	for i, source := range cmp.Or(app.Substitution, &bundle.Substitution{}).Sources {
		if !source.Live || source.Kind != "Secret" {
			continue
		}
		version += live[i].UID + "/" + live[i].ResourceVersion + " "
		for name, value := range live[i].Values {
			values[fmt.Sprint(i, name)] = value
		}
	}
	for i, source := range sources {
		if app.ValueSources[i].Question.Kind == "Secret" {
			version += source.version() + " "
			source.secrets(func(value string) { values[fmt.Sprint("value ", i, len(values))] = value })
		}
	}
	if version == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.live[app.Name]
	if last.version == version {
		return
	}
	fresh := decrypt.ValueRedactor(values)
	if fresh.Size() > maxKnown/16 {
		fresh = decrypt.HideAll()
	}
	r.live[app.Name] = liveValues{version, fresh, last.now}
}

// hasLive reports whether the values that an application read from Secrets are known, and can be redacted.
func (r *redactors) hasLive(app bundle.ApplicationName) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.live[app].now
	return now != nil && !now.HidesAll()
}

// ofLive returns the Redactors of all values that were read from Secrets or generated; the caller holds the mutex.
func (r *redactors) ofLive() (known []*decrypt.Redactor) {
	for _, values := range r.live {
		for _, one := range []*decrypt.Redactor{values.now, values.before} {
			if one != nil && !one.HidesAll() {
				known = append(known, one)
			}
		}
	}
	for _, values := range r.generated {
		for _, one := range []*decrypt.Redactor{values.now, values.before} {
			if one != nil && !one.HidesAll() {
				known = append(known, one)
			}
		}
	}
	return known
}

// forgetLive forgets the values that an application read.
func (r *redactors) forgetLive(app bundle.ApplicationName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, app)
	delete(r.generated, app)
}

// inputsChanged is signalled when objects changed that applications read.
func (a *Agent) inputsChanged() <-chan struct{} {
	if a.Inputs == nil {
		return nil
	}
	return a.Inputs.C()
}

// followInputs watches the objects that the applications of a bundle read.
func (a *Agent) followInputs(apps applications) {
	if a.Inputs == nil {
		return
	}
	var objects []bundle.ObjectIdentity
	for _, app := range apps {
		objects = append(objects, app.Reads()...)
	}
	for _, q := range a.shapes.questions {
		if q.IsLive() {
			objects = append(objects, q.Identity())
		}
	}
	a.Inputs.Follow(objects)
}

// changed means that objects that applications may read appeared, changed or disappeared.
type changed struct{ objects map[manifest.ID]bool }

// advance makes the applications that read the objects due to be applied again at once.
func (in changed) advance(m *model) []action {
	for _, n := range m.nodes {
		if n.app == nil || n.standing != listed || n.entry.Suspended {
			continue
		}
		for _, read := range n.app.Reads() {
			if in.objects[read.ID()] {
				n.dirty, n.moved, n.retryAt = true, n.work == applying, m.now
			}
		}
	}
	return nil
}
