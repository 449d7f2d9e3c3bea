package writeback

import (
	"errors"
	"slices"
	"strings"
	"testing"

	autov1 "github.com/fluxcd/image-automation-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/source/git"
)

func TestPlan(t *testing.T) {
	type ref = sourcev1.GitRepositoryRef
	for name, c := range map[string]struct {
		source   *ref
		checkout *ref
		push     *autov1.PushSpec
		want     string // targets, or an error
	}{
		"default":            {nil, nil, nil, "refs/heads/master"},
		"of_source":          {&ref{Branch: "main"}, nil, nil, "refs/heads/main"},
		"of_automation":      {&ref{Tag: "v1"}, &ref{Branch: "dev"}, nil, "refs/heads/dev"},
		"by_full_name":       {&ref{Name: "refs/heads/main"}, nil, nil, "refs/heads/main"},
		"branch":             {&ref{Branch: "main"}, nil, &autov1.PushSpec{Branch: "auto"}, "refs/heads/auto"},
		"of_a_tag":           {&ref{Tag: "v1"}, nil, &autov1.PushSpec{Branch: "auto"}, "refs/heads/auto"},
		"options_only":       {&ref{Branch: "main"}, nil, &autov1.PushSpec{Options: map[string]string{"a": "b"}}, "refs/heads/main"},
		"refspec":            {&ref{Branch: "main"}, nil, &autov1.PushSpec{Refspec: "HEAD:refs/for/main"}, "refs/for/main"},
		"refspec_of_branch":  {&ref{Branch: "main"}, nil, &autov1.PushSpec{Refspec: "refs/heads/main:refs/heads/auto"}, "refs/heads/auto"},
		"refspec_short":      {&ref{Branch: "main"}, nil, &autov1.PushSpec{Refspec: "main:auto"}, "refs/heads/auto"},
		"refspec_alone":      {&ref{Branch: "main"}, nil, &autov1.PushSpec{Refspec: "main"}, "refs/heads/main"},
		"branch_and_refspec": {&ref{Branch: "main"}, nil, &autov1.PushSpec{Branch: "auto", Refspec: "auto:refs/for/main"}, "refs/for/main refs/heads/auto"},
		"twice":              {&ref{Branch: "main"}, nil, &autov1.PushSpec{Branch: "auto", Refspec: "HEAD:auto"}, "refs/heads/auto"},
		"tag":                {&ref{Tag: "v1"}, nil, nil, "set spec.git.push.branch"},
		"commit":             {&ref{Branch: "main", Commit: "1111111111111111111111111111111111111111"}, nil, nil, "set spec.git.push.branch"},
		"other_refspec":      {&ref{Branch: "main"}, nil, &autov1.PushSpec{Refspec: "dev:auto"}, "write HEAD:auto"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := api.ImageUpdateAutomationSpec{}
			spec.GitSpec = &api.GitSpec{}
			if c.push != nil {
				spec.GitSpec.Push = &api.PushSpec{PushSpec: *c.push}
			}
			if c.checkout != nil {
				spec.GitSpec.Checkout = &autov1.GitCheckoutSpec{Reference: *c.checkout}
			}
			p, err := newPlan(spec, &sourcev1.GitRepository{Spec: sourcev1.GitRepositorySpec{Reference: c.source}})
			if err != nil {
				if !errors.Is(err, source.ErrRequest) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			if got := strings.Join(p.targets, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestDecide(t *testing.T) {
	const main, auto, review = "refs/heads/main", "refs/heads/auto", "refs/for/main"
	head := git.Commit{ID: strings.Repeat("1", 40), Tree: "t1", Committer: "Jo <jo@x>"}
	made := git.Commit{ID: strings.Repeat("2", 40), Tree: "t2", Committer: "Robot <robot@x>",
		Message: "bump\n\nNave-Automation: shop/auto from main@sha1:" + head.ID + "\n"}
	earlier := made
	earlier.ID, earlier.Tree = strings.Repeat("3", 40), "t3"
	of := func(c git.Commit, message string) map[string]git.Commit {
		c.Message = message
		return map[string]git.Commit{auto: c}
	}
	squashed := earlier
	squashed.Committer = "Forge <forge@x>"
	same := git.Commit{ID: strings.Repeat("4", 40), Tree: "t2", Committer: "Jo <jo@x>"}
	theirs := git.Commit{ID: strings.Repeat("5", 40), Tree: "t5", Committer: "Jo <jo@x>", Subject: "by hand"}
	taken := Push{Changes: "c2", Targets: []string{review, auto}}
	for name, c := range map[string]struct {
		targets []string
		now     map[string]git.Commit
		last    Push
		want    []git.Target
		err     string
	}{
		"forward":         {[]string{main}, map[string]git.Commit{main: head}, Push{}, []git.Target{{Reference: main, Old: head.ID}}, ""},
		"new_branch":      {[]string{auto}, nil, Push{}, []git.Target{{Reference: auto}}, ""},
		"own_branch":      {[]string{auto}, map[string]git.Commit{auto: earlier}, Push{}, []git.Target{{Reference: auto, Old: earlier.ID}}, ""},
		"no_trailer":      {[]string{auto}, of(earlier, "bump"), Push{Commit: earlier.ID, Targets: []string{auto}}, nil, "would be lost"},
		"quoted_trailer":  {[]string{auto}, of(earlier, made.Message+"\nRevert it\n"), Push{}, nil, "would be lost"},
		"of_another":      {[]string{auto}, of(earlier, "bump\n\nNave-Automation: shop/b from main@sha1:1\n"), Push{}, nil, "would be lost"},
		"on_the_branch":   {[]string{auto}, of(earlier, "bump\n\nNave-Automation: shop/auto from auto@sha1:1\n"), Push{}, nil, "would be lost"},
		"by_full_name":    {[]string{auto}, of(earlier, "bump\n\nNave-Automation: shop/auto from refs/heads/auto@sha1:1\n"), Push{}, nil, "would be lost"},
		"squashed":        {[]string{auto}, of(squashed, made.Message), Push{}, nil, "would be lost"},
		"on_a_commit":     {[]string{auto}, of(earlier, "bump\n\nNave-Automation: shop/auto from sha1:1\n"), Push{}, []git.Target{{Reference: auto, Old: earlier.ID}}, ""},
		"same_files":      {[]string{auto}, map[string]git.Commit{auto: same}, Push{}, nil, ""},
		"theirs":          {[]string{auto}, map[string]git.Commit{auto: theirs}, Push{}, nil, "would be lost"},
		"deleted_branch":  {[]string{auto}, nil, taken, []git.Target{{Reference: auto}}, ""},
		"review":          {[]string{review}, nil, Push{}, []git.Target{{Reference: review}}, ""},
		"review_again":    {[]string{review}, nil, taken, nil, ""},
		"review_of_other": {[]string{review}, nil, Push{Changes: "c3", Targets: []string{review}}, []git.Target{{Reference: review}}, ""},
		"both":            {[]string{review, auto}, map[string]git.Commit{auto: same}, Push{}, []git.Target{{Reference: review}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decide(c.targets, c.now, head, made, "c2", c.last)
			if c.err != "" {
				if !errors.Is(err, source.ErrRejected) || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v", err)
				}
			} else if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// TestWithTrailer adds the trailer to the block of trailers that a template has made, as git interpret-trailers does.
func TestWithTrailer(t *testing.T) {
	const added = "Nave-Automation: shop/auto from main@sha1:1"
	for message, want := range map[string]string{
		"bump\n":            "bump\n\n" + added,
		"bump: web\n":       "bump: web\n\n" + added,
		"bump\n\nto: 1\nx":  "bump\n\nto: 1\nx\n\n" + added,
		"bump\n\nTicket: 1": "bump\n\nTicket: 1\n" + added,
	} {
		got := withTrailer(message, "shop/auto", "main@sha1:1")
		if automation, from := trailerOf(got + "\n"); got != want || automation != "shop/auto" || from != "main@sha1:1" {
			t.Errorf("%q became %q: %q, %q", message, got, automation, from)
		}
	}
}
