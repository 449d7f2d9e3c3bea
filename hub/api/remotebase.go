package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// RemoteBaseKind is the kind of RemoteBases.
const RemoteBaseKind = "RemoteBase"

func init() {
	Register(Kind{
		Name: RemoteBaseKind, Plural: "remotebases", Group: GroupFleet, Version: Version,
		Namespaced: true, Words: []string{"source base"}, Role: SourceRole, Derived: true,
		Check: refuseRemoteBase, View: viewed(sourceOfRemoteBase),
	})
}

// Remote is what kustomization files name by its address: a Git repository at a reference, or a single file.
type Remote struct {
	URL  string `json:"url"`           // http or https, without credentials
	Ref  string `json:"ref,omitempty"` // of a repository: a commit, tag or branch; empty: the default branch
	File bool   `json:"file,omitempty"`
}

// RemoteFile is the name of the file in the artifact of a Remote that is a single file.
const RemoteFile = "file"

// Address returns the URL without its query, which may hold a token.
func (r Remote) Address() string {
	address, _, _ := strings.Cut(r.URL, "?")
	return address
}

// String returns the address, with "@" and the reference.
func (r Remote) String() string {
	if r.Ref == "" {
		return r.Address()
	}
	return r.Address() + "@" + r.Ref
}

// ID returns a text that no other Remote has. It may hold a token.
func (r Remote) ID() string {
	if r.File {
		return "file " + r.URL
	}
	return r.String()
}

// Host returns the host of the address, with the port if the address has one.
func (r Remote) Host() string {
	u, err := url.Parse(r.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// RemoteBase is a source that the hub makes for a Remote that a renderable needs. It belongs to that renderable. Equal
// Remotes share one fetch, as all sources do.
type RemoteBase struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RemoteBaseSpec `json:"spec"`
}

// RemoteBaseSpec is the spec of a RemoteBase. The fetcher of GitRepositories reads it, too.
type RemoteBaseSpec struct {
	URL      string          `json:"url"`
	Ref      RemoteReference `json:"ref"`
	File     bool            `json:"file,omitempty"` // a single file, which has no reference
	Interval metav1.Duration `json:"interval"`
	Suspend  bool            `json:"suspend,omitempty"`
}

// RemoteReference names a commit by any of its names; that of a file is empty.
type RemoteReference struct {
	Any string `json:"any,omitempty"` // a commit, tag or branch, or HEAD
}

// refuseRemoteBase refuses every object, because only the hub makes RemoteBases.
func refuseRemoteBase(*manifest.Object, field.ErrorList) field.ErrorList {
	return field.ErrorList{field.Forbidden(field.NewPath("kind"), "only the hub makes RemoteBases: write a GitRepository")}
}

// sourceOfRemoteBase returns the view of a RemoteBase.
func sourceOfRemoteBase(b *RemoteBase) *Source {
	s := &Source{
		URL: b.Spec.URL, Interval: b.Spec.Interval.Duration, Identity: Remote{b.Spec.URL, b.Spec.Ref.Any, b.Spec.File},
		NamedHosts: true,
	}
	if !b.Spec.File {
		s.Succeeded, s.Failed = gitSucceeded, gitFailed
	}
	return s
}

// NewRemoteBase returns the RemoteBase of a Remote that a renderable needs. Its key has no cluster. A request to
// reconcile the renderable requests a fetch, too; an empty one requests none.
func NewRemoteBase(owner Key, interval time.Duration, requestedAt string, r Remote) (*Object, error) {
	named := sha256.Sum256([]byte(owner.Local() + "\n" + r.ID()))
	key := Key{Kind: RemoteBaseKind, Namespace: owner.Namespace, Name: "remote-" + hex.EncodeToString(named[:8])}
	b := RemoteBase{
		TypeMeta:   metav1.TypeMeta{APIVersion: GroupFleet + "/" + Version, Kind: key.Kind},
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec: RemoteBaseSpec{
			URL: r.URL, Ref: RemoteReference{Any: r.Ref}, File: r.File, Interval: metav1.Duration{Duration: interval},
		},
	}
	if requestedAt != "" {
		b.Annotations = map[string]string{manifest.RequestedAtAnnotation: requestedAt}
	}
	if r.Ref == "" && !r.File {
		b.Spec.Ref.Any = "HEAD"
	}
	data, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	var o manifest.Object
	if err := json.Unmarshal(data, &o.Object); err != nil {
		return nil, err
	}
	delete(o.Object["metadata"].(map[string]any), "creationTimestamp")
	return newObject(&o)
}
