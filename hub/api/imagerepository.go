package api

import (
	"cmp"
	"strings"

	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// ImageRepositoryKind is the kind of ImageRepositories.
const ImageRepositoryKind = "ImageRepository"

const scanFailed = "ReadOperationFailed" // a reason, as Flux has it

func init() {
	Register(Kind{
		Name: ImageRepositoryKind, Plural: "imagerepositories", Short: "imgrepo", Group: groupImage, Version: "v1",
		Older: []string{"v1beta1", "v1beta2"}, Namespaced: true, Words: []string{"image repository"},
		Role: SourceRole, NoManifests: true,
		Default:  defaultImageRepository,
		Required: map[string]string{"image": "ghcr.io/org/name", "interval": ""},
		// Both kinds reach a registry with the same credentials.
		Refused: ociRepositoryRefused, Durations: []string{"interval", "timeout"}, Check: checked(checkImageRepository),
		View: viewed(sourceOfImageRepository), Credentials: ".dockerconfigjson", Columns: imageRepositoryColumns,
		Reasons: []Reason{{
			Name:  scanFailed,
			Means: "the registry cannot be reached, has no such repository, or its list of tags is malformed",
			Advice: "Check spec.image and the network; nave reconcile image repository NAME tries at once. Until then the " +
				"last list of tags stays in use",
		}},
	})
}

// imageRepositoryColumns are those of flux get image repository.
var imageRepositoryColumns = []Column{
	nameColumn, {Name: "LAST SCAN", Value: fieldOf("status", "lastScanResult", "scanTime")}, suspendedColumn, readyColumn,
	messageColumn,
	{Name: "IMAGE", Wide: true, Value: fieldOf("spec", "image")},
	{Name: "TAGS", Wide: true, Value: fieldOf("status", "lastScanResult", "tagCount")},
}

// maxExclusions limits exclusionList, as Flux's schema does.
const maxExclusions = 25

// defaultImageRepository sets the defaults of Flux's schema and of its controller.
func defaultImageRepository(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	if spec["provider"] == nil {
		spec["provider"] = sourcev1.GenericOCIProvider
	}
	if list, isList := spec["exclusionList"].([]any); spec["exclusionList"] == nil || isList && len(list) == 0 {
		spec["exclusionList"] = []any{`^.*\.sig$`}
	}
}

func checkImageRepository(r *imagev1.ImageRepository) field.ErrorList {
	spec := specPath()
	errs := checkImageName(r.Spec.Image, spec.Child("image"))
	errs = append(errs, oneOf(r.Spec.Provider, spec.Child("provider"), sourcev1.GenericOCIProvider,
		sourcev1.AmazonOCIProvider, sourcev1.AzureOCIProvider, sourcev1.GoogleOCIProvider)...)
	for _, ref := range imageRepositorySecrets(r) {
		errs = append(errs, required(ref.Name, field.NewPath(ref.Field, "name"), validation.IsDNS1123Subdomain)...)
	}
	at := spec.Child("exclusionList")
	if n := len(r.Spec.ExclusionList); n > maxExclusions {
		return append(errs, field.TooMany(at, n, maxExclusions))
	}
	for i, text := range r.Spec.ExclusionList {
		errs = append(errs, checkPattern(text, at.Index(i))...)
	}
	if from := r.Spec.AccessFrom; from != nil {
		for i, s := range from.NamespaceSelectors {
			labels := metav1.LabelSelector{MatchLabels: s.MatchLabels}
			errs = append(errs, metavalidation.ValidateLabelSelector(&labels, metavalidation.LabelSelectorValidationOptions{},
				spec.Child("accessFrom", "namespaceSelectors").Index(i))...)
		}
	}
	return errs
}

// checkImageName checks the name of an image without tag and digest. The messages do not show the name, because it may
// have a password.
func checkImageName(image string, path *field.Path) field.ErrorList {
	refuse := func(why string) field.ErrorList {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, why)}
	}
	if image == "" { // checkFields reports that there is none
		return field.ErrorList{field.Required(path, "want the name of an image, such as ghcr.io/org/name")}
	}
	if strings.Contains(image, "://") {
		return refuse("want no scheme: ghcr.io/org/name, not oci://ghcr.io/org/name")
	}
	if _, err := name.NewRepository(image); err == nil {
		return nil
	}
	if _, err := name.ParseReference(image); err == nil {
		return refuse("remove the tag or digest: an ImagePolicy chooses the tag")
	}
	return refuse("not the name of an image: want host/path in lower case, such as ghcr.io/org/name; Docker Hub is " +
		"docker.io/org/name")
}

// imageRepositorySecrets returns the Secrets that an ImageRepository names.
func imageRepositorySecrets(r *imagev1.ImageRepository) (found []SecretReference) {
	found = addSecret(found, "spec.secretRef", r.Spec.SecretRef)
	found = addSecret(found, "spec.certSecretRef", r.Spec.CertSecretRef)
	return addSecret(found, "spec.proxySecretRef", r.Spec.ProxySecretRef)
}

// ImageURL returns the address of an image, as an OCIRepository names it: oci://docker.io/library/nginx for nginx. If
// insecure is set, the scheme is http.
func ImageURL(image string, insecure bool) string {
	scheme := sourcev1.OCIRepositoryPrefix
	if insecure {
		scheme = "http://"
	}
	repo, err := name.NewRepository(image)
	if err != nil {
		return scheme + image // admission let it through
	}
	return scheme + dockerHub(repo.RegistryStr()) + "/" + repo.RepositoryStr()
}

// dockerHub returns the name of a registry that Secrets are bound to: Docker Hub has several.
func dockerHub(registry string) string {
	if registry == name.DefaultRegistry {
		return "docker.io"
	}
	return registry
}

// sourceOfImageRepository returns the view of an ImageRepository.
func sourceOfImageRepository(r *imagev1.ImageRepository) *Source {
	s := &Source{
		URL: ImageURL(r.Spec.Image, r.Spec.Insecure), Interval: r.Spec.Interval.Duration, Timeout: r.GetTimeout(),
		Image: r.Spec.Image, Secrets: imageRepositorySecrets(r), Sharing: sharingOf(r.Spec.AccessFrom),
		Failed: scanFailed, TimeField: []string{"lastScanResult", "scanTime"},
	}
	if cmp.Or(r.Spec.Provider, sourcev1.GenericOCIProvider) != sourcev1.GenericOCIProvider && r.Spec.SecretRef == nil {
		s.Provider = RegistryPlugin
	}
	s.Identity = struct {
		URL     string   `json:"url"`
		Image   string   `json:"image"` // as it is written, because ImagePolicies choose it as it is written
		Exclude []string `json:"exclude"`
		Plugin  bool     `json:"plugin,omitempty"`
		Fields  []string `json:"fields,omitempty"` // those that name the Secrets
	}{s.URL, r.Spec.Image, r.GetExclusionList(), s.Provider != "", fieldsOf(s.Secrets)}
	return s
}
