package api

import (
	"cmp"
	"net/url"
	"strings"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// HelmRepositoryKind is the kind of HelmRepositories.
const HelmRepositoryKind = "HelmRepository"

const indexFailed = "IndexationFailed" // a reason, as Flux has it

func init() {
	Register(Kind{
		Name: HelmRepositoryKind, Plural: "helmrepositories", Short: "helmrepo", Group: GroupSource, Version: "v1",
		Older: []string{"v1alpha1", "v1beta1", "v1beta2"}, Namespaced: true, Words: []string{"source helm"},
		Role: SourceRole, NoManifests: true,
		Convert: convertHelmRepository, Default: defaultHelmRepository,
		Required: map[string]string{"url": "https://charts.example.com"},
		Refused: map[string]string{
			"accessFrom": "Flux never carried it out, and neither does Nave: remove it",
		},
		Durations: []string{"interval", "timeout"}, Check: checked(checkHelmRepository),
		View:        viewed(sourceOfHelmRepository),
		Credentials: "username and password; .dockerconfigjson for type oci; ca.crt, tls.crt, tls.key for TLS",
		Reasons: []Reason{{
			Name:  indexFailed,
			Means: "the server cannot be reached, or its index.yaml does not exist, is malformed or is over a limit",
			Advice: "Check that the URL and /index.yaml lead to an index; nave reconcile source helm NAME tries at once. " +
				"Until then the last index stays in use",
		}},
	})
}

// convertHelmRepository converts older versions into v1: it removes accessFrom, which Flux never carried out.
func convertHelmRepository(o *manifest.Object) {
	unstructured.RemoveNestedField(o.Object, "spec", "accessFrom")
}

// defaultHelmRepository sets the defaults of Flux's schema and of its controller.
func defaultHelmRepository(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	for name, value := range map[string]string{
		"interval": "1m", "timeout": "60s", "provider": sourcev1.GenericOCIProvider,
	} {
		if spec[name] == nil {
			spec[name] = value
		}
	}
}

func checkHelmRepository(r *sourcev1.HelmRepository) field.ErrorList {
	spec := specPath()
	errs := oneOf(r.Spec.Type, spec.Child("type"), sourcev1.HelmRepositoryTypeDefault, sourcev1.HelmRepositoryTypeOCI)
	errs = append(errs, oneOf(r.Spec.Provider, spec.Child("provider"), sourcev1.GenericOCIProvider,
		sourcev1.AmazonOCIProvider, sourcev1.AzureOCIProvider, sourcev1.GoogleOCIProvider)...)
	for _, ref := range helmRepositorySecrets(r) {
		errs = append(errs, required(ref.Name, field.NewPath(ref.Field, "name"), validation.IsDNS1123Subdomain)...)
	}
	at := spec.Child("url")
	switch isOCI := strings.HasPrefix(r.Spec.URL, sourcev1.OCIRepositoryPrefix); {
	case r.Spec.Type == sourcev1.HelmRepositoryTypeOCI && isOCI:
		// A registry alone is a repository of charts, too.
		errs = append(errs, checkOCIURL(strings.TrimSuffix(r.Spec.URL, "/")+"/chart", at)...)
	case r.Spec.Type == sourcev1.HelmRepositoryTypeOCI:
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "want oci:// in front, because spec.type is oci"))
	case isOCI:
		errs = append(errs, field.Invalid(at, field.OmitValueType{}, "a registry needs spec.type: oci"))
	default:
		errs = append(errs, checkIndexURL(r.Spec.URL, at)...)
	}
	return errs
}

// checkIndexURL checks the address of a repository with an index. The messages do not show the address, because it may
// have a password.
func checkIndexURL(address string, at *field.Path) field.ErrorList {
	refuse := func(why string) field.ErrorList {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, why)}
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || strings.ContainsFunc(address, isControlOrSpace):
		return refuse("not a URL: want https://host/path")
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("want http:// or https:// in front, or oci:// with spec.type: oci")
	case u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-"):
		return refuse("no valid host in it")
	case u.User != nil:
		return refuse("credentials do not belong into a URL: put them into a Secret, and name that in spec.secretRef")
	case u.Fragment != "" || strings.HasSuffix(address, "#"):
		return refuse("remove the part after #")
	}
	return nil
}

// helmRepositorySecrets returns the Secrets that a HelmRepository names.
func helmRepositorySecrets(r *sourcev1.HelmRepository) (found []SecretReference) {
	found = addSecret(found, "spec.secretRef", r.Spec.SecretRef)
	return addSecret(found, "spec.certSecretRef", r.Spec.CertSecretRef)
}

// staticInterval is the interval of a source that asks no server.
const staticInterval = time.Hour

// sourceOfHelmRepository returns the view of a HelmRepository. One of type oci is not fetched: its HelmCharts ask the
// registry.
func sourceOfHelmRepository(r *sourcev1.HelmRepository) *Source {
	s := &Source{
		URL: r.Spec.URL, Interval: r.Spec.Interval.Duration, Timeout: r.GetTimeout(), Secrets: helmRepositorySecrets(r),
		Failed: indexFailed,
	}
	isOCI := r.Spec.Type == sourcev1.HelmRepositoryTypeOCI
	if isOCI {
		s.Interval = staticInterval
		if r.Spec.Insecure {
			s.URL = "http://" + strings.TrimPrefix(s.URL, sourcev1.OCIRepositoryPrefix)
		}
		if r.Spec.Provider != sourcev1.GenericOCIProvider && r.Spec.SecretRef == nil {
			s.Provider = RegistryPlugin
		}
	}
	s.Identity = struct {
		URL      string   `json:"url"`
		Type     string   `json:"type"`
		Insecure bool     `json:"insecure,omitempty"`
		Pass     bool     `json:"pass,omitempty"` // HelmCharts send the Secret to other hosts
		Plugin   bool     `json:"plugin,omitempty"`
		Fields   []string `json:"fields,omitempty"` // those that name the Secrets
	}{
		r.Spec.URL, cmp.Or(r.Spec.Type, sourcev1.HelmRepositoryTypeDefault), isOCI && r.Spec.Insecure,
		r.Spec.PassCredentials, s.Provider != "", fieldsOf(s.Secrets),
	}
	return s
}
