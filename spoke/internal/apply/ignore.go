package apply

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/inventory"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// leaveIgnored makes an object say at some paths what the live object says, so that these fields are not changed. A
// single value that somebody else owns is left out, so that later changes of it are no drift.
func (r *run) leaveIgnored(ctx context.Context, o *manifest.Object, mode inventory.Mode, paths [][]string) error {
	r.wholes <- struct{}{}
	defer func() { <-r.wholes }()
	live, err := r.client.Look(ctx, kube.Identify(o), true)
	switch kube.ReasonOf(err) {
	case "":
		leaveFields(o, live, mode.Takeover(r.Application), paths)
	case kube.NotFound:
	default:
		return err
	}
	return nil
}

func leaveFields(o *manifest.Object, live kube.Live, t kube.Takeover, paths [][]string) {
	for _, path := range paths {
		value, set := valueAt(o.Object, path)
		if !set {
			continue
		}
		now, is := valueAt(live.Object.Object, path)
		if !is || isSingle(value) && isSingle(now) && live.OwnedByOthers(path, t) {
			removeAt(o.Object, path)
			continue
		}
		setAt(o.Object, path, now)
	}
}

func isSingle(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

// valueAt returns the value at a path.
func valueAt(value any, path []string) (any, bool) {
	for _, segment := range path {
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[segment]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			at, err := strconv.Atoi(segment)
			if err != nil || at < 0 || at >= len(v) {
				return nil, false
			}
			value = v[at]
		default:
			return nil, false
		}
	}
	return value, true
}

// setAt replaces the value at a path that has one.
func setAt(value any, path []string, to any) {
	parent, _ := valueAt(value, path[:len(path)-1])
	switch v := parent.(type) {
	case map[string]any:
		v[path[len(path)-1]] = to
	case []any:
		at, _ := strconv.Atoi(path[len(path)-1])
		v[at] = to
	}
}

// removeAt removes the value at a path that has one. An element of a list makes the list shorter.
func removeAt(value any, path []string) {
	last := path[len(path)-1]
	parent, _ := valueAt(value, path[:len(path)-1])
	switch v := parent.(type) {
	case map[string]any:
		delete(v, last)
	case []any:
		at, _ := strconv.Atoi(last)
		setAt(value, path[:len(path)-1], slices.Delete(slices.Clone(v), at, at+1))
	}
}

// digestOfRules returns the digest of the rules; zero if there are none.
func digestOfRules(rules []bundle.IgnoreRule) manifest.Digest {
	if len(rules) == 0 {
		return manifest.Digest{}
	}
	data, _ := json.Marshal(rules) // strings alone, which always can be written
	return manifest.DigestOf(data)
}
