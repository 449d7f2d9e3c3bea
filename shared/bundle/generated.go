package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/manifest"
)

// GeneratedFields are the fields of one object of a release that differ from render to render, such as passwords. What
// the cluster has there stays.
type GeneratedFields struct {
	Object ObjectIdentity
	Hook   bool     // the object is a hook
	Fields []string // JSON pointers
	Digest manifest.Digest
}

// maxGenerated is how many fields of one release may be generated.
const maxGenerated = 10_000

// NewGeneratedFields returns the generated fields of an object, named by JSON pointers, with the digest of the object
// without them.
func NewGeneratedFields(o *manifest.Object, id ObjectIdentity, hook bool, fields []string) (GeneratedFields, error) {
	g := GeneratedFields{Object: id, Hook: hook, Fields: fields}
	bare := o.DeepCopy()
	for _, path := range g.Paths() {
		clearAt(bare.Object, path)
	}
	data, err := manifest.Canonical(bare)
	if err != nil {
		return GeneratedFields{}, fmt.Errorf("%s: %w", id.ID(), err)
	}
	g.Digest = manifest.DigestOf(data)
	return g, nil
}

// Paths returns the segments of each field.
func (g GeneratedFields) Paths() [][]string {
	paths := make([][]string, 0, len(g.Fields))
	for _, field := range g.Fields {
		paths = append(paths, segmentsOf(field))
	}
	return paths
}

// clearAt puts null in the place of a value, so that the indexes of lists stay. A path that leads nowhere is left out.
func clearAt(value any, path []string) {
	for ; len(path) > 1; path = path[1:] {
		switch v := value.(type) {
		case map[string]any:
			value = v[path[0]]
		case []any:
			at, err := strconv.Atoi(path[0])
			if err != nil || at < 0 || at >= len(v) {
				return
			}
			value = v[at]
		default:
			return
		}
	}
	switch v := value.(type) {
	case map[string]any:
		if _, has := v[path[0]]; has {
			v[path[0]] = nil
		}
	case []any:
		if at, err := strconv.Atoi(path[0]); err == nil && at >= 0 && at < len(v) {
			v[at] = nil
		}
	}
}

// withoutGenerated returns the objects and the hooks with the digests that they have without generated fields. A hook
// whose name is generated has none.
func (a *Application) withoutGenerated() (objects []ObjectReference, hooks []Hook) {
	objects, hooks = slices.Clone(a.Objects), slices.Clone(a.Hooks)
	of := map[bool]map[ObjectIdentity]GeneratedFields{false: {}, true: {}}
	for _, g := range a.Release.Generated {
		of[g.Hook][g.Object] = g
	}
	for i, o := range objects {
		if g, is := of[false][o.ObjectIdentity]; is {
			objects[i].Digest = g.Digest
		}
	}
	for i, h := range hooks {
		g, is := of[true][h.ObjectIdentity]
		if !is {
			continue
		}
		hooks[i].Digest = g.Digest
		if slices.Contains(g.Fields, "/metadata/name") {
			hooks[i].Name = ""
		}
	}
	return objects, hooks
}

// checkGenerated returns an error unless all generated fields are those of objects of the application.
func (a *Application) checkGenerated() error {
	known := map[bool]map[ObjectIdentity]bool{false: {}, true: {}}
	for _, o := range a.Objects {
		known[false][o.ObjectIdentity] = true
	}
	for _, h := range a.Hooks {
		known[true][h.ObjectIdentity] = true
	}
	count := 0
	for i, g := range a.Release.Generated {
		count += len(g.Fields)
		if err := g.check(known[g.Hook][g.Object]); err != nil {
			return fmt.Errorf("generated[%d]: %s: %w", i, g.Object.ID(), err)
		}
		known[g.Hook][g.Object] = false // no object is listed twice
	}
	return fits("the release", "generated fields", count, maxGenerated)
}

func (g GeneratedFields) check(known bool) error {
	switch {
	case !known:
		return errors.New("the application has no such object, or it is listed twice")
	case g.Digest.IsZero():
		return errors.New("no digest")
	case len(g.Fields) == 0:
		return errors.New("no fields")
	}
	for _, field := range g.Fields {
		if _, err := pointer(field); err != nil && !g.Hook {
			return fmt.Errorf("%.64q: %w", field, err)
		}
	}
	return nil
}

func (g GeneratedFields) message() *bundlev1.GeneratedFields {
	return &bundlev1.GeneratedFields{Object: g.Object.Message(), Hook: g.Hook, Fields: g.Fields,
		Digest: bytes.Clone(g.Digest[:])}
}

func generatedOf(m *bundlev1.GeneratedFields) (g GeneratedFields, err error) {
	g = GeneratedFields{Object: ObjectFrom(m.GetObject()), Hook: m.GetHook(), Fields: m.GetFields()}
	g.Digest, err = manifest.DigestFromBytes(m.GetDigest())
	return g, err
}
