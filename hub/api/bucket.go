package api

import (
	"net"
	"net/url"
	"strings"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// BucketKind is the kind of Buckets.
const BucketKind = "Bucket"

const bucketFailed = "BucketOperationFailed" // a reason, as Flux has it

func init() {
	Register(Kind{
		Name: BucketKind, Plural: "buckets", Group: GroupSource, Version: "v1",
		Older:      []string{"v1alpha1", "v1beta1", "v1beta2"},
		Namespaced: true, Words: []string{"source bucket"}, Role: SourceRole,
		Convert: convertBucket, Default: defaultBucket, Credentials: "accesskey and secretkey",
		Required: map[string]string{"bucketName": "", "endpoint": "s3.example.com", "interval": ""},
		Refused: map[string]string{
			"sts": "tokens of a security token service are not supported: name a Secret with accesskey and secretkey in " +
				"spec.secretRef",
			"serviceAccountName": "the hub has no ServiceAccounts: name a Secret with accesskey and secretkey in spec.secretRef",
			"accessFrom":         "Flux never carried it out, and neither does Nave: remove it",
		},
		Durations: []string{"interval", "timeout"}, Check: checked(checkBucket), View: viewed(sourceOfBucket),
		Reasons: []Reason{{
			Name:  bucketFailed,
			Means: "the server cannot be reached, the bucket does not exist, or its objects are over a limit",
			Advice: "Check the endpoint, the bucket and the network; nave reconcile source bucket NAME tries at once. Until " +
				"then the last artifact stays in use",
		}},
	})
}

// convertBucket converts v1beta1 and v1beta2 into v1: it removes accessFrom, which Flux never carried out.
func convertBucket(o *manifest.Object) {
	unstructured.RemoveNestedField(o.Object, "spec", "accessFrom")
}

// defaultBucket sets what Flux's schema sets.
func defaultBucket(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	for name, value := range map[string]string{"timeout": "60s", "provider": sourcev1.BucketProviderGeneric} {
		if spec[name] == nil {
			spec[name] = value
		}
	}
}

func checkBucket(b *sourcev1.Bucket) field.ErrorList {
	spec := specPath()
	errs := checkBucketProvider(b, spec)
	for _, ref := range bucketSecrets(b) {
		errs = append(errs, required(ref.Name, field.NewPath(ref.Field, "name"), validation.IsDNS1123Subdomain)...)
	}
	if e := b.Spec.Endpoint; badEndpoint(e) {
		errs = append(errs, field.Invalid(spec.Child("endpoint"), field.OmitValueType{},
			"want host or host:port, such as s3.example.com; spec.insecure asks for http"))
	}
	if n := b.Spec.BucketName; strings.ContainsAny(n, "/?#\\") || n == "." || n == ".." {
		errs = append(errs, field.Invalid(spec.Child("bucketName"), n,
			"want the name of a bucket; spec.prefix says what of it"))
	}
	return errs
}

// checkBucketProvider lets through the providers that speak S3.
func checkBucketProvider(b *sourcev1.Bucket, spec *field.Path) field.ErrorList {
	at := spec.Child("provider")
	switch b.Spec.Provider {
	case sourcev1.BucketProviderGeneric:
		return nil
	case sourcev1.BucketProviderAmazon:
		if b.Spec.CertSecretRef != nil {
			return field.ErrorList{field.Forbidden(spec.Child("certSecretRef"),
				"only the provider generic has certificates of its own")}
		}
		if b.Spec.SecretRef == nil {
			return field.ErrorList{field.Required(spec.Child("secretRef"),
				"the hub has no cloud identity for buckets: name a Secret with accesskey and secretkey")}
		}
		return nil
	case sourcev1.BucketProviderGoogle:
		return field.ErrorList{field.Forbidden(at, "gcp is not supported: use generic with the endpoint "+
			"storage.googleapis.com and an HMAC key (accesskey, secretkey)")}
	case sourcev1.BucketProviderAzure:
		return field.ErrorList{field.Forbidden(at, "azure is not supported: keep the files in an S3-compatible store, an "+
			"OCI registry or Git")}
	}
	return field.ErrorList{field.NotSupported(at, b.Spec.Provider, []string{sourcev1.BucketProviderGeneric,
		sourcev1.BucketProviderAmazon})}
}

func badEndpoint(e string) bool {
	u, err := url.Parse("https://" + e)
	_, port, split := net.SplitHostPort(e)
	return err != nil || u.Host != e || u.Hostname() == "" || split == nil && port == ""
}

// bucketSecrets returns the Secrets that a Bucket names.
func bucketSecrets(b *sourcev1.Bucket) (found []SecretReference) {
	found = addSecret(found, "spec.secretRef", b.Spec.SecretRef)
	found = addSecret(found, "spec.certSecretRef", b.Spec.CertSecretRef)
	found = addSecret(found, "spec.proxySecretRef", b.Spec.ProxySecretRef)
	return found
}

// BucketURL returns the address of a Bucket.
func BucketURL(b *sourcev1.Bucket) *url.URL {
	u := &url.URL{Scheme: "https", Host: b.Spec.Endpoint, Path: "/" + b.Spec.BucketName}
	if b.Spec.Insecure {
		u.Scheme = "http"
	}
	return u
}

// sourceOfBucket returns the view of a Bucket.
func sourceOfBucket(b *sourcev1.Bucket) *Source {
	s := &Source{
		URL: BucketURL(b).String(), Interval: b.Spec.Interval.Duration, Secrets: bucketSecrets(b),
		Failed: bucketFailed,
	}
	if b.Spec.Timeout != nil {
		s.Timeout = b.Spec.Timeout.Duration
	}
	fields := make([]string, len(s.Secrets))
	for i, ref := range s.Secrets {
		fields[i] = ref.Field
	}
	s.Identity = struct {
		URL     string   `json:"url"`
		Region  string   `json:"region,omitempty"`
		Prefix  string   `json:"prefix,omitempty"`
		Ignore  *string  `json:"ignore,omitempty"`
		Secrets []string `json:"secrets,omitempty"`
	}{s.URL, b.Spec.Region, b.Spec.Prefix, b.Spec.Ignore, fields}
	return s
}
