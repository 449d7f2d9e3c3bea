package api

import (
	"encoding/hex"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/Masterminds/semver/v3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/shared/manifest"
)

// GitRepositoryKind is the kind of GitRepositories.
const GitRepositoryKind = "GitRepository"

// Reasons of GitRepositories, as Flux has them.
const (
	InvalidCommitSignature = "InvalidCommitSignature"
	InvalidTagSignature    = "InvalidTagSignature"

	gitSucceeded = "GitOperationSucceeded"
	gitFailed    = "GitOperationFailed"
)

func init() {
	Register(Kind{
		Name: GitRepositoryKind, Plural: "gitrepositories", Short: "gitrepo", Group: GroupSource, Version: "v1",
		Older: []string{"v1alpha1", "v1beta1", "v1beta2"}, Namespaced: true, Words: []string{"source git"}, Role: SourceRole,
		Convert: convertGitRepository, Default: defaultGitRepository,
		Required: map[string]string{"url": "", "interval": ""}, Refused: gitRepositoryRefused,
		Durations: []string{"interval", "timeout"}, Check: checked(checkGitRepository),
		View: viewed(sourceOfGitRepository), Reasons: gitReasons,
		Credentials: "username and password, or bearerToken, or those of a GitHub App; ca.crt, tls.crt, tls.key for TLS",
	})
}

// gitReasons are the reasons that need advice.
var gitReasons = []Reason{
	{
		Name:  gitFailed,
		Means: "the server cannot be reached, the reference does not exist, or the repository is over a limit",
		Advice: "Check the URL, the reference and the network; nave reconcile source git NAME tries at once. Until then " +
			"the last artifact stays in use",
	},
	{
		Name: InvalidCommitSignature, Unverified: true,
		Means:  "the commit is not signed, or not by a key in the Secret of spec.verify.secretRef",
		Advice: signatureAdvice,
	},
	{
		Name: InvalidTagSignature, Unverified: true,
		Means:  "the tag is not signed, or not by a key in the Secret of spec.verify.secretRef",
		Advice: signatureAdvice,
	},
}

const signatureAdvice = "The message names the key that signed: add it to the Secret, or find out who pushed. Until " +
	"then the last artifact stays in use"

// DefaultBranch is the branch of a GitRepository without a reference, as in Flux.
const DefaultBranch = "master"

// gitRepositoryRefused are the fields that are not implemented, each with the alternative.
var gitRepositoryRefused = map[string]string{
	"serviceAccountName": "the hub has one cloud identity of its own: remove it, and let the hub's flag " +
		"--git-credential-helper name a helper for spec.provider",
	"accessFrom": "Flux never carried it out, and neither does Nave: remove it",
}

// convertGitRepository converts v1beta1 and v1beta2 into v1: it removes accessFrom, which Flux never carried out, and
// gitImplementation, which chose a library and which Flux has ignored since 0.38.
func convertGitRepository(o *manifest.Object) {
	unstructured.RemoveNestedField(o.Object, "spec", "gitImplementation")
	unstructured.RemoveNestedField(o.Object, "spec", "accessFrom")
}

// defaultGitRepository sets the defaults of Flux's schema.
func defaultGitRepository(o *manifest.Object) {
	if spec, ok := o.Object["spec"].(map[string]any); ok && spec["timeout"] == nil {
		spec["timeout"] = "60s"
	}
}

func checkGitRepository(g *sourcev1.GitRepository) field.ErrorList {
	spec := specPath()
	errs := checkURL(g.Spec.URL, spec.Child("url"))
	errs = append(errs, checkProvider(g, spec)...)
	if g.Spec.SecretRef != nil {
		errs = append(errs, required(g.Spec.SecretRef.Name, spec.Child("secretRef", "name"),
			validation.IsDNS1123Subdomain)...)
	}
	if proxy := g.Spec.ProxySecretRef; proxy != nil {
		errs = append(errs, required(proxy.Name, spec.Child("proxySecretRef", "name"), validation.IsDNS1123Subdomain)...)
	}
	for i, dir := range g.Spec.SparseCheckout {
		if dir == "" || strings.ContainsFunc(dir, unicode.IsControl) || slices.Contains(strings.Split(dir, "/"), "..") {
			errs = append(errs, field.Invalid(spec.Child("sparseCheckout").Index(i), dir,
				"want a folder of the repository, such as clusters/prod"))
		}
	}
	errs = append(errs, checkInclude(g, spec.Child("include"))...)
	errs = append(errs, checkVerification(g.Spec.Verification, g.Spec.Reference, spec.Child("verify"))...)
	return append(errs, checkReference(g.Spec.Reference, spec.Child("ref"))...)
}

// checkVerification checks that signatures can be verified: there is a Secret with keys, the mode is known, and a mode
// for tags has a tag.
func checkVerification(v *sourcev1.GitRepositoryVerification, ref *sourcev1.GitRepositoryRef,
	path *field.Path) (errs field.ErrorList) {
	if v == nil {
		return nil
	}
	errs = append(errs, required(v.SecretRef.Name, path.Child("secretRef", "name"), validation.IsDNS1123Subdomain)...)
	errs = append(errs, oneOf(string(v.Mode), path.Child("mode"), "HEAD", "head", "Tag", "TagAndHEAD")...)
	isTag := ref != nil && ref.Commit == "" && (strings.HasPrefix(ref.Name, "refs/tags/") ||
		ref.Name == "" && ref.SemVer+ref.Tag != "")
	if v.VerifyTag() && !isTag {
		errs = append(errs, field.Invalid(path.Child("mode"), string(v.Mode),
			"needs spec.ref.tag, spec.ref.semver or a spec.ref.name of a tag; use HEAD for others"))
	}
	return errs
}

// checkProvider checks the provider of the credentials, and the fields that it needs.
func checkProvider(g *sourcev1.GitRepository, spec *field.Path) (errs field.ErrorList) {
	path, ssh := spec.Child("provider"), strings.HasPrefix(g.Spec.URL, "ssh:")
	switch provider := providerOf(g); provider {
	case "":
	case sourcev1.GitProviderGitHub:
		if g.Spec.SecretRef == nil {
			errs = append(errs, field.Required(spec.Child("secretRef"),
				"a Secret with githubAppID, githubAppPrivateKey and githubAppInstallationID or githubAppInstallationOwner"))
		}
		if ssh {
			errs = append(errs, field.Invalid(path, provider, "a GitHub App needs an https:// URL"))
		}
	case sourcev1.GitProviderAWS, sourcev1.GitProviderAzure:
		if !strings.HasPrefix(g.Spec.URL, "https:") {
			errs = append(errs, field.Invalid(path, provider, "needs an https:// URL"))
		}
	default:
		errs = append(errs, field.NotSupported(path, provider, []string{"generic", "github", "aws", "azure"}))
	}
	return errs
}

// providerOf returns the provider of the credentials. If the Secret itself has the credentials, providerOf returns "".
func providerOf(g *sourcev1.GitRepository) string {
	if g.Spec.Provider == sourcev1.GitProviderGeneric {
		return ""
	}
	return g.Spec.Provider
}

// scpLike is an address as scp and git clone take it, user@host:path, also with ssh:// in front.
var scpLike = regexp.MustCompile(`^(?:ssh://)?([A-Za-z0-9._-]+@[A-Za-z0-9.-]+):([A-Za-z0-9._~/-]+)$`)

// checkURL checks the address of a repository. The messages do not show the address, because it may have a password;
// one like git@host:path has none.
func checkURL(address string, path *field.Path) field.ErrorList {
	refuse := func(why string) field.ErrorList {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, why)}
	}
	u, err := url.Parse(address)
	if scp := scpLike.FindStringSubmatch(address); scp != nil && (err != nil || u.Scheme != "ssh") {
		return refuse("write ssh://" + scp[1] + "/" + strings.TrimLeft(scp[2], "/"))
	}
	if err != nil || strings.ContainsFunc(address, isControlOrSpace) {
		return refuse("not a URL: want https://host/path, http://host/path or ssh://git@host/path")
	}
	_, password := u.User.Password()
	switch {
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ssh":
		return refuse("want http://, https:// or ssh:// in front (git@host:path is ssh://git@host/path)")
	case u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-"):
		return refuse("no valid host in it")
	case password:
		return refuse("a password does not belong into a URL: put it into a Secret, and name that in spec.secretRef")
	case u.Fragment != "" || strings.HasSuffix(address, "#"):
		return refuse("remove the part after #: spec.ref says what to check out")
	}
	return nil
}

func isControlOrSpace(r rune) bool { return r <= ' ' || r == 0x7f }

// checkReference checks each field that names a commit. The most exact of the fields that are set counts.
func checkReference(ref *sourcev1.GitRepositoryRef, path *field.Path) (errs field.ErrorList) {
	if ref == nil {
		return nil
	}
	for name, value := range map[string]string{"branch": ref.Branch, "tag": ref.Tag, "name": ref.Name} {
		errs = append(errs, optional(value, path.Child(name), badReferenceName)...)
	}
	if n := ref.Name; n != "" && n != "HEAD" && !strings.HasPrefix(n, "refs/") {
		errs = append(errs, field.Invalid(path.Child("name"), n,
			"want the whole name, such as refs/heads/main or refs/pull/1/head"))
	}
	if ref.SemVer != "" {
		if _, err := semver.NewConstraint(ref.SemVer); err != nil {
			errs = append(errs, field.Invalid(path.Child("semver"), ref.SemVer,
				"want a range such as >=1.0.0 <2.0.0: "+err.Error()))
		}
	}
	if ref.Commit != "" {
		if raw, err := hex.DecodeString(ref.Commit); err != nil || len(raw) != 20 && len(raw) != 32 {
			errs = append(errs, field.Invalid(path.Child("commit"), ref.Commit, "want the whole hash, 40 hexadecimal digits"))
		}
	}
	return errs
}

// badReferenceName returns the error texts for the name of a branch or tag, by the rules of git-check-ref-format(1). If
// the name is valid, badReferenceName returns none.
func badReferenceName(name string) []string {
	isBad := func(r rune) bool { return isControlOrSpace(r) || strings.ContainsRune(`~^:?*[\`, r) }
	bad := strings.ContainsFunc(name, isBad) ||
		strings.Contains(name, "..") || strings.Contains(name, "@{") || name == "@" || strings.HasPrefix(name, "-") ||
		strings.HasSuffix(name, ".")
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || part == "" || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock")
	}
	if bad {
		return []string{"not a name that git allows (see git help check-ref-format)"}
	}
	return nil
}

// sourceOfGitRepository returns the view of a GitRepository.
func sourceOfGitRepository(g *sourcev1.GitRepository) *Source {
	s := &Source{
		URL: g.Spec.URL, IsGit: true, Interval: g.Spec.Interval.Duration,
		Succeeded: gitSucceeded, Failed: gitFailed,
	}
	if g.Spec.Timeout != nil {
		s.Timeout = g.Spec.Timeout.Duration
	}
	if g.Spec.SecretRef != nil {
		s.Secrets = []SecretReference{{Field: "spec.secretRef", Name: g.Spec.SecretRef.Name}}
	}
	if p := providerOf(g); p != sourcev1.GitProviderGitHub {
		s.Provider = p
	}
	if proxy := g.Spec.ProxySecretRef; proxy != nil {
		s.Secrets = append(s.Secrets, SecretReference{Field: "spec.proxySecretRef", Name: proxy.Name})
	}
	s.Identity = identify(g)
	if v := g.Spec.Verification; v != nil {
		s.Secrets = append(s.Secrets, SecretReference{Field: "spec.verify.secretRef", Name: v.SecretRef.Name})
	}
	s.include(g)
	return s
}

// gitIdentity has the fields that the fetched artifact depends on, beside the Secrets. Proxy and Verify also record
// which fields name Secrets.
type gitIdentity struct {
	URL        string                    `json:"url"`
	Provider   string                    `json:"provider,omitempty"`
	Ref        sourcev1.GitRepositoryRef `json:"ref"`
	Ignore     *string                   `json:"ignore,omitempty"`
	Sparse     []string                  `json:"sparse,omitempty"`
	Submodules bool                      `json:"submodules,omitempty"`
	Proxy      bool                      `json:"proxy,omitempty"`
	Verify     string                    `json:"verify,omitempty"`
}

func identify(g *sourcev1.GitRepository) gitIdentity {
	identity := gitIdentity{
		URL: g.Spec.URL, Provider: providerOf(g), Ref: referenceOf(g), Ignore: g.Spec.Ignore,
		Sparse: g.Spec.SparseCheckout, Submodules: g.Spec.RecurseSubmodules, Proxy: g.Spec.ProxySecretRef != nil,
	}
	if g.Spec.Verification != nil {
		identity.Verify = string(g.Spec.Verification.GetMode())
	}
	return identity
}

// referenceOf returns the reference that a GitRepository follows.
func referenceOf(g *sourcev1.GitRepository) sourcev1.GitRepositoryRef {
	if ref := g.Spec.Reference; ref != nil && *ref != (sourcev1.GitRepositoryRef{}) {
		return *ref
	}
	return sourcev1.GitRepositoryRef{Branch: DefaultBranch}
}

// FormerFetchKey returns the value that Source.FetchKey had for a GitRepository before it covered the kind. For other
// kinds FormerFetchKey returns "". Only the migration of package fetch uses it; remove both together.
func FormerFetchKey(o *Object, bound bool) (string, error) {
	if o.Key.Kind != GitRepositoryKind {
		return "", nil
	}
	g, err := Decode[sourcev1.GitRepository](o)
	if err != nil {
		return "", err
	}
	identity := struct {
		URL    string                    `json:"url"`
		Ref    sourcev1.GitRepositoryRef `json:"ref"`
		Secret string                    `json:"secret,omitempty"` // namespace/name
		Bound  bool                      `json:"bound,omitempty"`
		Ignore *string                   `json:"ignore,omitempty"`
	}{URL: g.Spec.URL, Ref: referenceOf(g), Ignore: g.Spec.Ignore}
	if ref := g.Spec.SecretRef; ref != nil {
		identity.Secret, identity.Bound = g.Namespace+"/"+ref.Name, bound
	}
	data, err := json.Marshal(identity)
	return manifest.DigestOf(data).String(), err
}
