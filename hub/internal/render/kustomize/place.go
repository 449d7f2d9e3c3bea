package kustomize

import (
	"errors"
	"slices"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/lru"
	"github.com/navefleet/nave/hub/internal/render/tree"
	"github.com/navefleet/nave/shared/manifest"
)

// admissible has the digests of objects that no graph refuses, which most are. entrySize is that of one, about.
var admissible = lru.New[manifest.Digest, bool](8 << 20)

const entrySize = 100

// maxOfHub limits the objects that only the hub's own graph takes and whose places are searched. A build with more is
// that of the hub's root, which no graph of a cluster refuses.
const maxOfHub = 100

// placesOf returns the places of the objects that a graph may refuse. An object that was generated or renamed has none.
func (f *fileSystem) placesOf(objects []*manifest.Object) map[*manifest.Object]*api.Place {
	refused := map[*manifest.Object]error{}
	var ofHub []*manifest.Object
	for _, o := range objects {
		if err := f.refusal(o); err != nil {
			refused[o] = err
		} else if kind, ok := api.KindOf(o); ok && !kind.Namespaced {
			ofHub = append(ofHub, o)
		}
	}
	if len(ofHub) <= maxOfHub {
		for _, o := range ofHub {
			if _, err := api.Admit(o, api.ClusterGraph); err != nil {
				refused[o] = err
			}
		}
	}
	places := map[*manifest.Object]*api.Place{}
	for _, p := range f.resources {
		if len(places) == len(refused) {
			break
		}
		data, err := f.content(p)
		if err != nil {
			continue
		}
		located, _ := manifest.ParseAll(data)
		for o, err := range refused {
			i := slices.IndexFunc(located, func(l manifest.Located) bool { return isOf(o, l.Object) })
			if i >= 0 && places[o] == nil {
				places[o] = api.PlaceOf(tree.Local(p), &located[i], err)
			}
		}
	}
	return places
}

// refusal returns the errors of an object that extends a graph, in the graphs that take its kind.
func (f *fileSystem) refusal(o *manifest.Object) error {
	if !api.Known(o) {
		return nil
	}
	canonical, remembered := f.memory.canonical[o]
	digest := manifest.DigestOf(canonical)
	if good, _ := admissible.Get(digest); remembered && good {
		return nil
	}
	_, err := api.Admit(o, api.Hub)
	if kind, ok := api.KindOf(o); !ok || kind.Namespaced {
		_, inCluster := api.Admit(o, api.ClusterGraph)
		err = errors.Join(err, inCluster)
	}
	if err == nil && remembered {
		admissible.Put(digest, true, entrySize)
	}
	return err
}

// isOf reports whether an object of a file is one of the build, which may have got a namespace.
func isOf(built, written *manifest.Object) bool {
	return built.GroupVersionKind() == written.GroupVersionKind() && built.GetName() == written.GetName() &&
		(written.GetNamespace() == "" || written.GetNamespace() == built.GetNamespace())
}
