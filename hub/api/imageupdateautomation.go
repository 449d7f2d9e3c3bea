package api

import (
	"cmp"
	"strings"

	autov1 "github.com/fluxcd/image-automation-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/navefleet/nave/hub/internal/template"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wording"
)

// ImageUpdateAutomationKind is the kind of ImageUpdateAutomations.
const ImageUpdateAutomationKind = "ImageUpdateAutomation"

// ImageUpdateAutomation is Flux's kind, with the fields of its newest version.
type ImageUpdateAutomation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ImageUpdateAutomationSpec `json:"spec"`
}

// ImageUpdateAutomationSpec is the spec of an ImageUpdateAutomation.
type ImageUpdateAutomationSpec struct {
	autov1.ImageUpdateAutomationSpec `json:",inline"`

	// GitSpec has the fields of Flux, and the pull request.
	GitSpec *GitSpec `json:"git,omitempty"`
	// PolicyChangeDelay is how long a changed policy waits for others, so that one commit has the changes of all.
	PolicyChangeDelay *metav1.Duration `json:"policyChangeDelay,omitempty"`
}

// GitSpec is what is checked out, committed and pushed.
type GitSpec struct {
	autov1.GitSpec `json:",inline"`

	Push *PushSpec `json:"push,omitempty"`
}

// PushSpec is where commits are pushed to.
type PushSpec struct {
	autov1.PushSpec `json:",inline"`

	// PullRequest is opened from the branch. Flux has no such field.
	PullRequest *PullRequest `json:"pullRequest,omitempty"`
}

// Ref returns the reference that is checked out: that of the automation, else that of its GitRepository.
func (s ImageUpdateAutomationSpec) Ref(repository *sourcev1.GitRepository) sourcev1.GitRepositoryRef {
	if s.GitSpec.Checkout != nil {
		return s.GitSpec.Checkout.Reference
	}
	return referenceOf(repository)
}

const updateFailed = "ImageUpdateFailed" // a reason

// ImageUpdateIncomplete is the reason of the explanation of an ImageUpdateAutomation that is ready and passes over
// markers.
const ImageUpdateIncomplete = "ImageUpdateIncomplete"

func init() {
	Register(Kind{
		Name: ImageUpdateAutomationKind, Plural: "imageupdateautomations", Short: "iua", Group: groupImage, Version: "v1",
		Older: []string{"v1beta1", "v1beta2"}, Namespaced: true, Words: []string{"image update"},
		Role: SourceRole, NoManifests: true, Default: defaultImageUpdateAutomation,
		Required:  map[string]string{"sourceRef": "", "interval": "", "git": "want at least git.commit.author.email"},
		Durations: []string{"interval", "policyChangeDelay"}, Check: checked(checkImageUpdateAutomation),
		View: viewed(sourceOfImageUpdateAutomation), Columns: imageUpdateAutomationColumns,
		Credentials: "git.asc and passphrase, or identity and password, for spec.git.commit.signingKey.secretRef; " +
			"token, or username and password, or the keys of a GitHub App, and ca.crt, for " +
			"spec.git.push.pullRequest.secretRef",
		Reasons: []Reason{{
			Name:  updateFailed,
			Means: "the repository cannot be read or pushed to, or a setting such as the commit message does not work",
			Advice: "The message says why; nave reconcile image update NAME tries at once. What the message does not name " +
				"as pushed waits",
		}, {
			Name: ImageUpdateIncomplete,
			Means: "markers are not carried out, or there is nothing to carry out; everything else is. A warning of nave " +
				"explain",
			Advice: "Correct what the message names in the repository or in the spec; nave image update NAME --dry-run shows " +
				"what a run would push then",
		}},
	})
}

// imageUpdateAutomationColumns are those of flux get image update.
var imageUpdateAutomationColumns = []Column{
	nameColumn, {Name: "LAST RUN", Value: fieldOf("status", "lastAutomationRunTime")},
	{Name: "LAST PUSH", Value: fieldOf("status", "lastPushTime")}, suspendedColumn, readyColumn, messageColumn,
	{Name: "COMMIT", Wide: true, Value: fieldOf("status", "lastPushCommit")},
	{Name: "PULL REQUESTS", Wide: true, Value: openRequests},
	{Name: "SOURCE", Wide: true, Value: fieldOf("spec", "sourceRef", "name")},
}

// openRequests returns the URLs of the open pull requests of an automation.
func openRequests(object map[string]any) string {
	const shown = 3
	all, _, _ := unstructured.NestedSlice(object, "status", "pullRequests")
	var pages []string
	for _, entry := range all {
		request, _ := entry.(map[string]any)
		if page, _ := request["url"].(string); request["state"] == "open" {
			pages = append(pages, page)
		}
	}
	if len(pages) == 0 {
		return "-"
	}
	return wording.List(pages, len(pages), shown)
}

// defaultImageUpdateAutomation sets the defaults of Flux's schema.
func defaultImageUpdateAutomation(o *manifest.Object) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok {
		return
	}
	if spec["update"] == nil {
		spec["update"] = map[string]any{"strategy": string(autov1.UpdateStrategySetters)}
	}
	if ref, isMap := spec["sourceRef"].(map[string]any); isMap && ref["kind"] == nil {
		ref["kind"] = GitRepositoryKind
	}
}

func checkImageUpdateAutomation(a *ImageUpdateAutomation) field.ErrorList {
	spec := specPath()
	ref, at := a.Spec.SourceRef, spec.Child("sourceRef")
	errs := required(ref.Name, at.Child("name"), validation.IsDNS1123Subdomain)
	errs = append(errs, oneOf(ref.Kind, at.Child("kind"), GitRepositoryKind)...)
	errs = append(errs, optional(ref.Namespace, at.Child("namespace"), validation.IsDNS1123Label)...)
	if s := a.Spec.PolicySelector; s != nil {
		errs = append(errs, metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{},
			spec.Child("policySelector"))...)
	}
	if u := a.Spec.Update; u != nil {
		errs = append(errs, oneOf(string(u.Strategy), spec.Child("update", "strategy"),
			string(autov1.UpdateStrategySetters))...)
		errs = append(errs, optional(u.Path, spec.Child("update", "path"), badPath)...)
	}
	if a.Spec.GitSpec != nil { // else checkFields reports that
		errs = append(errs, checkCommits(a.Spec.GitSpec, spec.Child("git"))...)
	}
	return errs
}

// checkCommits checks what is checked out, committed and pushed.
func checkCommits(g *GitSpec, path *field.Path) field.ErrorList {
	commit := path.Child("commit")
	errs := required(g.Commit.Author.Email, commit.Child("author", "email"), anything)
	errs = append(errs, optional(g.Commit.MessageTemplate, commit.Child("messageTemplate"), badTemplate)...)
	if key := g.Commit.SigningKey; key != nil {
		at := commit.Child("signingKey")
		errs = append(errs, required(key.SecretRef.Name, at.Child("secretRef", "name"), validation.IsDNS1123Subdomain)...)
		errs = append(errs, oneOf(string(key.Type), at.Child("type"), string(autov1.SigningKeyTypeGPG),
			string(autov1.SigningKeyTypeSSH))...)
	}
	if c := g.Checkout; c != nil {
		errs = append(errs, checkReference(&c.Reference, path.Child("checkout", "ref"))...)
	}
	if p := g.Push; p != nil {
		if p.PullRequest == nil || p.PullRequest.Mode != PullRequestPerPolicy { // else it is a template
			errs = append(errs, optional(p.Branch, path.Child("push", "branch"), badReferenceName)...)
		}
		errs = append(errs, checkRefspec(p.Refspec, path.Child("push", "refspec"))...)
		for name, value := range p.Options {
			if name == "" || strings.ContainsAny(name+value, "\n\x00") {
				errs = append(errs, field.Invalid(path.Child("push", "options").Key(name), value, "want one line"))
			}
		}
		if p.PullRequest != nil {
			errs = append(errs, checkPullRequest(g, path.Child("push"))...)
		}
	}
	return errs
}

// badTemplate returns the error texts for the template of a message.
func badTemplate(text string) []string {
	if err := template.Check(text); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// checkRefspec checks a refspec such as HEAD:refs/for/main.
func checkRefspec(refspec string, path *field.Path) (errs field.ErrorList) {
	if refspec == "" {
		return nil
	}
	from, to, isPair := strings.Cut(refspec, ":")
	switch {
	case strings.HasPrefix(refspec, "+"):
		return field.ErrorList{field.Invalid(path, refspec, "remove the +: nothing of somebody else is replaced")}
	case from == "" || isPair && to == "":
		return field.ErrorList{field.Invalid(path, refspec, "want FROM:TO, such as HEAD:refs/for/main")}
	}
	return append(optional(from, path, badReferenceName), optional(to, path, badReferenceName)...)
}

// sourceOfImageUpdateAutomation returns the view of an ImageUpdateAutomation.
func sourceOfImageUpdateAutomation(a *ImageUpdateAutomation) *Source {
	ref := a.Spec.SourceRef
	s := &Source{
		Interval: a.Spec.Interval.Duration, Failed: updateFailed, TimeField: []string{"lastAutomationRunTime"},
		Upstream: true, Writes: true,
		Inputs: []SourceInput{{Field: "spec.sourceRef", Key: Key{
			Kind: GitRepositoryKind, Namespace: cmp.Or(ref.Namespace, a.Namespace), Name: ref.Name}}},
		Selects: &Selection{Kind: ImagePolicyKind}, // all of them
	}
	if a.Spec.PolicySelector != nil {
		s.Selects.Labels = *a.Spec.PolicySelector
	}
	if d := a.Spec.PolicyChangeDelay; d != nil {
		s.Selects.Delay = d.Duration
	}
	if key := a.Spec.GitSpec.Commit.SigningKey; key != nil {
		s.Secrets = []SecretReference{{Field: "spec.git.commit.signingKey.secretRef", Name: key.SecretRef.Name}}
	}
	if p := a.Spec.GitSpec.Push; p != nil && p.PullRequest != nil {
		s.Secrets = append(s.Secrets, SecretReference{Field: PullRequestSecret, Name: p.PullRequest.SecretRef.Name,
			API: &ForgeAPI{p.PullRequest.Provider, p.PullRequest.Address}})
	}
	s.Identity = struct {
		Git    *GitSpec               `json:"git"`
		Labels metav1.LabelSelector   `json:"labels"`
		Update *autov1.UpdateStrategy `json:"update"`
	}{a.Spec.GitSpec, s.Selects.Labels, a.Spec.Update}
	return s
}
