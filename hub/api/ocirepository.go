package api

import (
	"encoding/json"
	"net/url"
	"strings"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/hub/internal/image"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/pattern"
)

// OCIRepositoryKind is the kind of OCIRepositories.
const OCIRepositoryKind = "OCIRepository"

const ociFailed = "OCIArtifactPullFailed" // a reason, as Flux has it

func init() {
	Register(Kind{
		Name: OCIRepositoryKind, Plural: "ocirepositories", Short: "ocirepo", Group: GroupSource, Version: "v1",
		Older: []string{"v1beta2"}, Namespaced: true, Words: []string{"source oci"}, Role: SourceRole,
		Default:  defaultOCIRepository,
		Required: map[string]string{"url": "oci://ghcr.io/org/name", "interval": ""}, Refused: ociRepositoryRefused,
		Durations: []string{"interval", "timeout"}, Check: checked(checkOCIRepository),
		View: viewed(sourceOfOCIRepository), Credentials: ".dockerconfigjson",
		Reasons: []Reason{{
			Name: ociFailed,
			Means: "the registry cannot be reached, the tag does not exist, or the artifact is over a limit or is not an " +
				"archive",
			Advice: "Check the URL, the reference and the network; nave reconcile source oci NAME tries at once. Until then " +
				"the last artifact stays in use",
		}},
	})
}

// ociRepositoryRefused are the fields that are not implemented, each with the alternative.
var ociRepositoryRefused = map[string]string{
	"serviceAccountName": "the hub has no ServiceAccounts: name the pull Secret of that account in spec.secretRef",
}

// cosign is the only supported provider of signatures.
const cosign = "cosign"

// defaultOCIRepository sets the defaults of Flux's schema.
func defaultOCIRepository(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	for name, value := range map[string]string{"timeout": "60s", "provider": sourcev1.GenericOCIProvider} {
		if spec[name] == nil {
			spec[name] = value
		}
	}
	if verify, ok, _ := unstructured.NestedMap(spec, "verify"); ok && verify["provider"] == nil {
		verify["provider"] = cosign
		spec["verify"] = verify
	}
	if selector, ok, _ := unstructured.NestedMap(spec, "layerSelector"); ok && selector["operation"] == nil {
		selector["operation"] = sourcev1.OCILayerExtract
		spec["layerSelector"] = selector
	}
}

func checkOCIRepository(o *sourcev1.OCIRepository) field.ErrorList {
	spec := specPath()
	errs := checkOCIURL(o.Spec.URL, spec.Child("url"))
	errs = append(errs, oneOf(o.Spec.Provider, spec.Child("provider"), sourcev1.GenericOCIProvider,
		sourcev1.AmazonOCIProvider, sourcev1.AzureOCIProvider, sourcev1.GoogleOCIProvider)...)
	for _, ref := range ociSecrets(o) {
		errs = append(errs, required(ref.Name, field.NewPath(ref.Field, "name"), validation.IsDNS1123Subdomain)...)
	}
	if s := o.Spec.LayerSelector; s != nil {
		errs = append(errs, oneOf(s.Operation, spec.Child("layerSelector", "operation"), sourcev1.OCILayerExtract,
			sourcev1.OCILayerCopy)...)
	}
	if ref := o.Spec.Reference; ref != nil {
		errs = append(errs, checkOCIReference(ref, spec.Child("ref"))...)
	}
	if v := o.Spec.Verify; v != nil {
		errs = append(errs, checkOCIVerification(v, spec.Child("verify"))...)
	}
	return errs
}

// checkOCIVerification allows only the verification that is implemented: cosign signatures, by keys or by identities of
// a given Sigstore.
func checkOCIVerification(v *sourcev1.OCIRepositoryVerification, path *field.Path) (errs field.ErrorList) {
	switch v.Provider {
	case cosign:
	case "notation":
		errs = append(errs, field.Forbidden(path.Child("provider"), "notation is not supported: sign the artifacts with "+
			"cosign sign --key, set provider: cosign, and name a Secret with the public key (*.pub) in secretRef"))
	default:
		errs = append(errs, field.NotSupported(path.Child("provider"), v.Provider, []string{cosign}))
	}
	if v.SecretRef == nil && v.TrustedRootSecretRef == nil {
		errs = append(errs, field.Required(path.Child("trustedRootSecretRef"), "name a Secret with the trusted root of the "+
			"Sigstore whose identities sign (trusted_root.json, see cosign trusted-root create), which the hub does not "+
			"download; or a Secret with public keys (*.pub) in secretRef"))
	}
	if n := len(v.MatchOIDCIdentity); n > maxIdentities {
		return append(errs, field.TooMany(path.Child("matchOIDCIdentity"), n, maxIdentities))
	}
	for i, m := range v.MatchOIDCIdentity {
		at := path.Child("matchOIDCIdentity").Index(i)
		errs = append(errs, checkPattern(m.Issuer, at.Child("issuer"))...)
		errs = append(errs, checkPattern(m.Subject, at.Child("subject"))...)
	}
	return errs
}

// maxIdentities limits matchOIDCIdentity.
const maxIdentities = 100

// checkPattern checks a regular expression that must not be empty.
func checkPattern(text string, path *field.Path) field.ErrorList {
	if text == "" {
		return field.ErrorList{field.Required(path, "want a regular expression; .* matches all")}
	}
	if _, err := pattern.Size(text); err != nil {
		return field.ErrorList{field.Invalid(path, beginOf(text), "want a regular expression: "+err.Error())}
	}
	return nil
}

// beginOf returns the beginning of a text that may be too long for a message.
func beginOf(text string) string {
	if len(text) > 1024 {
		return strings.ToValidUTF8(text[:40], "") + "…"
	}
	return text
}

// checkOCIURL checks the address of a repository. The messages do not show the address, because it may have a password.
func checkOCIURL(address string, path *field.Path) field.ErrorList {
	u, err := url.Parse(address)
	if err != nil {
		u = &url.URL{}
	}
	_, problem := name.NewRepository(u.Host + u.Path)
	why := ""
	switch {
	case u.Scheme != "oci":
		why = "want oci:// in front, such as oci://ghcr.io/org/name"
	case u.User != nil:
		why = "credentials do not belong into a URL: put them into a Secret, and name that in spec.secretRef"
	case strings.ContainsAny(u.Path, ":@") || strings.ContainsAny(address, "?#"):
		why = "remove the tag or digest: spec.ref says which artifact to pull"
	case !strings.ContainsAny(u.Host, ".:") && u.Host != "localhost": // it would be read as a path on Docker Hub
		why = "no host in it: want oci://host/path; Docker Hub is oci://docker.io/org/name"
	case problem != nil:
		why = "not a repository of a registry: want oci://host/path in lower case, such as oci://ghcr.io/org/name"
	default:
		return nil
	}
	return field.ErrorList{field.Invalid(path, field.OmitValueType{}, why)}
}

// checkOCIReference checks each field that names an artifact. The most exact of the fields that are set counts.
func checkOCIReference(ref *sourcev1.OCIRepositoryRef, path *field.Path) (errs field.ErrorList) {
	if _, err := v1.NewHash(ref.Digest); ref.Digest != "" && (err != nil || !strings.HasPrefix(ref.Digest, "sha256:")) {
		errs = append(errs, field.Invalid(path.Child("digest"), ref.Digest, "want sha256: and 64 hexadecimal digits"))
	}
	if _, err := semver.NewConstraint(ref.SemVer); ref.SemVer != "" && err != nil {
		errs = append(errs, field.Invalid(path.Child("semver"), ref.SemVer,
			"want a range such as >=1.0.0 <2.0.0: "+err.Error()))
	}
	if ref.SemverFilter != "" {
		errs = append(errs, checkPattern(ref.SemverFilter, path.Child("semverFilter"))...)
	}
	if ref.Tag != "" && !image.IsTag(ref.Tag) {
		errs = append(errs, field.Invalid(path.Child("tag"), ref.Tag,
			"want at most 128 letters, digits, dots, dashes and underscores"))
	}
	return errs
}

// ociSecrets returns the Secrets that an OCIRepository names.
func ociSecrets(o *sourcev1.OCIRepository) (found []SecretReference) {
	found = addSecret(found, "spec.secretRef", o.Spec.SecretRef)
	found = addSecret(found, "spec.certSecretRef", o.Spec.CertSecretRef)
	found = addSecret(found, "spec.proxySecretRef", o.Spec.ProxySecretRef)
	if v := o.Spec.Verify; v != nil {
		found = addSecret(found, "spec.verify.secretRef", v.SecretRef)
		found = addSecret(found, "spec.verify.trustedRootSecretRef", v.TrustedRootSecretRef)
	}
	return found
}

// sourceOfOCIRepository returns the view of an OCIRepository. A Secret is sent over plain HTTP only if its hosts name
// port 80 or the port in the URL.
func sourceOfOCIRepository(o *sourcev1.OCIRepository) *Source {
	s := &Source{
		URL: o.Spec.URL, Interval: o.Spec.Interval.Duration, Secrets: ociSecrets(o),
		Failed: ociFailed,
	}
	if o.Spec.Provider != sourcev1.GenericOCIProvider && o.Spec.SecretRef == nil {
		s.Provider = RegistryPlugin
	}
	if o.Spec.Insecure {
		s.URL = "http://" + strings.TrimPrefix(o.Spec.URL, sourcev1.OCIRepositoryPrefix)
	}
	if o.Spec.Timeout != nil {
		s.Timeout = o.Spec.Timeout.Duration
	}
	var match []sourcev1.OIDCIdentityMatch
	if v := o.Spec.Verify; v != nil {
		match = v.MatchOIDCIdentity
	}
	s.Identity = struct {
		URL      string                     `json:"url"`
		Ref      *sourcev1.OCIRepositoryRef `json:"ref,omitempty"`
		Layer    *sourcev1.OCILayerSelector `json:"layer,omitempty"`
		Ignore   *string                    `json:"ignore,omitempty"`
		Insecure bool                       `json:"insecure,omitempty"`
		Plugin   bool                       `json:"plugin,omitempty"`
		Fields   []string                   `json:"fields,omitempty"` // those that name the Secrets

		Match []sourcev1.OIDCIdentityMatch `json:"match,omitempty"`
	}{
		o.Spec.URL, o.Spec.Reference, o.Spec.LayerSelector, o.Spec.Ignore, o.Spec.Insecure, s.Provider != "",
		fieldsOf(s.Secrets), match,
	}
	return s
}

// NewOCIRepository returns an OCIRepository without a name, for a fetcher that pulls a part of another source through
// the fetcher of OCIRepositories. NewOCIRepository does not check the spec.
func NewOCIRepository(spec sourcev1.OCIRepositorySpec) (*Object, error) {
	text, err := json.Marshal(sourcev1.OCIRepository{Spec: spec})
	return StoredObject(Key{Kind: OCIRepositoryKind}, text), err
}

// fieldsOf returns the fields that name Secrets.
func fieldsOf(secrets []SecretReference) (fields []string) {
	for _, s := range secrets {
		fields = append(fields, s.Field)
	}
	return fields
}
