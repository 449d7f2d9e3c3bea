package api_test

import (
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

func TestAdmit_ImageUpdateAutomation(t *testing.T) {
	for name, c := range map[string]struct{ spec, field, wayOut string }{
		"no_git":      {"git: null", "spec.git", "git.commit.author.email"},
		"no_email":    {"git: {commit: {author: {name: Robot}}}", "spec.git.commit.author.email", "Required"},
		"source_kind": {"sourceRef: {kind: Bucket, name: x}", "spec.sourceRef.kind", "GitRepository"},
		"source_name": {"sourceRef: {kind: GitRepository}", "spec.sourceRef.name", "Required"},
		"selector":    {"policySelector: {matchLabels: {'a b': c}}", "spec.policySelector", "a b"},
		"strategy":    {"update: {strategy: Rewrite}", "spec.update.strategy", "Setters"},
		"path":        {"update: {path: ../x}", "spec.update.path", "leaves the source"},
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
	if s = view(""); !s.Selects.Has("ImagePolicy", nil) || s.Inputs[0].Key.Namespace != "a" {
		t.Errorf("the view is %+v", s)
	}
	if view("interval: 1m").FetchKey(false) != view("interval: 2m").FetchKey(false) ||
		view("").FetchKey(false) == view(git("push: {branch: x}")).FetchKey(false) {
		t.Error("what a run depends on is not what identifies it")
	}
}
