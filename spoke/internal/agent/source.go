package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/kube"
)

// source is what a ValueSource is in the cluster now. It holds plaintext.
type source struct {
	data   kube.Data
	text   string
	exists bool // the object and its entry
	values decrypt.Values
	err    error // the values cannot be used
}

// version changes with the object; empty: there is none.
func (s source) version() string { return s.data.UID + "/" + s.data.ResourceVersion }

// givenVersions returns hashes of the sources that other applications give. The placeholders of the others change with
// their texts. If a source cannot be used, givenVersions returns its error.
func (l *loader) givenVersions(ctx context.Context) (versions []string, err error) {
	for i, source := range l.sources {
		q := &l.app.ValueSources[i].Question
		if source.err != nil {
			return nil, source.err
		}
		if q.IsLive() {
			continue
		}
		hash, err := l.hash(ctx, q, source.text)
		if err != nil {
			return nil, err
		}
		versions = append(versions, string(hash))
	}
	return versions, nil
}

// secrets calls each with the values in the entry, or with the whole entry if it cannot be read.
func (s source) secrets(each func(string)) {
	if !s.values.Texts(each) {
		each(s.text)
	}
}

// innerPlace is where a value is.
type innerPlace struct {
	source int
	path   []string
	text   bool // as text
}

func innerPlacesOf(app *bundle.Application) map[sealed.Placeholder]innerPlace {
	if len(app.ValueSources) == 0 {
		return nil
	}
	places := map[sealed.Placeholder]innerPlace{}
	for i, s := range app.ValueSources {
		for _, v := range s.Values {
			places[sealed.Placeholder(v.Placeholder)] = innerPlace{i, v.Path, v.Text}
		}
	}
	return places
}

// staleShape means that an entry has not the keys, types or revealed values that the application was rendered with. An
// application with values of two versions of the entry would be worse than one that waits.
type staleShape struct {
	question bundle.ShapeQuestion
	now      string // what became of the entry
}

func (e *staleShape) Error() string {
	wait := "waiting for the hub to render the application with it"
	if !e.question.IsLive() {
		wait = fmt.Sprintf("waiting for %s to apply it, or for the hub to render the application anew", e.question.Giver)
	}
	return fmt.Sprintf("%s, which values come from (spec.valuesFrom), %s; %s", &e.question, e.now, wait)
}

// needSources reads the sources of values. The caller must not hold memory for objects.
func (l *loader) needSources(ctx context.Context) error {
	if len(l.app.ValueSources) == 0 {
		return nil
	}
	_, err := l.readLive(ctx)
	return err
}

// readSources reads the sources of values with the application's account; the caller holds l.reading. It waits for the
// memory to parse them.
func (l *loader) readSources(ctx context.Context) ([]source, error) {
	if len(l.app.ValueSources) == 0 {
		return nil, nil
	}
	sources, err := l.readTexts(ctx)
	if err != nil {
		return nil, err
	}
	l.sourcesCost = 0
	for _, s := range sources {
		l.sourcesCost += valuesCost(s.text)
	}
	if _, err := l.reserve(ctx); err != nil {
		return nil, err
	}
	first := l.versions == nil
	for i := range sources {
		of := &l.app.ValueSources[i]
		if first {
			l.versions = append(l.versions, sources[i].version())
		} else if l.versions[i] != sources[i].version() {
			sources[i].err = &staleShape{of.Question, "has changed while the application was being applied"}
			continue
		}
		sources[i].parse(of)
		if q := &of.Question; !q.IsLive() && l.appliedAs(q.Giver, q.Identity().ID()) != q.Object {
			sources[i].err = &staleShape{*q, "is not the version that the application was rendered with"}
		} else if sources[i].err != nil {
			l.doubt(*q)
		}
	}
	return sources, nil
}

// readTexts reads the sources of values, each object once, and does not parse them.
func (l *loader) readTexts(ctx context.Context) ([]source, error) {
	sources, read := make([]source, len(l.app.ValueSources)), map[bundle.ObjectIdentity]kube.Data{}
	for i := range sources {
		q := &l.app.ValueSources[i].Question
		data, known := read[q.Identity()]
		if !known {
			var err error
			if data, err = l.data(ctx, q.Identity()); err != nil && kube.ReasonOf(err) != kube.NotFound {
				return nil, fmt.Errorf("values (spec.valuesFrom): %w", err)
			}
			read[q.Identity()] = data
		}
		sources[i].data = data
		sources[i].text, sources[i].exists = data.Values[q.Key]
	}
	return sources, nil
}

// valuesCost returns the memory that the values in a text take.
func valuesCost(text string) int64 {
	if len(text) > decrypt.MaxValuesBytes {
		return 0 // it is refused before it is parsed
	}
	values := min(bundle.SealedFileValues([]byte(text)), decrypt.MaxValues)
	return fileByteCost*int64(len(text)) + fileValueCost*int64(values)
}

// parse reads the values, and compares their shape with the one that the application was rendered with.
func (s *source) parse(of *bundle.ValueSource) {
	q := &of.Question
	if !s.exists {
		if !of.Shape.IsZero() {
			s.err = &staleShape{*q, "does not exist in the cluster"}
		}
		return
	}
	shape, err := s.shape(q)
	switch {
	case of.Shape.IsZero():
		s.err = &staleShape{*q, "did not exist when the application was rendered"}
	case err != nil:
		s.err = &staleShape{*q, "has changed: " + err.Error()}
	case manifest.DigestOf(shape) != of.Shape:
		s.err = &staleShape{*q, "has other keys, types or revealed values than the application was rendered with"}
	}
}

// shape reads the values and returns their shape, with the values that both the question and the annotation of the
// object in the cluster reveal.
func (s *source) shape(q *bundle.ShapeQuestion) (sealed.Shape, error) {
	return shapeOf(q, s.text, s.data.Reveal, &s.values)
}

// shapeOf reads the values of a text and returns their shape. allowed is the annotation of the object.
func shapeOf(q *bundle.ShapeQuestion, text, allowed string, values *decrypt.Values) (sealed.Shape, error) {
	paths, err := sealed.ReadReveals(allowed)
	if err != nil {
		return nil, err
	}
	read, err := decrypt.ReadValues(text, q.Form)
	if err != nil {
		return nil, err
	}
	if values != nil {
		*values = read
	}
	return read.Shape(q.Key, q.Kind == "ConfigMap", revealedBy(q, paths))
}

// revealedBy returns the paths that a question allows among those of an annotation.
func revealedBy(q *bundle.ShapeQuestion, paths []string) (both []string) {
	for _, path := range paths {
		for _, asked := range q.Reveal {
			if asked == path || asked == sealed.RevealAll {
				both = append(both, path)
			}
		}
	}
	return both
}

var errNoInnerValue = errors.New("there is no value where the application was rendered with one")

// innerValue returns a value of a source.
func (l *loader) innerValue(ctx context.Context, at innerPlace) (sealed.Value, error) {
	if err := l.needSources(ctx); err != nil {
		return sealed.Value{}, err
	}
	s := l.sources[at.source]
	if s.err != nil {
		return sealed.Value{}, s.err
	}
	v, ok := s.values.Find(at.path)
	if !ok {
		return v, fmt.Errorf("%s: %w", &l.app.ValueSources[at.source].Question, errNoInnerValue)
	}
	switch {
	case at.text && l.app.ValueSources[at.source].Question.Form == bundle.ShapeYAML:
		v = v.Printed()
	case at.text:
		v = v.AsText()
	}
	return v, nil
}
