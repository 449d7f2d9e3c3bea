package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/substitution"
	"github.com/navefleet/nave/shared/wording"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/kube"
)

func expressionsOf(app *bundle.Application) map[sealed.Placeholder]string {
	if app.Substitution == nil || len(app.Substitution.Expressions) == 0 {
		return nil
	}
	texts := make(map[sealed.Placeholder]string, len(app.Substitution.Expressions))
	for _, e := range app.Substitution.Expressions {
		texts[sealed.Placeholder(e.Placeholder)] = e.Text
	}
	return texts
}

// substitutionSize returns the size of the texts and values of the substitution in bytes.
func (l *loader) substitutionSize() (size int64) {
	s := l.app.Substitution
	if s == nil {
		return 0
	}
	for _, e := range s.Expressions {
		size += int64(len(e.Text))
	}
	for _, v := range s.Inline {
		size += int64(len(v))
	}
	for _, source := range s.Sources {
		for _, v := range source.Values {
			size += int64(len(v))
		}
	}
	return size
}

// variables returns the variables to substitute in the values of an object; nil if the object has no substitution.
func (l *loader) variables(ctx context.Context, o *manifest.Object) (*sealed.Variables, error) {
	s := l.app.Substitution
	if s == nil || manifest.IsSubstitutionDisabled(o) {
		return nil, nil
	}
	live, err := l.readLive(ctx)
	if err != nil {
		return nil, err
	}
	value := func(name string) (sealed.Value, bool) {
		v, ok := lookUp(s, live, name)
		return sealed.Text(substitution.OneLine(v)), ok
	}
	return &sealed.Variables{Value: value, Strict: s.Strict, Limit: bundle.MaxObjectBytes}, nil
}

// lookUp returns the value of a variable: inline values beat those of sources, later sources beat earlier ones.
func lookUp(s *bundle.Substitution, live []kube.Data, name string) (string, bool) {
	if v, ok := s.Inline[name]; ok {
		return v, true
	}
	for i := len(s.Sources) - 1; i >= 0; i-- {
		values := s.Sources[i].Values
		if s.Sources[i].Live {
			values = live[i].Values
		}
		if v, ok := values[name]; ok {
			return v, true
		}
	}
	return "", false
}

// unsetError means that an object uses a variable that has no value and no default.
type unsetError struct{ error }

func (e *unsetError) Unwrap() error { return e.error }

// unset adds the cause and the remedy to the error of a variable without a value.
func (l *loader) unset(err error) error {
	missing, ok := errors.AsType[*substitution.UnsetError](err)
	if !ok {
		return err
	}
	return &unsetError{fmt.Errorf("%w%s: give the variable in postBuild, or a default as ${%s:-default}; write $${…} "+
		"for a literal ${…}, or annotate the object with %s: disabled",
		err, l.absent(), missing.Name, manifest.SubstituteKey)}
}

// absent names the optional sources that were looked for in the cluster and that do not exist. The sources were read.
func (l *loader) absent() string {
	var names []string
	for i, source := range l.app.Substitution.Sources {
		if source.Live && l.live[i].UID == "" {
			names = append(names, nameOf(source))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (optional sources of spec.postBuild.substituteFrom that are not in the cluster: " +
		wording.List(names, len(names), 5) + ")"
}

// inputs returns the digest of the substitution and of all sources; zero if there are none. The digest covers
// the versions of objects that are read from the cluster, never their values.
func (l *loader) inputs(ctx context.Context) (manifest.Digest, error) {
	s := l.app.Substitution
	if s == nil && len(l.app.ValueSources) == 0 {
		return manifest.Digest{}, nil
	}
	live, err := l.readLive(ctx)
	if err != nil {
		return manifest.Digest{}, err
	}
	var versions []string
	for _, d := range live {
		versions = append(versions, d.UID, d.ResourceVersion)
	}
	given, err := l.givenVersions(ctx)
	if err != nil {
		return manifest.Digest{}, err
	}
	versions = append(versions, given...)
	data, err := json.Marshal(struct {
		Substitution *bundle.Substitution
		Versions     []string
	}{s, versions})
	if err != nil {
		return manifest.Digest{}, fmt.Errorf("digest of the substitution: %w", err)
	}
	return manifest.DigestOf(data), nil
}

// depends reports whether the applied content of an object depends on the substitution.
func (l *loader) depends(ctx context.Context, ref bundle.ObjectReference) (bool, error) {
	data, err := l.read(ctx, ref.Digest)
	if err != nil {
		return false, err
	}
	return l.mayHoldSealed(ref.ObjectIdentity, data), nil
}

// objects returns the objects of the application. If other is true, those that depend on the substitution are sent
// again.
func (l *loader) objects(ctx context.Context, other bool) ([]apply.Object, error) {
	objects := make([]apply.Object, len(l.app.Objects))
	for i, ref := range l.app.Objects {
		objects[i] = apply.Object{
			ObjectReference: ref,
			Load:            func(ctx context.Context) (apply.Loaded, error) { return l.load(ctx, ref) },
		}
		if !other {
			continue
		}
		var err error
		if objects[i].Again, err = l.depends(ctx, ref); err != nil {
			return nil, err
		}
	}
	return objects, nil
}
