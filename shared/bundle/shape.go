package bundle

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// ShapeQuestion asks for the shape of one entry of a ConfigMap or Secret. The object is of the reader's namespace.
type ShapeQuestion struct {
	Reader         ApplicationName `json:"reader"`
	ServiceAccount string          `json:"serviceAccount,omitempty"` // of the reader; empty: the spoke's own rights
	Kind           string          `json:"kind"`                     // ConfigMap or Secret
	Name           string          `json:"name"`
	Key            string          `json:"key"`
	Form           ShapeForm       `json:"form"`
	// Giver is the application of the bundle that lists the object with this digest; zero: the object is read from the
	// cluster.
	Giver  ApplicationName `json:"giver,omitzero"`
	Object manifest.Digest `json:"object,omitzero"`
	// Reveal are the values that may be revealed, if the annotation in the cluster allows it, too.
	Reveal []string `json:"reveal,omitempty"`
}

// ShapeForm is how a text is read.
type ShapeForm string

// The forms of texts.
const (
	ShapeYAML ShapeForm = "yaml" // with a map
	ShapeSet  ShapeForm = "set"  // one value, as helm --set reads it
	ShapeText ShapeForm = "text" // one value
	// ShapeRelease is no form of a text: see ReleaseQuestion.
	ShapeRelease ShapeForm = "release"
)

var shapeForms = map[ShapeForm]bundlev1.ShapeForm{
	ShapeYAML: bundlev1.ShapeForm_SHAPE_FORM_YAML, ShapeSet: bundlev1.ShapeForm_SHAPE_FORM_SET,
	ShapeText: bundlev1.ShapeForm_SHAPE_FORM_TEXT, ShapeRelease: bundlev1.ShapeForm_SHAPE_FORM_RELEASE,
}

// ReleaseQuestion asks what the newest revision of a release of Helm is, whoever made it.
func ReleaseQuestion(reader ApplicationName, account, release, storageNamespace string) ShapeQuestion {
	return ShapeQuestion{Reader: reader, ServiceAccount: account, Kind: "Secret", Name: release, Key: storageNamespace,
		Form: ShapeRelease}
}

// ReleaseAnswer returns the answer to a ReleaseQuestion. For revision 0 it is empty: there is no release.
func ReleaseAnswer(revision int, status string) sealed.Shape {
	if revision == 0 {
		return nil
	}
	number, _ := json.Marshal(revision) // a number and a text: there is no error to have
	word, _ := json.Marshal(status)
	shape, _ := json.Marshal(map[string]string{"revision": "=" + string(number), "status": "=" + string(word)})
	return shape
}

// ReadReleaseAnswer reads a ReleaseAnswer.
func ReadReleaseAnswer(s sealed.Shape) (revision int, status string, err error) {
	if len(s) == 0 {
		return 0, "", nil
	}
	tree, err := s.Fill(func(sealed.Leaf) string { return "" })
	fields, _ := tree.(map[string]any)
	status, named := fields["status"].(string)
	revision, unread := strconv.Atoi(fmt.Sprint(fields["revision"]))
	if err != nil || unread != nil || !named || revision < 1 {
		return 0, "", errors.New("the answer about a release is not understood")
	}
	return revision, status, nil
}

// IsLive reports whether the object is read from the cluster.
func (q *ShapeQuestion) IsLive() bool { return q.Giver == ApplicationName{} }

// ID returns the digest of the question. Equal questions of two clusters have equal IDs.
func (q *ShapeQuestion) ID() manifest.Digest {
	data, _ := json.Marshal(q) // texts only: there is no error to have
	return manifest.DigestOf(data)
}

// EntryID returns the digest of what a question asks for, whatever else is in the object: versions of an object that
// another application gives have equal EntryIDs.
func (q *ShapeQuestion) EntryID() manifest.Digest {
	entry := *q
	entry.Object = manifest.Digest{}
	return entry.ID()
}

// Identity returns the identity of the object.
func (q *ShapeQuestion) Identity() ObjectIdentity {
	return ObjectIdentity{Version: "v1", Kind: q.Kind, Namespace: q.Reader.Namespace, Name: q.Name}
}

// String returns "Kind namespace/name, key KEY".
func (q *ShapeQuestion) String() string { return q.Identity().ID().String() + ", key " + q.Key }

// ValueSource is one entry of a ConfigMap or Secret whose values stand in the objects of an application as
// placeholders. The spoke reads the object from the cluster.
type ValueSource struct {
	Question ShapeQuestion
	// Shape is the digest of the shape that the application was rendered with; zero: there was no such object or key.
	Shape  manifest.Digest
	Values []InnerValue
}

// InnerValue is one value of a ValueSource.
type InnerValue struct {
	Placeholder string
	Path        []string // map keys, and list indexes in decimal; empty: the text is one value
	Text        bool     // it is put in as text, whatever its type is
}

// Limits of questions.
const (
	maxQuestions     = 500
	maxQuestionBytes = 128 << 10 // of all
	maxSources       = 100
	maxKey           = 253 // bytes of a key of a ConfigMap or Secret
)

// CompareQuestions orders questions by their IDs.
func CompareQuestions(a, b ShapeQuestion) int {
	return a.ID().Compare(b.ID())
}

// FitQuestions returns the first of the questions, as many as a bundle may have, sorted.
func FitQuestions(all []ShapeQuestion) (fit []ShapeQuestion) {
	size := 0
	for _, q := range all[:min(len(all), maxQuestions)] {
		if size += proto.Size(q.message()) + 8; size > maxQuestionBytes {
			break
		}
		fit = append(fit, q)
	}
	slices.SortFunc(fit, CompareQuestions)
	return fit
}

// SameQuestions reports whether two sorted lists of questions are equal.
func SameQuestions(a, b []ShapeQuestion) bool {
	return slices.EqualFunc(a, b, func(a, b ShapeQuestion) bool { return a.ID() == b.ID() })
}

// checkQuestions returns an error unless the questions are complete and sorted, each once.
func (b *Bundle) checkQuestions() error {
	if err := fits("the bundle", "questions", len(b.Questions), maxQuestions); err != nil {
		return err
	}
	for i, q := range b.Questions {
		if err := q.check(); err != nil {
			return fmt.Errorf("questions[%d]: %w", i, err)
		}
		if i > 0 && CompareQuestions(b.Questions[i-1], q) >= 0 {
			return fmt.Errorf("questions[%d]: %s is listed twice or out of order", i, &q)
		}
	}
	return nil
}

func (q *ShapeQuestion) check() error {
	if err := q.Reader.check(); err != nil {
		return fmt.Errorf("reader: %w", err)
	}
	_, known := shapeForms[q.Form]
	switch {
	case q.Kind != "ConfigMap" && q.Kind != "Secret" || q.Name == "":
		return errors.New("want the name of a ConfigMap or Secret")
	case q.Key == "" || len(q.Key) > maxKey:
		return fmt.Errorf("%s: want a key of 1 to %d bytes", q.Identity().ID(), maxKey)
	case !known:
		return fmt.Errorf("%s: form %.64q is not known", q, q.Form)
	case q.IsLive() != q.Object.IsZero():
		return fmt.Errorf("%s: want a giver and the digest of its object, or neither", q)
	case !q.IsLive():
		if err := q.Giver.check(); err != nil {
			return fmt.Errorf("giver: %w", err)
		}
	}
	if err := sealed.CheckReveals(q.Reveal); err != nil {
		return fmt.Errorf("%s: %w", q, err)
	}
	return nil
}

// checkValueSources returns an error unless the sources are questions of this application, and each placeholder stands
// for one value. An object of another namespace would be read with the rights of this application's account.
func (a *Application) checkValueSources() error {
	if len(a.ValueSources) == 0 {
		return nil
	}
	if err := fits("the application", "value sources", len(a.ValueSources), maxSources); err != nil {
		return err
	}
	seen := a.placeholders()
	for i, s := range a.ValueSources {
		if err := cmp.Or(s.Question.check(), s.check(a)); err != nil {
			return fmt.Errorf("value sources[%d]: %w", i, err)
		}
		for _, v := range s.Values {
			if !sealed.Placeholder(v.Placeholder).Valid() || seen[v.Placeholder] {
				return fmt.Errorf("value sources[%d]: placeholder %q is malformed, or listed twice", i, v.Placeholder)
			}
			seen[v.Placeholder] = true
		}
	}
	return nil
}

func (s *ValueSource) check(a *Application) error {
	switch {
	case s.Question.Form == ShapeRelease:
		return fmt.Errorf("%s: a release has no values", &s.Question)
	case s.Question.Reader != a.Name || s.Question.ServiceAccount != a.ServiceAccount:
		return fmt.Errorf("%s: asked for another application", &s.Question)
	case s.Shape.IsZero() && len(s.Values) > 0:
		return fmt.Errorf("%s: values without a shape", &s.Question)
	}
	return fits(s.Question.String(), "values", len(s.Values), 2*sealed.MaxShapeValues)
}

// placeholders returns the placeholders of sealed files and of texts with variables.
func (a *Application) placeholders() map[string]bool {
	all := map[string]bool{}
	for _, f := range a.SealedFiles {
		for _, v := range f.Values {
			all[v.Placeholder] = true
		}
	}
	if a.Substitution != nil {
		for _, e := range a.Substitution.Expressions {
			all[e.Placeholder] = true
		}
	}
	return all
}

// Reads returns the objects of the cluster that the application reads: sources of variables and of values.
func (a *Application) Reads() (objects []ObjectIdentity) {
	for _, source := range a.Substitution.Live() {
		objects = append(objects, source.Identity())
	}
	for i := range a.ValueSources {
		objects = append(objects, a.ValueSources[i].Question.Identity())
	}
	return objects
}

func (q ShapeQuestion) message() *bundlev1.ShapeQuestion {
	id := q.ID()
	m := &bundlev1.ShapeQuestion{Id: id[:], Reader: q.Reader.Message(), ServiceAccount: q.ServiceAccount, Kind: q.Kind,
		Name: q.Name, Key: q.Key, Form: shapeForms[q.Form], Reveal: q.Reveal}
	if !q.IsLive() {
		m.Giver, m.Object = q.Giver.Message(), q.Object[:]
	}
	return m
}

func (s ValueSource) message() *bundlev1.ValueSource {
	m := &bundlev1.ValueSource{Question: s.Question.message()}
	if !s.Shape.IsZero() {
		m.Shape = s.Shape[:]
	}
	for _, v := range s.Values {
		m.Values = append(m.Values, &bundlev1.InnerValue{Placeholder: v.Placeholder, Path: v.Path, Text: v.Text})
	}
	return m
}

// questionOf returns the question of a message. The ID of the message must be that of the question.
func questionOf(m *bundlev1.ShapeQuestion) (q ShapeQuestion, err error) {
	q = ShapeQuestion{Reader: NameFrom(m.GetReader()), ServiceAccount: m.GetServiceAccount(), Kind: m.GetKind(),
		Name: m.GetName(), Key: m.GetKey(), Form: wordOf(shapeForms, m.GetForm()), Reveal: m.GetReveal()}
	if m.GetGiver() != nil {
		q.Giver = NameFrom(m.GetGiver())
		if q.Object, err = manifest.DigestFromBytes(m.GetObject()); err != nil {
			return q, fmt.Errorf("object: %w", err)
		}
	}
	if id := q.ID(); !slices.Equal(id[:], m.GetId()) {
		return q, errors.New("the id is not that of the question")
	}
	return q, nil
}

func sourceOf(m *bundlev1.ValueSource) (s ValueSource, err error) {
	if s.Question, err = questionOf(m.GetQuestion()); err != nil {
		return s, err
	}
	if len(m.GetShape()) > 0 {
		if s.Shape, err = manifest.DigestFromBytes(m.GetShape()); err != nil {
			return s, fmt.Errorf("shape: %w", err)
		}
	}
	for _, v := range m.GetValues() {
		s.Values = append(s.Values, InnerValue{v.GetPlaceholder(), v.GetPath(), v.GetText()})
	}
	return s, nil
}

// convertAll returns the results of fn for the items of a list, or the first error, after the name of the list.
func convertAll[From, To any](name string, list []From, fn func(From) (To, error)) (all []To, err error) {
	for i, item := range list {
		to, err := fn(item)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", name, i, err)
		}
		all = append(all, to)
	}
	return all, nil
}
