package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/navefleet/nave/shared/manifest"
)

// SourceInput is a source whose artifact another source reads.
type SourceInput struct {
	Field string // the field that names it: spec.include[0]
	Key   Key    // without a cluster; SourceKeys returns the keys that it may have
	// Server: the server of the input may be asked for parts, with the URL, the Secrets and the provider of the input.
	Server bool
}

// Selection selects sources of one kind by their labels, in the namespace and the graph of the one that selects.
type Selection struct {
	Kind   string
	Labels metav1.LabelSelector
	Delay  time.Duration // how long a change of one waits for changes of others
}

// Has reports whether a source with these labels is selected.
func (s *Selection) Has(kind string, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(&s.Labels)
	return err == nil && kind == s.Kind && selector.Matches(labels.Set(set)) // admission let the selector through
}

// Composition describes how an artifact is made from other artifacts. Without Copies it is the source's own tree.
type Composition struct {
	// Copies are made in their order, over the source's own tree if it has one.
	Copies []Copy `json:"copies,omitempty"`
	// Revision and Origin are aliases of inputs: the artifact has the revision of the first one and the revision of origin
	// of the second one. If the source has no tree of its own and no Revision, the revision is a digest of the content.
	Revision string `json:"revision,omitempty"`
	Origin   string `json:"origin,omitempty"`
	// Ignore is spec.ignore of a source that has a tree of its own.
	Ignore *string `json:"ignore,omitempty"`
	// Aliases are the names of the inputs in Copies, in the order of Source.Inputs.
	Aliases []string `json:"aliases,omitempty"`
}

// Copy copies files of an input into a composed artifact.
type Copy struct {
	Field    string   `json:"field"`  // for messages: spec.artifacts[app].copy[0]
	Source   string   `json:"source"` // the alias of an input
	From     string   `json:"from"`   // below the root of the input; a glob as in path.Match, unless Mount is set
	To       string   `json:"to"`     // below the root of the artifact; "/" at the end: a folder
	Exclude  []string `json:"exclude,omitempty"`
	Strategy string   `json:"strategy,omitempty"`
	Optional bool     `json:"optional,omitempty"` // From need not match a file
	// Mount: the file or folder From becomes To, which must not exist before.
	Mount bool `json:"mount,omitempty"`
}

// The strategies of a Copy; empty is Overwrite.
const (
	CopyOverwrite = "Overwrite" // a file replaces another
	CopyMerge     = "Merge"     // YAML is merged as Helm merges values
	CopyExtract   = "Extract"   // .tar.gz and .tgz files are unpacked
)

// Given is an object of a graph, or of the hub, with the fields that limit which objects may use it.
type Given struct {
	Key      Key
	Object   *Object
	Owner    *Key
	Confined *Confinement
	Tags     TagControl // if it chooses a tag
}

// Bound reports whether Secrets that a source names must be bound to its server and namespace, because no operator
// applied the source.
func (g Given) Bound() bool { return g.Key.Cluster != "" || g.Confined != nil }

// Fetch identifies the fetch of a source.
type Fetch struct {
	Key    string     // equal for sources that share one fetch
	Inputs []string   // the keys of the inputs, in the order of Source.Inputs
	Object string     `json:",omitempty"` // the path of a source that selects others: it shares its fetch with none
	Tags   TagControl `json:",omitzero"`
	// Upstream is the source whose server is asked, if that is an input; see Source.Upstream.
	Upstream *Given `json:"-"`
	// Servers are the inputs with SourceInput.Server, in their order. They are the last inputs.
	Servers []Given `json:"-"`
}

// ErrLoop is the error for a source that is, through other sources, an input of itself.
var ErrLoop = errors.New("its sources form a loop")

// FetchOf returns the Fetch of a source. find returns the source of an input. If find fails, FetchOf wraps the error
// with the source and the field. If the sources form a loop, FetchOf returns ErrLoop. If a source of another namespace
// may not be read, FetchOf returns ErrNotShared.
func FetchOf(source Given, find func(by Given, in SourceInput) (Given, error)) (Fetch, error) {
	r := resolution{find: find, done: map[Key]Fetch{}}
	return r.fetch(source)
}

// resolution finds the inputs of a source, and the inputs of those.
type resolution struct {
	find  func(by Given, in SourceInput) (Given, error)
	done  map[Key]Fetch
	above []Key // the sources that lead to the present one
}

func (r *resolution) fetch(g Given) (Fetch, error) {
	if f, ok := r.done[g.Key]; ok {
		return f, nil
	}
	view, err := g.Object.Source()
	if err != nil {
		return Fetch{}, err
	}
	f := Fetch{Key: view.FetchKey(g.Bound())}
	if len(view.Inputs) == 0 {
		return f, nil
	}
	if i := slices.Index(r.above, g.Key); i >= 0 {
		return Fetch{}, fmt.Errorf("%w: %s", ErrLoop, arrows(append(r.above[i:], g.Key)))
	}
	r.above = append(r.above, g.Key)
	if view.Selects != nil {
		f.Object = g.Key.Path()
	}
	for _, in := range view.Inputs {
		found, err := r.find(g, in)
		if view.Writes && err == nil {
			err = g.Confined.mayWrite(g.Key, found.Key)
		}
		if err != nil {
			return Fetch{}, fmt.Errorf("%s: %s: %w", g.Key.Local(), in.Field, err)
		}
		if itsView, err := found.Object.Source(); err == nil { // else fetch returns the error
			if err := itsView.Sharing.allow(g.Key.Namespace, in.Key); err != nil {
				return Fetch{}, fmt.Errorf("%s: %s: %w", g.Key.Local(), in.Field, err)
			}
		}
		input, err := r.fetch(found)
		if err != nil {
			return Fetch{}, err
		}
		f.Inputs = append(f.Inputs, input.Key)
		if view.Upstream {
			f.Upstream = &found
		}
		if in.Server {
			f.Servers = append(f.Servers, found)
		}
	}
	r.above = r.above[:len(r.above)-1]
	if view.ChoosesTag {
		f.Tags = g.Tags
	}
	text, _ := json.Marshal(f) // all fields are strings: this cannot fail
	f.Key = manifest.DigestOf(text).String()
	r.done[g.Key] = f
	return f, nil
}

// arrows returns keys with arrows between them.
func arrows(keys []Key) string {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key.Local()
	}
	return strings.Join(names, " → ")
}
