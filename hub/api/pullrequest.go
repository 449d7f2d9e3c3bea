package api

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	autov1 "github.com/fluxcd/image-automation-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PullRequestSecret is the field that names the Secret with the token for pull requests.
const PullRequestSecret = "spec.git.push.pullRequest.secretRef"

// PullRequest says how the commits of an ImageUpdateAutomation are proposed.
type PullRequest struct {
	Provider string `json:"provider"`
	// Address is that of the API. If it is empty, it is where the provider has it for the URL of the GitRepository.
	Address string `json:"address,omitempty"`
	// SecretRef names the Secret with the token.
	SecretRef meta.LocalObjectReference `json:"secretRef"`
	// Mode is PullRequestSingle (also if it is empty) or PullRequestPerPolicy. The latter makes Branch a template; see
	// PushSpec.BranchFor.
	Mode string `json:"mode,omitempty"`
	// BaseBranch gets the changes when the request is merged. If it is empty, that is the branch of the checkout.
	BaseBranch string `json:"baseBranch,omitempty"`
	// TitleTemplate and BodyTemplate are templates as that of the commit message, which is used for one that is empty.
	TitleTemplate string   `json:"titleTemplate,omitempty"`
	BodyTemplate  string   `json:"bodyTemplate,omitempty"`
	Labels        []string `json:"labels,omitempty"`
	Reviewers     []string `json:"reviewers,omitempty"`
	Draft         bool     `json:"draft,omitempty"`
	AutoMerge     bool     `json:"autoMerge,omitempty"`
}

// The modes of pull requests.
const (
	PullRequestSingle    = "single"    // one for all changes
	PullRequestPerPolicy = "perPolicy" // one for each policy
)

// PullRequestProviders are the kinds of servers that pull requests are opened on.
var PullRequestProviders = []string{"github", "gitlab", "gitea", "bitbucket", "bitbucket-server", "azuredevops"}

// maxAdorning limits the labels and the reviewers: some servers get a call for each.
const maxAdorning = 20

// checkPullRequest checks how commits are proposed.
func checkPullRequest(g *GitSpec, push *field.Path) field.ErrorList {
	p, path := g.Push.PullRequest, push.Child("pullRequest")
	errs := required(p.Provider, path.Child("provider"), anything)
	errs = append(errs, oneOf(p.Provider, path.Child("provider"), PullRequestProviders...)...)
	errs = append(errs, required(p.SecretRef.Name, path.Child("secretRef", "name"), validation.IsDNS1123Subdomain)...)
	errs = append(errs, optional(p.TitleTemplate, path.Child("titleTemplate"), badTemplate)...)
	errs = append(errs, optional(p.BodyTemplate, path.Child("bodyTemplate"), badTemplate)...)
	errs = append(errs, optional(p.Address, path.Child("address"), badAPI)...)
	errs = append(errs, optional(p.BaseBranch, path.Child("baseBranch"), badReferenceName)...)
	errs = append(errs, checkAdorning(p.Labels, path.Child("labels"))...)
	errs = append(errs, checkAdorning(p.Reviewers, path.Child("reviewers"))...)
	if g.Push.Refspec != "" {
		errs = append(errs, field.Forbidden(push.Child("refspec"), "a pull request is made of push.branch: remove it"))
	}
	errs = append(errs, oneOf(p.Mode, path.Child("mode"), PullRequestSingle, PullRequestPerPolicy)...)
	from := p.BaseBranch
	if c := g.Checkout; c != nil && from == "" {
		from = c.Reference.Branch
	}
	switch branch := push.Child("branch"); {
	case g.Push.Branch == "":
		errs = append(errs, field.Required(branch, "a pull request is made of another branch than it is merged into"))
	case g.Push.Branch == from:
		errs = append(errs, field.Invalid(branch, from, "want another branch than the request is merged into"))
	case p.Mode == PullRequestPerPolicy:
		errs = append(errs, optional(g.Push.Branch, branch, badBranchTemplate)...)
	case strings.Contains(g.Push.Branch, "{{"):
		errs = append(errs, field.Invalid(branch, g.Push.Branch, "want a name; a template needs pullRequest.mode perPolicy"))
	}
	return errs
}

// branchField matches a field of a template of a branch.
var branchField = regexp.MustCompile(`{{\s*\.(Policy|Tag)\s*}}`)

// BranchFor returns the branch for the image that a policy has chosen, if Branch is a template of one for each
// policy. If git does not allow the name, the error says so.
func (p PushSpec) BranchFor(policy, tag string) (string, error) {
	values := map[string]string{"Policy": policy, "Tag": tag}
	branch := branchField.ReplaceAllStringFunc(p.Branch, func(text string) string {
		return values[branchField.FindStringSubmatch(text)[1]]
	})
	if why := badReferenceName(branch); why != nil {
		return "", fmt.Errorf("spec.git.push.branch makes %q of the tag %q: %s", branch, tag, why[0])
	}
	return branch, nil
}

// badBranchTemplate returns the error texts for the template of a branch for each policy.
func badBranchTemplate(text string) []string {
	const want = "want a name with {{.Policy}}, and with {{.Tag}} if each image is to have a branch of its own, such as " +
		"image-update/{{.Policy}}-{{.Tag}}"
	p := PushSpec{PushSpec: autov1.PushSpec{Branch: text}}
	one, err := p.BranchFor("one", "1.0.0")
	other, otherErr := p.BranchFor("other", "1.0.0")
	if err != nil || otherErr != nil || one == other || strings.Contains(one, "{{") {
		return []string{want}
	}
	return nil
}

// badAPI returns the error texts for the address of an API.
func badAPI(address string) []string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		return []string{"want the URL of the API without credentials, such as https://git.example.com/api/v3"}
	}
	return nil
}

// checkAdorning checks labels or reviewers.
func checkAdorning(names []string, path *field.Path) (errs field.ErrorList) {
	if len(names) > maxAdorning {
		errs = append(errs, field.TooMany(path, len(names), maxAdorning))
	}
	for i, name := range names {
		isBad := strings.TrimSpace(name) == "" || strings.ContainsFunc(name, unicode.IsControl)
		if isBad || slices.Contains(names[:i], name) {
			errs = append(errs, field.Invalid(path.Index(i), name, "want names, each once"))
		}
	}
	return errs
}
