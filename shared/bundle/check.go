package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/shared/wording"
)

// check returns an error unless all fields of the bundle are valid. Encode and DecodeBundle call check: the hub before
// it signs, the spoke after it verified the signature.
func (b *Bundle) check() error {
	switch {
	case b.Cluster == "":
		return errors.New("no cluster")
	case len(b.Cluster) > maxCluster:
		return fmt.Errorf("cluster of %d bytes: more than %d", len(b.Cluster), maxCluster)
	case b.Sequence == 0:
		return errors.New("no sequence")
	case b.IssuedAt.IsZero():
		return errors.New("no time of issue")
	case !b.ExpiresAt.After(b.IssuedAt):
		return fmt.Errorf("expires at %s, issued at %s", wording.Time(b.ExpiresAt), wording.Time(b.IssuedAt))
	}
	if b.SpokeImage != "" {
		if err := CheckImage(b.SpokeImage); err != nil {
			return fmt.Errorf("spoke image %.300q: %w", b.SpokeImage, err)
		}
	}
	return cmp.Or(b.checkLists(), b.checkHandovers(), b.checkQuestions())
}

// checkLists returns an error if a list is out of order, or if two lists name one application.
func (b *Bundle) checkLists() error {
	listed := make(map[ApplicationName]string, len(b.Applications)+len(b.Pending)+len(b.Removals))
	return cmp.Or(
		checkList(listed, "applications", b.Applications, Entry.check, func(e Entry) ApplicationName { return e.Name }),
		checkList(listed, "pending", b.Pending, ApplicationName.check, func(n ApplicationName) ApplicationName { return n }),
		checkList(listed, "removals", b.Removals, Removal.check, func(r Removal) ApplicationName { return r.Name }),
	)
}

// checkList returns an error if an element is not valid, out of order or listed already; otherwise the elements are
// listed from now on.
func checkList[E any](listed map[ApplicationName]string, list string, elements []E, check func(E) error,
	name func(E) ApplicationName) error {
	for i, e := range elements {
		err := check(e)
		if err == nil && i > 0 {
			err = checkOrder(name(elements[i-1]), name(e))
		}
		if other, twice := listed[name(e)]; err == nil && twice {
			err = fmt.Errorf("%s: listed in %s already", name(e), other)
		}
		if err != nil {
			return fmt.Errorf("%s[%d]: %w", list, i, err)
		}
		listed[name(e)] = list
	}
	return nil
}

func (r Removal) check() error {
	if _, known := deletionPolicies[r.Policy]; !known {
		return fmt.Errorf("%s: deletion policy %q is not known", r.Name, r.Policy)
	}
	return r.Name.check()
}

// checkOrder returns an error if the second of two neighbours should not follow the first.
func checkOrder(before, after ApplicationName) error {
	switch order := before.Compare(after); {
	case order == 0:
		return fmt.Errorf("%s: listed twice", after)
	case order > 0:
		return fmt.Errorf("%s: listed after %s", after, before)
	}
	return nil
}

func (e Entry) check() error {
	if err := e.Name.check(); err != nil {
		return err
	}
	if e.Digest.IsZero() {
		return fmt.Errorf("%s: no digest", e.Name)
	}
	if _, known := driftModes[e.Drift]; !known {
		return fmt.Errorf("%s: drift mode %q is not known", e.Name, e.Drift)
	}
	if err := e.Features.check(); err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	if e.Parent == (ApplicationName{}) {
		return nil
	}
	if err := e.Parent.check(); err != nil {
		return fmt.Errorf("%s: parent: %w", e.Name, err)
	}
	if e.Parent == e.Name {
		return fmt.Errorf("%s: it is its own parent", e.Name)
	}
	return nil
}

func (o ApplicationName) check() error {
	if o.Kind == "" || o.Namespace == "" || o.Name == "" {
		return fmt.Errorf("application %q: kind, namespace and name are needed", o)
	}
	return nil
}

// check returns an error unless all fields of the application are valid.
func (a *Application) check() error {
	if err := a.Name.check(); err != nil {
		return err
	}
	for _, name := range a.DependsOn {
		if err := name.check(); err != nil {
			return fmt.Errorf("depends on: %w", err)
		}
	}
	if a.Timeout < 0 || a.Interval < 0 || a.RetryInterval < 0 {
		return errors.New("a negative duration")
	}
	if _, known := deletionPolicies[a.DeletionPolicy]; !known {
		return fmt.Errorf("deletion policy %q is not known", a.DeletionPolicy)
	}
	if a.Decryption.Namespace == "" && a.Decryption.Name != "" {
		return errors.New("decryption: the namespace is needed")
	}
	for _, o := range a.HealthChecks {
		if o.Kind == "" || o.Name == "" {
			return errors.New("health check: kind and name are needed")
		}
	}
	if err := cmp.Or(a.checkHealthExpressions(), a.checkReadyExpressions(), a.checkObjects(),
		a.checkRelease()); err != nil {
		return err
	}
	if err := a.checkSealed(); err != nil {
		return err
	}
	if _, err := ReadIgnoreRules(a.Ignore); err != nil {
		return fmt.Errorf("ignore: %w", err)
	}
	return cmp.Or(a.checkSubstitution(), a.checkValueSources())
}

func (a *Application) checkHealthExpressions() error {
	seen := map[string]bool{}
	for _, e := range a.HealthExpressions {
		kind := e.Group + "/" + e.Kind
		switch {
		case e.Current == "":
			return fmt.Errorf("health expressions of %s: current is needed", kind)
		case seen[kind]:
			return fmt.Errorf("health expressions of %s: listed twice", kind)
		}
		seen[kind] = true
	}
	return nil
}

func (a *Application) checkReadyExpressions() error {
	for _, e := range a.ReadyExpressions {
		switch {
		case !slices.Contains(a.DependsOn, e.Dependency):
			return fmt.Errorf("ready expression of %s: no dependency", e.Dependency)
		case e.Expression == "":
			return fmt.Errorf("ready expression of %s: empty", e.Dependency)
		}
	}
	return nil
}

func (a *Application) checkObjects() error {
	seen := make(map[manifest.ID]bool, len(a.Objects))
	for i, o := range a.Objects {
		if err := o.check(); err != nil {
			return fmt.Errorf("objects[%d]: %w", i, err)
		}
		if seen[o.ID()] {
			return fmt.Errorf("%s: listed twice", o.ID())
		}
		seen[o.ID()] = true
	}
	return nil
}

func (a *Application) checkSealed() error {
	seen := map[string]bool{}
	for _, f := range a.SealedFiles {
		if f.Digest.IsZero() {
			return fmt.Errorf("sealed file %s: no digest", f.Path)
		}
		if _, known := formats[f.Format]; !known {
			return fmt.Errorf("sealed file %s: format %q is not known", f.Path, f.Format)
		}
		for _, v := range f.Values {
			if err := v.check(); err != nil {
				return fmt.Errorf("sealed file %s: %w", f.Path, err)
			}
			if seen[v.Placeholder] {
				return fmt.Errorf("sealed file %s: placeholder %s: listed twice", f.Path, v.Placeholder)
			}
			seen[v.Placeholder] = true
		}
	}
	return nil
}

func (v SealedValue) check() error {
	if !sealed.Placeholder(v.Placeholder).Valid() {
		return fmt.Errorf("placeholder %q is malformed", v.Placeholder)
	}
	if v.Document < 0 || v.Document > math.MaxInt32 {
		return fmt.Errorf("placeholder %s: document %d", v.Placeholder, v.Document)
	}
	if _, known := formats[v.Text]; v.Text != "" && !known {
		return fmt.Errorf("placeholder %s: format %q is not known", v.Placeholder, v.Text)
	}
	switch v.Type {
	case "str", "int", "float", "bool", "bytes", "time":
		return nil
	}
	return fmt.Errorf("placeholder %s: type %q is not known", v.Placeholder, v.Type)
}
