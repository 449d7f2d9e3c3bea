package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/sealed"
)

// Shape is what the spoke of a cluster answered about a text that the hub cannot read.
type Shape struct {
	Shape   sealed.Shape // empty: there is no such text, or a problem
	Problem string
	Content []byte // changes with a text that only the cluster has
}

// CallError is the error of Input.Shape if a call failed, so that nobody knows whether the cluster answered. All other
// errors say that the spoke cannot be asked, or not yet.
type CallError struct{ Err error }

// Error returns the text of the error of the call.
func (e *CallError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the call.
func (e *CallError) Unwrap() error { return e.Err }

// reasonOfAsking returns the reason of a problem for an error of Input.Shape.
func reasonOfAsking(err error) string {
	if _, failed := errors.AsType[*CallError](err); failed {
		return condition.BuildFailed
	}
	return condition.InputNotReady
}

// shape finds the shape of an entry whose values the hub cannot read: only the cluster has the object, or one encrypted
// text has all values. If the shape is not known, shape notes the question, and returns a problem.
func (p *pass) shape(key api.Key, r *api.Renderable, data *api.InputData, giver *Application) problem {
	q := bundle.ShapeQuestion{
		Reader: key.Application(), ServiceAccount: p.graph.Nodes[key].Confined.AccountOf(r), Kind: data.Kind,
		Name: data.Name, Key: data.Entry, Form: data.Form, Reveal: []string{sealed.RevealAll},
	}
	if giver != nil && !data.Live && p.gaveInside(giver.Key).Same(p.givesInside(key)) {
		if pr := p.askOfGiver(&q, giver); pr.reason != "" {
			return pr
		}
	}
	if p.in.Shape == nil {
		return problem{condition.InputNotReady, fmt.Sprintf("%s: only a hub that has asked the cluster knows the keys of %s",
			data.Field, &q)}
	}
	found, known, err := p.in.Shape(q)
	data.Question, data.Answered, data.Unasked = &q, known, err != nil
	switch {
	case err != nil:
		return problem{reasonOfAsking(err), fmt.Sprintf("%s: %s: %v", data.Field, &q, err)}
	case !known:
		return problem{condition.InputNotReady, fmt.Sprintf("%s: waiting for cluster %s to tell the keys, not the values, "+
			"of %s; its next bundle asks", data.Field, p.in.Cluster, &q)}
	case found.Problem != "":
		return problem{condition.InputUnreadable, fmt.Sprintf("%s: cluster %s cannot read the values: %s", data.Field,
			p.in.Cluster, found.Problem)}
	case len(found.Shape) == 0 && !data.Optional:
		return problem{condition.InputNotReady, fmt.Sprintf("%s: %s, does not exist in cluster %s; waiting for it to be "+
			"created", data.Field, &q, p.in.Cluster)}
	}
	return p.fill(data, q, found)
}

// waitsForAnswer reports whether the spoke was asked, or is going to be asked, for the keys of an input and has not
// answered.
func waitsForAnswer(data *api.InputData) bool {
	return data.Question != nil && !data.Answered && !data.Unasked
}

// askOfGiver completes a question about an object that an Application of the cluster gives.
func (p *pass) askOfGiver(q *bundle.ShapeQuestion, giver *Application) problem {
	id := q.Identity().ID()
	o, err := p.in.Object(*giver, id)
	if err == nil {
		q.Reveal, err = sealed.ReadReveals(o.GetAnnotations()[sealed.RevealAnnotation])
	}
	var canonical []byte
	if err == nil {
		canonical, err = manifest.Canonical(o)
	}
	if err != nil {
		return problem{condition.BuildFailed, fmt.Sprintf("%s from %s: %v", id, giver.Key.Local(), err)}
	}
	q.Giver, q.Object = giver.Key.Application(), manifest.DigestOf(canonical)
	return problem{}
}

// fill sets the values of an input, with placeholders that depend on the question, on the text and on their paths. A
// change of other fields of the object makes no other placeholders, and so no upgrade.
func (p *pass) fill(data *api.InputData, q bundle.ShapeQuestion, found Shape) problem {
	given := ""
	if !q.IsLive() {
		given = data.Data[data.Entry]
	}
	data.Live, data.Data = false, nil
	data.Source = &bundle.ValueSource{Question: q}
	if len(found.Shape) == 0 {
		return problem{}
	}
	data.Source.Shape = manifest.DigestOf(found.Shape)
	data.Types, data.Texts = map[string]string{}, map[string]string{}
	text := fmt.Sprintf("%s %s %x %s", q.EntryID(), data.Source.Shape, found.Content, given)
	tree, err := found.Shape.Fill(func(l sealed.Leaf) string {
		placeholder := string(p.in.Placeholder(text, l.Path))
		data.Source.Values = append(data.Source.Values, bundle.InnerValue{Placeholder: placeholder, Path: l.Path})
		if l.Type != "str" {
			asText := string(p.in.Placeholder(text+" as text", l.Path))
			data.Types[placeholder], data.Texts[placeholder] = l.Type, asText
			data.Source.Values = append(data.Source.Values, bundle.InnerValue{Placeholder: asText, Path: l.Path, Text: true})
		}
		return placeholder
	})
	if err == nil {
		data.Values, err = json.Marshal(tree)
	}
	if err != nil {
		return problem{condition.BuildFailed, fmt.Sprintf("%s: the keys of %s: %v", data.Field, &q, err)}
	}
	return problem{}
}

// readSealed reads the entry of an input from an Application. Encrypted values in it are placeholders of SOPS files. If
// all values are one encrypted text, if the one value may be no text, or if the reader cannot have the files,
// readSealed asks for the shape of the entry.
func (p *pass) readSealed(key api.Key, r *api.Renderable, data *api.InputData, giver *Application) problem {
	if data.Live {
		return p.shape(key, r, data, giver)
	}
	text, exists := data.Data[data.Entry]
	if data.Data = nil; exists {
		data.Data = map[string]string{data.Entry: text}
	}
	isWhole := sealed.Placeholder(strings.TrimSpace(text)).Valid() &&
		(data.Form == bundle.ShapeYAML || data.Form == bundle.ShapeSet && p.isShort(giver, strings.TrimSpace(text)))
	if !isWhole && !p.reveals(data, giver) && p.unseal(key, data, giver).reason == "" {
		return problem{}
	}
	return p.shape(key, r, data, giver)
}

// isShort reports whether a placeholder stands for a value that may be a boolean, a null or a number for helm --set.
func (p *pass) isShort(giver *Application, placeholder string) bool {
	files, _, _ := p.in.Sealed(*giver) // if they cannot be read, unseal fails, too, and the shape is asked for
	return slices.ContainsFunc(files, func(f bundle.SealedFile) bool {
		return slices.ContainsFunc(f.Values, func(v bundle.SealedValue) bool {
			return v.Placeholder == placeholder && v.Short
		})
	})
}

// reveals reports whether an encrypted entry may be revealed as a whole.
func (p *pass) reveals(data *api.InputData, giver *Application) bool {
	if len(placeholdersIn(data.Data)) == 0 {
		return false
	}
	o, err := p.in.Object(*giver, data.ID())
	if err != nil {
		return false
	}
	listed, err := sealed.ReadReveals(o.GetAnnotations()[sealed.RevealAnnotation])
	return err == nil && sealed.Reveals(listed, []string{data.Entry})
}

// addQuestions adds the questions of the pass to the graph: Asked has all, Questions those that are not in an
// Application which was rendered now, and that the spoke can be asked. A bundle with others would be held back. Waiting
// has the readers of those without an answer.
func (p *pass) addQuestions() {
	p.graph.Asked, p.graph.Waiting = map[string]bool{}, map[api.Key]bool{}
	open := map[manifest.Digest]bool{}
	var answered []bundle.ShapeQuestion
	for key, read := range p.readings {
		app := p.apps[key]
		for _, data := range read.inputs {
			if data.Question == nil {
				continue
			}
			id := data.Question.ID()
			p.graph.Asked[id.String()] = true
			if (app == nil || app.Rendered == nil) && !data.Unasked && !open[id] {
				open[id] = true
				if data.Answered {
					answered = append(answered, *data.Question)
				} else {
					p.graph.Questions = append(p.graph.Questions, *data.Question)
				}
			}
			p.graph.Waiting[key] = p.graph.Waiting[key] || waitsForAnswer(&data)
		}
	}
	slices.SortFunc(p.graph.Questions, bundle.CompareQuestions)
	slices.SortFunc(answered, bundle.CompareQuestions)
	p.graph.Questions = append(p.graph.Questions, answered...)
}
