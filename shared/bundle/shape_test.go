package bundle

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// liveQuestion is a question about an object of the cluster.
func liveQuestion() ShapeQuestion {
	return ShapeQuestion{Reader: ApplicationName{"HelmRelease", "shop", "web"}, Kind: "Secret", Name: "values",
		Key: "values.yaml", Form: ShapeYAML, Reveal: []string{sealed.RevealAll}}
}

// givenQuestion is a question about an object of another application.
func givenQuestion() ShapeQuestion {
	q := liveQuestion()
	q.Giver, q.Object = ApplicationName{"Kustomization", "flux-system", "apps"}, manifest.DigestOf([]byte("object"))
	q.Reveal, q.ServiceAccount = []string{"auth.enabled", `a\.b`}, "deployer"
	return q
}

func TestQuestions(t *testing.T) {
	b := example()
	b.Questions = []ShapeQuestion{liveQuestion(), givenQuestion()}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	if CompareQuestions(b.Questions[0], b.Questions[1]) > 0 {
		b.Questions[0], b.Questions[1] = b.Questions[1], b.Questions[0]
	}
	if !reflect.DeepEqual(again.Questions, b.Questions) {
		t.Errorf("got %+v", again.Questions)
	}
	if without := again.Features().Without(Shapes); again.Features() == without {
		t.Error("the bundle has no feature")
	}
}

func TestQuestions_refused(t *testing.T) {
	for name, change := range map[string]func(*ShapeQuestion){
		"reader":      func(q *ShapeQuestion) { q.Reader.Name = "" },
		"kind":        func(q *ShapeQuestion) { q.Kind = "Pod" },
		"name":        func(q *ShapeQuestion) { q.Name = "" },
		"key":         func(q *ShapeQuestion) { q.Key = "" },
		"long_key":    func(q *ShapeQuestion) { q.Key = strings.Repeat("k", maxKey+1) },
		"form":        func(q *ShapeQuestion) { q.Form = "toml" },
		"no_object":   func(q *ShapeQuestion) { q.Object = manifest.Digest{} },
		"no_giver":    func(q *ShapeQuestion) { q.Giver = ApplicationName{} },
		"giver":       func(q *ShapeQuestion) { q.Giver.Kind = "" },
		"reveal":      func(q *ShapeQuestion) { q.Reveal = []string{""} },
		"long_reveal": func(q *ShapeQuestion) { q.Reveal = []string{strings.Repeat("r", 1000)} },
	} {
		t.Run(name, func(t *testing.T) {
			b, q := example(), givenQuestion()
			change(&q)
			b.Questions = []ShapeQuestion{q}
			if _, err := b.Encode(); err == nil {
				t.Error("it is accepted")
			}
		})
	}
	b := example()
	b.Questions = []ShapeQuestion{liveQuestion(), liveQuestion()}
	if _, err := b.Encode(); err == nil {
		t.Error("a question is accepted twice")
	}
	m := liveQuestion().message()
	m.Key = "other"
	if _, err := questionOf(m); err == nil {
		t.Error("a question with the id of another one is accepted")
	}
}

func TestValueSources(t *testing.T) {
	placeholder := "a" + sealed.Mark + strings.Repeat("b", sealed.Length-len(sealed.Mark)-1)
	source := ValueSource{Question: liveQuestion(), Shape: manifest.DigestOf([]byte("{}")),
		Values: []InnerValue{{placeholder, []string{"auth", "password"}, true}}}
	app := &Application{Name: source.Question.Reader, DeletionPolicy: MirrorPrune, ValueSources: []ValueSource{source}}
	data, err := app.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeApplication(data)
	if err != nil || !reflect.DeepEqual(again.ValueSources, app.ValueSources) {
		t.Errorf("got %+v, %v", again, err)
	}
	if app.Features() != Shapes {
		t.Errorf("features %q", app.Features())
	}
	for name, change := range map[string]func(*ValueSource){
		"reader":      func(s *ValueSource) { s.Question.Reader.Namespace = "other" },
		"account":     func(s *ValueSource) { s.Question.ServiceAccount = "admin" },
		"no_shape":    func(s *ValueSource) { s.Shape = manifest.Digest{} },
		"placeholder": func(s *ValueSource) { s.Values[0].Placeholder = "hunter2" },
		"twice":       func(s *ValueSource) { s.Values = append(s.Values, s.Values[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			s := source
			s.Values = []InnerValue{source.Values[0]}
			change(&s)
			app.ValueSources = []ValueSource{s}
			if _, err := app.Encode(); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}

// TestFitQuestions keeps a bundle within its limits, however many questions there are.
func TestFitQuestions(t *testing.T) {
	var all []ShapeQuestion
	for i := range 3000 {
		q := givenQuestion()
		q.Name, q.Reveal = fmt.Sprint("secret-", i), []string{strings.Repeat("r", 500)}
		all = append(all, q)
	}
	fit := FitQuestions(all)
	b := example()
	b.Questions = fit
	if _, err := b.Encode(); err != nil || len(fit) < 100 || FitsBundle(b) != nil {
		t.Errorf("%d questions, %v", len(fit), err)
	}
	if len(FitQuestions(all[:3])) != 3 || FitQuestions(nil) != nil {
		t.Error("questions are left out")
	}
}
