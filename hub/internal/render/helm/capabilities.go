package helm

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// Capabilities are what templates see as .Capabilities: the version of a cluster's Kubernetes and the APIs that it
// serves.
type Capabilities struct {
	// KubeVersion is the version that the API server reports, such as v1.37.2.
	KubeVersion string `json:"kubeVersion"`
	// APIVersions are group/version and group/version/Kind of all served APIs.
	APIVersions []string `json:"apiVersions,omitempty"`
}

// Asked are the facts about the cluster and the release that a render depends on. If no other fact changes, neither
// does the result.
type Asked struct {
	KubeVersion bool `json:"kubeVersion,omitempty"`
	// APIVersions has the APIs that templates asked for, and whether the cluster serves them.
	APIVersions map[string]bool `json:"apiVersions,omitempty"`
	// AllAPIVersions is set if a template may read the whole list of APIs.
	AllAPIVersions bool `json:"allApiVersions,omitempty"`
	// Upgrade is set if a template may read .Release.IsInstall or .Release.IsUpgrade; Revision, if it may read
	// .Release.Revision.
	Upgrade  bool `json:"upgrade,omitempty"`
	Revision bool `json:"revision,omitempty"`
}

// SameFor reports whether a render that asked for these facts of one cluster has the same result for another cluster.
func (a Asked) SameFor(one, other Capabilities) bool {
	if a.KubeVersion && one.KubeVersion != other.KubeVersion {
		return false
	}
	served := slices.Sorted(slices.Values(other.APIVersions))
	if a.AllAPIVersions && !slices.Equal(slices.Sorted(slices.Values(one.APIVersions)), served) {
		return false
	}
	for api, was := range a.APIVersions {
		if _, is := slices.BinarySearch(served, api); is != was {
			return false
		}
	}
	return true
}

// mention is a mention of a value whose fields templates read without calling a function of ours, with the fields.
var mention = regexp.MustCompile(`(\.Release|\bCapabilities|\bAPIVersions|\bKubeVersion)\b((?:\.\w+)*)`)

// scan notes the facts that a text, a template or a value, may ask for. Questions for one API are noted when they are
// asked; see apiRecorder.
func (a *Asked) scan(text string) {
	for _, m := range mention.FindAllStringSubmatch(text, -1) {
		a.note(strings.Split(strings.TrimPrefix(m[1], ".")+m[2], "."))
	}
}

// note notes a mention: a value and its fields, each a field of the one before.
func (a *Asked) note(path []string) {
	field := ""
	if len(path) > 1 {
		field = path[1]
	}
	switch path[0] {
	case "Capabilities":
		if field == "" {
			a.KubeVersion, a.AllAPIVersions = true, true
			return
		}
		a.note(path[1:])
	case "KubeVersion":
		a.KubeVersion = true
	case "APIVersions":
		a.AllAPIVersions = a.AllAPIVersions || field != "Has"
	case "Release":
		a.Revision = a.Revision || field == "Revision" || field == ""
		a.Upgrade = a.Upgrade || field == "IsInstall" || field == "IsUpgrade" || field == ""
	}
}

// capabilities is the value of .Capabilities.
type capabilities struct {
	KubeVersion kubeVersion
	APIVersions any // apiVersions, or an apiRecorder if no template reads the whole list
	HelmVersion any
}

// newCapabilities returns the value of .Capabilities. The texts of the chart must have been scanned for asked.
func newCapabilities(c Capabilities, compat Compat, helmVersion any, asked *Asked) (*capabilities, error) {
	kube, err := parseKubeVersion(c.KubeVersion, compat)
	if err != nil {
		return nil, err
	}
	all := apiVersions(slices.Sorted(slices.Values(c.APIVersions)))
	if asked.AllAPIVersions {
		return &capabilities{kube, all, helmVersion}, nil
	}
	return &capabilities{kube, recorderOf(all, asked), helmVersion}, nil
}

// kubeVersion is the value of .Capabilities.KubeVersion.
type kubeVersion struct {
	Version string
	Major   string
	Minor   string

	normalized string // without the suffix of a vendor
}

// parseKubeVersion returns a version of Kubernetes. Helm 3 leaves out the suffix of a vendor.
func parseKubeVersion(text string, compat Compat) (kubeVersion, error) {
	parsed, err := version.ParseGeneric(text)
	if err != nil {
		return kubeVersion{}, fmt.Errorf("version of Kubernetes %q: want a version such as v1.37.2", text)
	}
	normalized := "v" + parsed.String()
	kube := kubeVersion{normalized, fmt.Sprint(parsed.Major()), fmt.Sprint(parsed.Minor()), normalized}
	if compat != Helm3 {
		kube.Version = "v" + strings.TrimPrefix(text, "v")
	}
	return kube, nil
}

// String returns the version that ranges of versions are compared with.
func (v *kubeVersion) String() string { return v.normalized }

// GitVersion returns Version.
func (v *kubeVersion) GitVersion() string { return v.Version }

// apiVersions is the value of .Capabilities.APIVersions for templates that read the list.
type apiVersions []string

// Has reports whether the cluster serves an API.
func (v apiVersions) Has(api string) bool {
	_, served := slices.BinarySearch(v, api)
	return served
}

// apiRecorder is the value of .Capabilities.APIVersions for templates that only call Has. With no API it returns the
// whole list. It is a function because templates may copy what they see, and a copied function still notes in the same
// Asked.
type apiRecorder func(api string) (served bool, all apiVersions)

// recorderOf returns an apiRecorder of a sorted list.
func recorderOf(all apiVersions, asked *Asked) apiRecorder {
	return func(api string) (bool, apiVersions) {
		if api == "" {
			asked.KubeVersion, asked.AllAPIVersions = true, true
			return false, all
		}
		if asked.APIVersions == nil {
			asked.APIVersions = map[string]bool{}
		}
		asked.APIVersions[api] = all.Has(api)
		return asked.APIVersions[api], nil
	}
}

// Has reports whether the cluster serves an API.
func (r apiRecorder) Has(api string) bool {
	served, _ := r(api)
	return served
}

// MarshalJSON implements json.Marshaler, for templates that print everything that they see.
func (r apiRecorder) MarshalJSON() ([]byte, error) {
	_, all := r("")
	return json.Marshal(all)
}
