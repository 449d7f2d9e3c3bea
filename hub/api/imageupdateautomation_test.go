package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
)

// imageUpdate returns an ImageUpdateAutomation with some lines of spec, and with what is required unless they have it.
func imageUpdate(spec string) string {
	for field, line := range map[string]string{
		"interval:": "interval: 3m\n", "sourceRef:": "sourceRef: {kind: GitRepository, name: fleet}\n",
		"git:": "git: {commit: {author: {email: robot@example.com}}}\n",
	} {
		if !strings.Contains(spec, field) {
			spec = line + spec
		}
	}
	return "apiVersion: image.toolkit.fluxcd.io/v1\nkind: ImageUpdateAutomation\nmetadata: {name: auto, namespace: a}\n" +
		"spec:\n  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ")
}

// git returns a spec.git with some fields.
func git(fields string) string {
	return "git: {commit: {author: {email: robot@example.com}}, " + fields + "}"
}

// pullRequest returns a spec.git that proposes what it pushes to a branch.
func pullRequest(branch, fields string) string {
	return git("push: {branch: " + branch + ", pullRequest: {" + fields + "}}")
}

const forge = "provider: github, secretRef: {name: forge}"

func TestAdmit_ImageUpdateAutomation_pullRequest(t *testing.T) {
	const at = "spec.git.push.pullRequest"
	for name, c := range map[string]struct{ spec, field, wayOut string }{
		"no_provider":   {pullRequest("auto", "secretRef: {name: x}"), at + ".provider", "Required"},
		"provider":      {pullRequest("auto", "provider: sourceforge, secretRef: {name: x}"), at + ".provider", "bitbucket-server"},
		"no_secret":     {pullRequest("auto", "provider: github"), at + ".secretRef.name", "Required"},
		"address":       {pullRequest("auto", forge+", address: 'https://a:b@git.example.com'"), at + ".address", "without credentials"},
		"scheme":        {pullRequest("auto", forge+", address: 'ssh://git.example.com'"), at + ".address", "https://git.example.com"},
		"mode":          {pullRequest("auto", forge+", mode: each"), at + ".mode", "perPolicy"},
		"one_branch":    {pullRequest("auto", forge+", mode: perPolicy"), "spec.git.push.branch", "{{.Policy}}"},
		"branch_of_tag": {pullRequest("'a-{{.Tag}}'", forge+", mode: perPolicy"), "spec.git.push.branch", "{{.Policy}}"},
		"branch_field":  {pullRequest("'{{.Policy}}-{{.Image}}'", forge+", mode: perPolicy"), "spec.git.push.branch", "{{.Tag}}"},
		"branch_code":   {pullRequest("'{{.Policy}}-{{range .}}x{{end}}'", forge+", mode: perPolicy"), "spec.git.push.branch", "{{.Tag}}"},
		"branch_name":   {pullRequest("'a..{{.Policy}}'", forge+", mode: perPolicy"), "spec.git.push.branch", "{{.Policy}}"},
		"base":          {pullRequest("auto", forge+", baseBranch: 'a b'"), at + ".baseBranch", "git allows"},
		"label":         {pullRequest("auto", forge+", labels: [a, '']"), at + ".labels[1]", "names"},
		"reviewer":      {pullRequest("auto", forge+", reviewers: [a, a]"), at + ".reviewers[1]", "once"},
		"unknown":       {pullRequest("auto", forge+", automerge: true"), at + ".automerge", "autoMerge"},
		"no_branch":     {git("push: {pullRequest: {" + forge + "}}"), "spec.git.push.branch", "another branch"},
		"same_branch":   {pullRequest("auto", forge+", baseBranch: auto"), "spec.git.push.branch", "another branch"},
		"checkout":      {git("checkout: {ref: {branch: x}}, push: {branch: x, pullRequest: {" + forge + "}}"), "spec.git.push.branch", "another"},
		"refspec":       {git("push: {branch: x, refspec: 'HEAD:y', pullRequest: {" + forge + "}}"), "spec.git.push.refspec", "remove it"},
		"branch_shape":  {pullRequest("'update/{{.Tag}}'", forge), "spec.git.push.branch", "perPolicy"},
		"title":         {pullRequest("auto", forge+", titleTemplate: '{{ .Policy'"), at + ".titleTemplate", "unclosed action"},
		"body":          {pullRequest("auto", forge+", bodyTemplate: '{{ nosuch }}'"), at + ".bodyTemplate", "not defined"},
		"many_labels":   {pullRequest("auto", forge+", labels: ["+strings.Repeat("a, ", 21)+"]"), at + ".labels", "20"},
		"wrong_options": {git("push: {branch: x, options: {a: \"b\\nc\"}}"), "spec.git.push.options[a]", "one line"},
	} {
		t.Run(name, func(t *testing.T) {
			refuse(t, imageUpdate(c.spec), api.Hub, "ImageUpdateAutomation a/auto", c.field, c.wayOut)
		})
	}
	for _, fields := range []string{
		forge, forge + ", mode: single, baseBranch: release, draft: true, autoMerge: true, labels: [a b], reviewers: [org/x]",
		forge + ", address: 'https://git.example.com/api/v3', titleTemplate: a",
		forge + ", bodyTemplate: '{{ range .Changed.Changes }}{{ end }}'",
	} {
		admit(t, imageUpdate(pullRequest("auto", fields)), api.ClusterGraph)
	}
	for _, branch := range []string{"image-update/{{.Policy}}-{{.Tag}}", "{{ .Policy }}"} {
		admit(t, imageUpdate(pullRequest("'"+branch+"'", forge+", mode: perPolicy")), api.Hub)
	}
	p := api.PushSpec{}
	p.Branch = "image-update/{{.Policy}}-{{ .Tag }}"
	if got, err := p.BranchFor("web", "1.2.3"); got != "image-update/web-1.2.3" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := p.BranchFor("web", "1..2"); err == nil || !strings.Contains(err.Error(), "1..2") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAdmit_ImageUpdateAutomation(t *testing.T) {
	for name, c := range map[string]struct{ spec, field, wayOut string }{
		"no_git":      {"git: null", "spec.git", "git.commit.author.email"},
		"no_email":    {"git: {commit: {author: {name: Robot}}}", "spec.git.commit.author.email", "Required"},
		"source_kind": {"sourceRef: {kind: Bucket, name: x}", "spec.sourceRef.kind", "GitRepository"},
		"source_name": {"sourceRef: {kind: GitRepository}", "spec.sourceRef.name", "Required"},
		"selector":    {"policySelector: {matchLabels: {'a b': c}}", "spec.policySelector", "a b"},
		"strategy":    {"update: {strategy: Rewrite}", "spec.update.strategy", "Setters"},
		"path":        {"update: {path: ../x}", "spec.update.path", "leaves the source"},
		"message":     {"git: {commit: {author: {email: a@b}, messageTemplate: '{{ range .Changed.Changes }}'}}", "spec.git.commit.messageTemplate", "unexpected EOF"},
		"key":         {"git: {commit: {author: {email: a@b}, signingKey: {}}}", "spec.git.commit.signingKey.secretRef.name", "Required"},
		"key_type":    {"git: {commit: {author: {email: a@b}, signingKey: {type: x509, secretRef: {name: k}}}}", "spec.git.commit.signingKey.type", "ssh"},
		"branch":      {git("push: {branch: 'a b'}"), "spec.git.push.branch", "git allows"},
		"checkout":    {git("checkout: {ref: {branch: 'a b'}}"), "spec.git.checkout.ref.branch", "git allows"},
		"forced":      {git("push: {refspec: '+HEAD:x'}"), "spec.git.push.refspec", "remove the +"},
		"deletion":    {git("push: {refspec: ':x'}"), "spec.git.push.refspec", "HEAD:refs/for/main"},
		"half":        {git("push: {refspec: 'HEAD:'}"), "spec.git.push.refspec", "HEAD:refs/for/main"},
		"options":     {git("push: {options: {a: \"b\\nc\"}}"), "spec.git.push.options[a]", "one line"},
		"delay":       {"policyChangeDelay: soon", "spec.policyChangeDelay", "duration"},
		"unknown":     {"policyselector: {}", "spec.policyselector", "policySelector"},
	} {
		t.Run(name, func(t *testing.T) {
			refuse(t, imageUpdate(c.spec), api.Hub, "ImageUpdateAutomation a/auto", c.field, c.wayOut)
		})
	}
	for _, spec := range []string{
		"", "suspend: true", "update: {path: ./clusters/prod}", "sourceRef: {name: fleet, namespace: b}",
		"policySelector: {matchExpressions: [{key: a, operator: Exists}]}", "policyChangeDelay: 30s",
		git("push: {branch: image-updates, refspec: 'HEAD:refs/for/main', options: {ci.skip: ''}}"),
		"git: {commit: {author: {email: a@b}, messageTemplate: x, messageTemplateValues: {a: b}, " +
			"signingKey: {type: ssh, secretRef: {name: k}}}}",
	} {
		admit(t, imageUpdate(spec), api.ClusterGraph)
	}
}

func TestImageUpdateAutomation_view(t *testing.T) {
	view := func(spec string) *api.Source {
		t.Helper()
		s, err := admit(t, imageUpdate(spec), api.Hub).Source()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := view("policyChangeDelay: 30s\npolicySelector: {matchLabels: {team: a}}\n" +
		"sourceRef: {kind: GitRepository, name: x, namespace: b}\n" +
		"git: {commit: {author: {email: a@b}, signingKey: {secretRef: {name: k}}}}")
	source := api.Key{Kind: api.GitRepositoryKind, Namespace: "b", Name: "x"}
	if !s.Upstream || !s.Writes || len(s.Inputs) != 1 || s.Inputs[0].Key != source || s.Selects.Delay != 30*time.Second ||
		len(s.Secrets) != 1 || s.Secrets[0].Name != "k" {
		t.Errorf("the view is %+v", s)
	}
	if !s.Selects.Has("ImagePolicy", map[string]string{"team": "a"}) || s.Selects.Has("ImagePolicy", nil) ||
		s.Selects.Has("ImageRepository", map[string]string{"team": "a"}) {
		t.Error("the selector selects others")
	}
	s = view(pullRequest("auto", forge+", address: 'https://git.example.com/api/v3'"))
	if len(s.Secrets) != 1 || s.Secrets[0].Field != api.PullRequestSecret || s.Secrets[0].Name != "forge" ||
		*s.Secrets[0].API != (api.ForgeAPI{Provider: "github", Address: "https://git.example.com/api/v3"}) {
		t.Errorf("the Secrets are %+v", s.Secrets)
	}
	if s = view(""); !s.Selects.Has("ImagePolicy", nil) || s.Inputs[0].Key.Namespace != "a" {
		t.Errorf("the view is %+v", s)
	}
	if view("interval: 1m").FetchKey(false) != view("interval: 2m").FetchKey(false) ||
		view("").FetchKey(false) == view(git("push: {branch: x}")).FetchKey(false) ||
		view(pullRequest("x", forge)).FetchKey(false) == view(git("push: {branch: x}")).FetchKey(false) {
		t.Error("what a run depends on is not what identifies it")
	}
}

// TestImageUpdateAutomation_columns shows the pull requests that are open.
func TestImageUpdateAutomation_columns(t *testing.T) {
	kind, _ := api.KindByName(api.ImageUpdateAutomationKind)
	at := slices.IndexFunc(kind.Columns, func(c api.Column) bool { return c.Name == "PULL REQUESTS" })
	request := func(state, page string) any { return map[string]any{"state": state, "url": page} }
	for want, requests := range map[string][]any{
		"-": nil, "a": {request("open", "a"), request("declined", "b")},
		"a, b, c, and 1 more": {request("open", "a"), request("open", "b"), request("open", "c"), request("open", "d")},
	} {
		object := map[string]any{"status": map[string]any{"pullRequests": requests}}
		if got := kind.Columns[at].Value(object); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
