package helm

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/render"
)

// mention is a mention of a value whose fields templates read without calling a function of ours, with the fields.
var mention = regexp.MustCompile(`(\.Release|\bCapabilities|\bAPIVersions|\bKubeVersion)\b((?:\.\w+)*)`)

// scan notes the facts that a text, a template or a value, may ask for. Questions for one API are noted when they are
// asked; see apiRecorder.
func scan(text string, a *render.Asked) {
	for _, m := range mention.FindAllStringSubmatch(text, -1) {
		note(a, strings.Split(strings.TrimPrefix(m[1], ".")+m[2], "."))
	}
}

// note notes a mention: a value and its fields, each a field of the one before.
func note(a *render.Asked, path []string) {
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
		note(a, path[1:])
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
func newCapabilities(c api.Capabilities, compat Compat, helmVersion any, asked *render.Asked) (*capabilities, error) {
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
func recorderOf(all apiVersions, asked *render.Asked) apiRecorder {
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
