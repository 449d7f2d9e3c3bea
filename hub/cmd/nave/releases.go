package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// The parts of a chart that are no objects of the Application.
const (
	definitionPart = "definition"
	hookPart       = "hook"
)

// pieceID identifies a piece of an Application. The zero pieceID is the Application itself.
type pieceID struct {
	part string // definitionPart or hookPart; empty: an object of the Application
	manifest.ID
}

// String returns the name for people, in which long names are cut.
func (id pieceID) String() string { return strings.TrimPrefix(id.part+" "+id.ID.String(), " ") }

// isObject reports whether the piece is not the Application itself.
func (id pieceID) isObject() bool { return id != pieceID{} }

// compare orders pieces by their names.
func (id pieceID) compare(other pieceID) int {
	return cmp.Or(strings.Compare(id.part, other.part), strings.Compare(id.ID.String(), other.ID.String()),
		strings.Compare(id.Namespace, other.Namespace), strings.Compare(id.Name, other.Name))
}

// piece is an object that an Application brings: one of its objects or, of a release of Helm, a hook or a definition.
type piece struct {
	bundle.ObjectReference
	same manifest.Digest // equal for versions that differ in generated fields alone
}

// piecesOf returns what an Application brings.
func piecesOf(app *bundle.Application) map[pieceID]piece {
	pieces := map[pieceID]piece{}
	for _, o := range app.Objects {
		pieces[pieceID{"", o.ID()}] = piece{o, o.Digest}
	}
	if app.Release == nil {
		return pieces
	}
	for _, o := range app.Release.CRDs {
		pieces[pieceID{definitionPart, o.ID()}] = piece{o, o.Digest}
	}
	for _, h := range app.Hooks {
		pieces[pieceID{hookPart, h.ID()}] = piece{h.ObjectReference, h.Digest}
	}
	for _, g := range app.Release.Generated {
		id := pieceID{"", g.Object.ID()}
		if g.Hook {
			id.part = hookPart
		}
		if p, ok := pieces[id]; ok {
			p.same = g.Digest
			pieces[id] = p
		}
	}
	return pieces
}

// inOrder returns the objects that an Application brings: the definitions of a chart, the objects, the hooks.
func inOrder(app *bundle.Application) (all []bundle.ObjectReference) {
	if app.Release != nil {
		all = append(all, app.Release.CRDs...)
	}
	all = append(all, app.Objects...)
	for _, h := range app.Hooks {
		all = append(all, h.ObjectReference)
	}
	return all
}

// releaseLines returns the options of a release, one a line. Values are not shown, because they may be those of
// Secrets: the objects show what they do.
func releaseLines(r *bundle.Release) (lines []string) {
	if r == nil {
		return nil
	}
	var chart struct{ Name, Version string }
	_ = json.Unmarshal(r.Chart, &chart) // a chart that cannot be read has no name
	line := func(field string, value any) { lines = append(lines, fmt.Sprintf("%s: %v", field, value)) }
	line("release", r.Namespace+"/"+r.Name)
	line("storageNamespace", r.StorageNamespace)
	line("chart", chart.Name+" "+chart.Version)
	line("values", manifest.DigestOf(r.Values))
	line("maxHistory", r.MaxHistory)
	line("createNamespace", r.CreateNamespace)
	for _, a := range []struct {
		name    string
		options bundle.ReleaseAction
	}{{"install", r.Install}, {"upgrade", r.Upgrade}, {"rollback", r.Rollback}, {"uninstall", r.Uninstall}} {
		lines = append(lines, actionLines(a.name, a.options)...)
	}
	line("test.enable", r.Test.Enable)
	line("test.timeout", r.Test.Timeout)
	line("test.filters", strings.Join(r.Test.Only, ", "))
	line("test.filters.exclude", strings.Join(r.Test.Except, ", "))
	return lines
}

// actionLines returns the options of an action that are not Helm's zero values, as fields of a HelmRelease.
func actionLines(action string, o bundle.ReleaseAction) (lines []string) {
	for _, f := range []struct {
		name  string
		value any
	}{
		{"timeout", o.Timeout}, {"disableHooks", o.DisableHooks}, {"disableWait", o.DisableWait},
		{"disableWaitForJobs", o.DisableWaitForJobs}, {"crds", o.CRDs}, {"disableTakeOwnership", o.KeepOwners},
		{"force", o.Force}, {"cleanupOnFail", o.CleanupOnFail}, {"keepHistory", o.KeepHistory},
		{"deletionPropagation", o.Propagation}, {"remediation.strategy", o.Remediation.Strategy},
		{"remediation.retries", o.Remediation.Retries}, {"strategy.retryInterval", o.Remediation.RetryInterval},
		{"remediation.remediateLastFailure", o.Remediation.RemediateLastFailure},
		{"remediation.ignoreTestFailures", o.Remediation.IgnoreTestFailures},
	} {
		if !reflect.ValueOf(f.value).IsZero() {
			lines = append(lines, fmt.Sprintf("%s.%s: %v", action, f.name, f.value))
		}
	}
	return lines
}
