package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// clusterChange is a change of some clusters that operators added.
type clusterChange struct {
	agreed      agreement
	selector    selector
	all, dryRun bool
}

func (c *clusterChange) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	addSelector(cmd, &c.selector, "label selector: change the clusters that it selects")
	f.BoolVar(&c.all, "all", false, "change all clusters")
	f.BoolVar(&c.dryRun, "dry-run", false, "print what would change and what that would remove")
	c.agreed.flag(cmd)
}

// choose returns the clusters that the command is about.
func (c *clusterChange) choose(ctx context.Context, client adminv1.AdminServiceClient, names []string) (
	[]map[string]any, error) {
	ways := 0
	for _, given := range []bool{len(names) > 0, c.selector != "", c.all} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return nil, usageError("which clusters? give names, --selector or --all, one of the three")
	}
	chosen, err := chosenClusters(ctx, client, names, c.selector)
	if err == nil && len(chosen) == 0 {
		err = errors.New("no cluster is selected: nave cluster get lists them with -o wide")
	}
	return chosen, err
}

// apply edits the chosen clusters and writes all of them, or none if one of them cannot be changed. verb is printed of
// those that were changed.
func (c *clusterChange) apply(cmd *cobra.Command, client adminv1.AdminServiceClient, names []string, verb string,
	edit func(cluster map[string]any) (changed bool, err error)) error {
	chosen, err := c.choose(cmd.Context(), client, names)
	if err != nil {
		return err
	}
	var before, after []map[string]any
	var lines []string
	for _, was := range chosen {
		now, changed, err := edited(was, edit)
		if err != nil {
			return err
		}
		word := "not " + verb
		if changed {
			before, after, word = append(before, was), append(after, now), verb
		}
		lines = append(lines, oneLine("cluster/"+clusterName(was)+" "+word))
	}
	if err := c.write(cmd, client, before, after); err != nil {
		return err
	}
	suffix := ""
	if c.dryRun {
		suffix = " (dry run)"
	}
	for _, line := range lines {
		fmt.Fprintln(cmd.OutOrStdout(), line+suffix)
	}
	return nil
}

// write applies clusters in place of what they were, if the operator agrees to the objects that this removes.
func (c *clusterChange) write(cmd *cobra.Command, client adminv1.AdminServiceClient,
	before, after []map[string]any) error {
	if len(after) == 0 {
		return nil
	}
	replaces, err := documents(before...)
	if err != nil {
		return err
	}
	manifest, err := documents(after...)
	if err != nil {
		return err
	}
	request := &adminv1.ApplyRequest{Manifest: []byte(manifest), DryRun: c.dryRun}
	if c.dryRun {
		change := &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Apply{Apply: request.GetManifest()}}
		impact, err := client.Impact(cmd.Context(), change)
		if err != nil {
			return err
		}
		if !takesNothing(impact, change) {
			printImpact(cmd.ErrOrStderr(), impact)
		}
	} else if request, err = c.agreed.toApply(cmd, client, request.GetManifest()); err != nil {
		return err
	}
	request.Replaces = []byte(replaces)
	_, err = client.Apply(cmd.Context(), request)
	return err
}

// edited returns a cluster after an edit, and whether the edit changed it.
func edited(cluster map[string]any, edit func(map[string]any) (bool, error)) (now map[string]any, changed bool,
	err error) {
	text, err := json.Marshal(cluster)
	if err == nil {
		err = json.Unmarshal(text, &now)
	}
	if err == nil {
		changed, err = edit(now)
	}
	return now, changed, err
}

func clusterName(cluster map[string]any) string {
	return fmt.Sprint(fieldMap(cluster, "metadata")["name"])
}

// fieldMap returns a map in an object. If there is none, fieldMap adds it.
func fieldMap(object map[string]any, field string) map[string]any {
	m, is := object[field].(map[string]any)
	if !is {
		m = map[string]any{}
		object[field] = m
	}
	return m
}

// assignments are values to set and names to remove: name=value and name-.
type assignments struct {
	set    map[string]string
	remove []string
}

func readAssignments(words []string) (a assignments, err error) {
	a.set = map[string]string{}
	for _, word := range words {
		name, value, sets := strings.Cut(word, "=")
		switch gone, removes := strings.CutSuffix(word, "-"); {
		case sets && name != "":
			a.set[name] = value
		case removes && !sets && gone != "":
			a.remove = append(a.remove, gone)
		default:
			return a, usageError("%q: want name=value, or name- to remove it", word)
		}
	}
	for _, name := range a.remove {
		if _, both := a.set[name]; both {
			return a, usageError("%s cannot be set and removed at once", name)
		}
	}
	return a, nil
}

// isAssignment reports whether a word of a command line is no name of a cluster, which never ends with a hyphen.
func isAssignment(word string) bool {
	return strings.Contains(word, "=") || strings.HasSuffix(word, "-")
}

// to changes a map, and reports whether it did. If a value would be replaced and overwrite is not set, the error names
// it.
func (a assignments) to(values map[string]any, overwrite bool) (changed bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(a.set)) {
		old, has := values[name]
		switch {
		case has && old == a.set[name]:
			continue
		case has && !overwrite:
			return false, fmt.Errorf("%s is %v already: add --overwrite to replace it", name, old)
		}
		values[name], changed = a.set[name], true
	}
	for _, name := range a.remove {
		if _, has := values[name]; has {
			delete(values, name)
			changed = true
		}
	}
	return changed, nil
}

func newClusterLabelCommand(s *session) *cobra.Command {
	var c clusterChange
	var overwrite, list bool
	cmd := &cobra.Command{
		Use:   "label (NAME… | -l SELECTOR | --all) KEY=VALUE… KEY-…",
		Short: "Set and remove labels of clusters that are not in Git",
		Long: `Set and remove labels of clusters, as kubectl label does.

A Fleet that no longer selects a cluster takes away what it gave: the command shows that first and asks. All clusters
are changed, or none. A Cluster in Git is changed there.`,
		Example: "  nave cluster label prod-1 tier=gold canary-\n  nave cluster label -l env=staging ring=1 --overwrite\n" +
			"  nave cluster label prod-1 --list",
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			at := slices.IndexFunc(append(args, "-"), isAssignment)
			if list {
				if at < len(args) {
					return usageError("--list changes nothing: leave it out, or the labels")
				}
				return c.listLabels(cmd, client, args)
			}
			labels, err := readAssignments(args[at:])
			if err == nil && at == len(args) {
				err = usageError("which labels? give key=value to set one, key- to remove one, or --list")
			}
			if err != nil {
				return err
			}
			return c.apply(cmd, client, args[:at], "labeled", func(cluster map[string]any) (bool, error) {
				changed, err := labels.to(fieldMap(fieldMap(cluster, "metadata"), "labels"), overwrite)
				if err != nil {
					err = fmt.Errorf("cluster %s: label %w", clusterName(cluster), err)
				}
				return changed, err
			})
		}),
	}
	c.flags(cmd)
	cmd.Flags().BoolVar(&overwrite, "overwrite", false, "replace labels that have another value")
	cmd.Flags().BoolVar(&list, "list", false, "print the labels")
	return cmd
}

// listLabels prints the labels of clusters, one a line.
func (c *clusterChange) listLabels(cmd *cobra.Command, client adminv1.AdminServiceClient, names []string) error {
	chosen, err := c.choose(cmd.Context(), client, names)
	if err != nil {
		return err
	}
	for _, cluster := range chosen {
		if len(chosen) > 1 {
			fmt.Fprintf(cmd.OutOrStdout(), "cluster/%s:\n", oneLine(clusterName(cluster)))
		}
		printValues(cmd.OutOrStdout(), fieldMap(fieldMap(cluster, "metadata"), "labels"))
	}
	return nil
}

func printValues(out io.Writer, values map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(out, "%s=%s\n", oneLine(name), oneLine(fmt.Sprint(values[name])))
	}
}

func newClusterSetCommand(s *session) *cobra.Command {
	var c clusterChange
	var vars []string
	cmd := &cobra.Command{
		Use:   "set (NAME… | -l SELECTOR | --all) --var NAME=VALUE… --var NAME-…",
		Short: "Set and remove variables of clusters that are not in Git",
		Long: `Set and remove variables of clusters (spec.vars), which the templates of Fleets use.

A Fleet whose root gets another name takes away what the root gave: the command shows that first and asks. All clusters
are changed, or none. A Cluster in Git is changed there.`,
		Example: "  nave cluster set prod-1 --var domain=eu1.example.com --var zone-",
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			values, err := readAssignments(vars)
			if err == nil && len(vars) == 0 {
				err = usageError("which variables? give --var name=value to set one, --var name- to remove one")
			}
			if err != nil {
				return err
			}
			return c.apply(cmd, client, args, "changed", func(cluster map[string]any) (bool, error) {
				return values.to(fieldMap(fieldMap(cluster, "spec"), "vars"), true)
			})
		}),
	}
	c.flags(cmd)
	cmd.Flags().StringArrayVar(&vars, "var", nil, "variable to set, name=value, or to remove, name- (repeatable)")
	return cmd
}
