package kustomize

import (
	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/shared/manifest"
)

// parsedSize limits the content whose objects are remembered, in bytes. The objects take several times as much memory.
const parsedSize = 32 << 20

// parsed remembers the objects of files, by the digest of their content, between builds of this process. Parsing YAML
// is most of a build's work, and between two builds of a tree most files are equal.
var parsed = lru.New[manifest.Digest, []*manifest.Object](parsedSize)

func copies(objects []*manifest.Object) []*manifest.Object {
	out := make([]*manifest.Object, len(objects))
	for i, o := range objects {
		out[i] = o.DeepCopy()
	}
	return out
}
