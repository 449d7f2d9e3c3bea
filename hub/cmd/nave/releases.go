package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// The prefixes of the names of pieces that are no objects of the Application.
const (
	definitionPrefix = "definition "
	hookPrefix       = "hook "
)

// piece is an object that an Application brings: one of its objects or, of a release of Helm, a hook or a definition.
type piece struct {
	bundle.ObjectReference
	same manifest.Digest // equal for versions that differ in generated fields alone
}

// piecesOf returns what an Application brings, by name for people.
func piecesOf(app *bundle.Application) map[string]piece {
	pieces := map[string]piece{}
	for _, o := range app.Objects {
		pieces[o.ID().String()] = piece{o, o.Digest}
	}
	if app.Release == nil {
		return pieces
	}
	for _, o := range app.Release.CRDs {
		pieces[definitionPrefix+o.ID().String()] = piece{o, o.Digest}
	}
	for _, h := range app.Hooks {
		pieces[hookPrefix+h.ID().String()] = piece{h.ObjectReference, h.Digest}
	}
	for _, g := range app.Release.Generated {
		name := g.Object.ID().String()
		if g.Hook {
			name = hookPrefix + name
		}
		if p, ok := pieces[name]; ok {
			p.same = g.Digest
			pieces[name] = p
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
