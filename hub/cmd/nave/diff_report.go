package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/navefleet/nave/shared/manifest"
)

// diffReport is what nave diff prints as JSON or YAML. Its field names are stable.
type diffReport struct {
	Clusters    int           `json:"clusters"` // that were compared
	Groups      []reportGroup `json:"groups"`
	NotRendered []reportNote  `json:"notRendered,omitempty"`
	NotAsked    []reportNote  `json:"notAsked,omitempty"`
	NotCompared []reportNote  `json:"notCompared,omitempty"`
	NotValid    []reportNote  `json:"notValid,omitempty"` // with --validate
}

// reportGroup has changes of the same clusters.
type reportGroup struct {
	Clusters []string       `json:"clusters"`
	Held     string         `json:"held,omitempty"` // why the changes do not reach the clusters
	Changes  []reportChange `json:"changes"`
}

// reportChange is one change of an object of a Kustomization, or of the Kustomization itself.
type reportChange struct {
	Application manifest.ID  `json:"application"`
	Object      *manifest.ID `json:"object,omitempty"` // missing: the application itself
	Part        string       `json:"part,omitempty"`   // hook or definition: the object is one of a chart
	Action      string       `json:"action"`
	Diff        string       `json:"diff,omitempty"`    // unified
	Message     string       `json:"message,omitempty"` // of the application itself
}

// reportNote says something about clusters.
type reportNote struct {
	Clusters []string `json:"clusters"`
	Message  string   `json:"message"`
}

// actions are the stable names of verbs.
var actions = map[verb]string{added: "added", changed: "changed", deleted: "deleted", left: "left", same: "unchanged",
	removed: "removed", recreated: "recreated", refused: "refused", unlisted: "unlisted"}

// report returns the comparison for machines.
func (c *comparison) report() diffReport {
	r := diffReport{Clusters: c.clusters, Groups: []reportGroup{}, NotRendered: notes(c.problems),
		NotAsked: notes(c.unasked), NotCompared: notes(c.notCompared())}
	if c.check != nil {
		wrong := map[string][]string{}
		for at, clusters := range c.check.wrong {
			wrong[at.text] = append(wrong[at.text], clusters...)
		}
		r.NotValid = notes(wrong)
	}
	for _, g := range c.groups() {
		group := reportGroup{Clusters: g.clusters, Held: g.held}
		for _, x := range g.changes {
			group.Changes = append(group.Changes, x.report())
		}
		r.Groups = append(r.Groups, group)
	}
	return r
}

func (x change) report() reportChange {
	r := reportChange{Application: idOf(x.application), Action: actions[x.verb], Diff: x.text}
	if x.object.isObject() {
		r.Part, r.Object = x.object.part, &x.object.ID
	} else if x.verb != changed {
		r.Diff, r.Message = "", x.text
	}
	return r
}

// idOf returns the ID with a text, as ID.String gives it.
func idOf(text string) manifest.ID {
	kind, name, _ := strings.Cut(text, " ")
	id := manifest.ID{Name: name}
	id.Kind, id.Group, _ = strings.Cut(kind, ".")
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		id.Namespace, id.Name = namespace, rest
	}
	return id
}

// notes returns texts with their clusters, sorted.
func notes(texts map[string][]string) (list []reportNote) {
	for _, text := range slices.Sorted(maps.Keys(texts)) {
		list = append(list, reportNote{slices.Compact(slices.Sorted(slices.Values(texts[text]))), text})
	}
	return list
}
