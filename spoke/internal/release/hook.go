package release

import (
	"cmp"
	"context"
	"slices"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// PlannedHook is a hook that can run.
type PlannedHook struct {
	bundle.Hook
	Index int // of the hook in its record
	// Load returns the plaintext. The error must hold no secret.
	Load func(ctx context.Context) (LoadedHook, error)
}

// LoadedHook is the plaintext of a hook while it is being sent.
type LoadedHook struct {
	Object *manifest.Object
	// Sealed reports that the object holds sealed values. If the API server finds such an object invalid, only the names
	// of the fields are reported.
	Sealed bool
	Redact func(string) string // takes sealed values out of a text; nil: there are none
}

// HooksOf returns the hooks of an event in the order in which they run: by weight, then by name. Hooks of one weight
// and one name keep their order.
func HooksOf(hooks []PlannedHook, event string) (chosen []PlannedHook) {
	for _, h := range hooks {
		if slices.Contains(h.Events, event) {
			chosen = append(chosen, h)
		}
	}
	slices.SortStableFunc(chosen, func(a, b PlannedHook) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name))
	})
	return chosen
}

// TestsOf returns the hooks that test a release, in the order in which they run.
func TestsOf(hooks []PlannedHook, t bundle.ReleaseTest) []PlannedHook {
	return slices.DeleteFunc(HooksOf(hooks, bundle.TestHook), func(h PlannedHook) bool { return !tests(t, h.Name) })
}

// tests reports whether the hook of a name is one of the tests that run.
func tests(t bundle.ReleaseTest, name string) bool {
	return (len(t.Only) == 0 || slices.Contains(t.Only, name)) && !slices.Contains(t.Except, name)
}

// TestResult returns how the tests of a revision ended: by the results of the hooks, and not by the status of the
// revision, which does not know.
func (r *Record) TestResult(t bundle.ReleaseTest) TestResult {
	result := NotTested
	for _, h := range r.Hooks {
		switch {
		case !slices.Contains(h.Events, bundle.TestHook) || !tests(t, h.Name):
		case h.LastRun.Phase == HookFailed:
			return TestsFailed
		case h.LastRun.Phase != HookSucceeded:
			return NotTested
		default:
			result = TestsPassed
		}
	}
	return result
}

// deletedOn reports whether a policy deletes the hook.
func deletedOn(h bundle.Hook, policy string) bool {
	if holdsOthers(h.ObjectIdentity) {
		return false
	}
	return slices.Contains(h.DeletePolicies, policy) || len(h.DeletePolicies) == 0 && policy == bundle.BeforeCreation
}

// holdsOthers reports whether other objects go with an object: those of a kind with its definition, and those in a
// Namespace. Hooks of these kinds are never deleted.
func holdsOthers(id bundle.ObjectIdentity) bool {
	return id.Group == "apiextensions.k8s.io" && id.Kind == "CustomResourceDefinition" ||
		id.Group == "" && id.Kind == "Namespace"
}
