package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// How much of a cause is printed, without -o wide.
const (
	shownNames    = 3 // objects
	shownClusters = 5
	shownTexts    = 3 // of those that differ
)

// explainedCause is a cause with its explanations, the oldest first.
type explainedCause struct {
	group    []*adminv1.Explanation
	clusters int  // that the hub has; 0: not known
	all      bool // no list is cut
}

// byCause groups explanations of one cause. A group is where its first member was.
func byCause(explanations []*adminv1.Explanation) (groups [][]*adminv1.Explanation) {
	index := map[string]int{}
	for _, e := range explanations {
		cause := e.GetCause()
		o := e.GetObject()
		if cause == "" { // of an older hub: those that differ only in the cluster and the time
			cause = fmt.Sprintf("%q", append([]string{o.GetKind(), o.GetNamespace(), o.GetName(), e.GetReason(),
				e.GetMessage(), anyCluster(e)}, e.GetWaitsFor()...))
		}
		i, known := index[cause]
		if !known || o.GetCluster() == "" && e.GetCause() == "" {
			i = len(groups)
			index[cause] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], e)
	}
	return groups
}

// print prints the cause as one entry.
func (c explainedCause) print(out io.Writer) {
	e, sign := c.group[0], "✗"
	if isWanted(e) {
		sign = "‖"
	} else if isWarning(e) {
		sign = "⚠"
	}
	fmt.Fprintf(out, "%s %s, for %s: %s\n", sign, c.names(), ageOfTime(e.GetSince()), oneLine(e.GetReason()))
	c.printTexts(out, "", func(e *adminv1.Explanation) string { return briefly(indent(e.GetMessage())) })
	c.printTexts(out, "waits for: ", func(e *adminv1.Explanation) string {
		return oneLine(strings.Join(e.GetWaitsFor(), " → "))
	})
	if affected := c.affected(); affected != "" {
		fmt.Fprintf(out, "    affects %s\n", affected)
	}
	c.printTexts(out, "→ ", func(e *adminv1.Explanation) string {
		if len(c.group) == 1 {
			return indent(e.GetAdvice())
		}
		return indent(anyCluster(e))
	})
}

// printTexts prints the texts of the explanations: one, if all have the same, or each with where it holds.
func (c explainedCause) printTexts(out io.Writer, title string, text func(*adminv1.Explanation) string) {
	var texts []string
	of := map[string]explainedCause{}
	for _, e := range c.group {
		t := text(e)
		if _, known := of[t]; !known {
			texts = append(texts, t)
		}
		of[t] = explainedCause{append(of[t].group, e), 0, c.all}
	}
	for i, t := range texts {
		switch {
		case i == c.most(shownTexts):
			fmt.Fprintf(out, "    %sand %d more: -o wide shows all\n", title, len(texts)-i)
			return
		case t == "":
		case len(texts) == 1:
			fmt.Fprintf(out, "    %s%s\n", title, t)
		default:
			fmt.Fprintf(out, "    %s%s: %s\n", title, of[t].where(len(c.locals()) == 1), t)
		}
	}
}

// most returns how many items of a list are shown.
func (c explainedCause) most(n int) int {
	if c.all {
		return math.MaxInt
	}
	return n
}

// locals returns the names of the objects, without their clusters. Those of Clusters are one, because their names are
// those of the clusters.
func (c explainedCause) locals() (names []string) {
	for _, e := range c.group {
		key := keyOf(e.GetObject())
		name := key.In("").String()
		if key.Role() == api.ClusterRole {
			name = key.Kind
		}
		names = append(names, name)
	}
	return distinct(names)
}

// on returns the clusters of the objects.
func (c explainedCause) on() (clusters []string) {
	for _, e := range c.group {
		switch key := keyOf(e.GetObject()); {
		case key.Role() == api.ClusterRole:
			clusters = append(clusters, key.Name)
		case key.Cluster != "":
			clusters = append(clusters, key.Cluster)
		}
	}
	return distinct(clusters)
}

// list returns the first of some names.
func (c explainedCause) list(names []string, most int) string {
	return oneLine(wording.List(names, len(names), c.most(most)))
}

// names returns the names of the objects, with their clusters and how many of them there are.
func (c explainedCause) names() string {
	first, locals, on := c.group[0].GetObject(), c.locals(), c.on()
	isCluster := keyOf(first).Role() == api.ClusterRole
	switch of := c.clusters; {
	case len(c.group) == 1:
		return show(first)
	case isCluster && of >= len(on):
		return first.GetKind() + " " + c.list(on, shownClusters) + c.count(len(on), of)
	case isCluster:
		return first.GetKind() + " " + c.list(on, shownClusters)
	case len(on) == 0:
		return c.list(locals, shownNames)
	}
	text := c.list(locals, shownNames) + " on " + c.list(on, shownClusters)
	if of := int(c.group[0].GetClusters()); of >= len(on) && len(on) > 1 && len(locals) == 1 { // 0: of an older hub
		text += c.count(len(on), of)
	}
	return text
}

// count returns the end of a list of clusters that says how many of all they are.
func (explainedCause) count(n, of int) string {
	return fmt.Sprintf(": %d of %s", n, wording.Count(of, "cluster"))
}

// where returns for which objects of a cause a text holds: their clusters, if the cause is about one object.
func (c explainedCause) where(oneObject bool) string {
	if oneObject {
		return c.list(c.on(), shownClusters)
	}
	text := c.list(c.locals(), shownNames)
	if on := c.on(); len(on) > 0 {
		text += " on " + c.list(on, shownClusters)
	}
	return text
}

// affected names the objects that the cause affects: the first ones, with their clusters unless these are those of the
// cause.
func (c explainedCause) affected() string {
	var names, fleets, clusters []string
	for _, e := range c.group {
		for _, k := range e.GetAffects() {
			switch key := keyOf(k); key.Role() {
			case api.ClusterRole:
				clusters = append(clusters, key.Name)
			case api.FleetRole:
				fleets = append(fleets, key.String())
			default:
				names, clusters = append(names, key.Local()), append(clusters, key.Cluster)
			}
		}
	}
	names = append(distinct(names), distinct(fleets)...)
	clusters = distinct(clusters)
	text := c.list(names, shownNames)
	switch {
	case len(clusters) == 0 || clusters[0] == "" || slices.Equal(clusters, c.on()):
		return text
	case text == "":
		return "Cluster " + c.list(clusters, shownClusters)
	}
	text += " on " + c.list(clusters, shownClusters)
	if c.clusters >= len(clusters) {
		text += c.count(len(clusters), c.clusters)
	}
	return text
}

// distinct returns names sorted, each once.
func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// anyCluster returns the advice of an explanation with CLUSTER in place of the cluster in its commands.
func anyCluster(e *adminv1.Explanation) string {
	cluster := e.GetObject().GetCluster()
	if key := keyOf(e.GetObject()); key.Role() == api.ClusterRole {
		cluster = key.Name
	}
	if cluster == "" {
		return e.GetAdvice()
	}
	words := strings.Split(e.GetAdvice(), " ")
	for i := 1; i < len(words); i++ {
		if (words[i-1] == "--cluster" || words[i-1] == "cluster") && words[i] == cluster {
			words[i] = "CLUSTER"
		}
	}
	return strings.Join(words, " ")
}
