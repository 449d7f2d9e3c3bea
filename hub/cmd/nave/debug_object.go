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

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/sealed"
)

// debuggedKind is a kind of which "nave debug" shows one object, as "flux debug" does.
type debuggedKind struct {
	word    string
	aliases []string
	shows   string // the flag for what the object reads from others
	what    string // what this is
	from    string // and where it comes from
	example string
	print   func(cmd *cobra.Command, o *api.Object, read []*manifest.Object) error
}

var (
	debuggedRelease = debuggedKind{word: "helmrelease", aliases: []string{"hr", "helmreleases"}, shows: "show-values",
		what: "its merged values", from: "those of spec.valuesFrom, and spec.values over them",
		example: "  nave debug helmrelease podinfo -n apps --cluster prod-1 --show-values\n" +
			"  nave debug helmrelease podinfo -n apps --cluster prod-1 --show-status",
		print: printReleaseValues}
	debuggedKustomization = debuggedKind{word: "kustomization", aliases: []string{"ks", "kustomizations"},
		shows: "show-vars", what: "its variables",
		from:    "NAME=VALUE; those of spec.postBuild.substituteFrom, and spec.postBuild.substitute over them",
		example: "  nave debug kustomization apps --cluster prod-1 --show-vars", print: printVariables}
)

const debugObjectLong = `Show the status of one %s of a cluster, or %s:
%s.

With --%s the ConfigMaps and Secrets are those that the hub released to the cluster. A note on standard error names one
that only the cluster can have, which is left out. Values of Secrets, and encrypted ones, are printed as ***.`

func newDebugObjectCommand(s *session, of debuggedKind) *cobra.Command {
	var computed, status bool
	kind, _ := api.KindByName(of.word)
	cmd := &cobra.Command{
		Use:     of.word + " NAME",
		Aliases: of.aliases,
		Short:   "Show the status of a " + kind.Name + " of a cluster, or " + of.what,
		Long:    fmt.Sprintf(debugObjectLong, kind.Name, of.what, of.from, of.shows),
		Example: of.example,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if computed && s.cluster == "" {
				return usageError("name the cluster with --cluster: --%s differs from one to another", of.shows)
			}
			show := showStatus
			if computed {
				show = of.show
			}
			return s.runKey(show)(cmd, append([]string{of.word}, args...))
		},
	}
	cmd.Flags().BoolVar(&status, "show-status", false, "print its status")
	cmd.Flags().BoolVar(&computed, of.shows, false, "print "+of.what)
	cmd.MarkFlagsOneRequired("show-status", of.shows)
	cmd.MarkFlagsMutuallyExclusive("show-status", of.shows)
	return cmd
}

// showStatus prints the status of an object.
func showStatus(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
	answer, err := client.Get(cmd.Context(), &adminv1.GetRequest{Key: key})
	if err != nil {
		return err
	}
	object, err := decode(answer.GetObject())
	if err != nil {
		return err
	}
	return printIn(cmd.OutOrStdout(), "yaml", object["status"])
}

// show prints what an object reads from others.
func (of debuggedKind) show(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
	answer, err := client.Get(cmd.Context(), &adminv1.GetRequest{Key: key})
	if err != nil {
		return err
	}
	object, err := readmit(answer.GetObject(), api.ClusterGraph)
	if err != nil {
		return err
	}
	view, err := object.Renderable()
	if err != nil {
		return err
	}
	read, err := releasedInputs(cmd.Context(), client, key.GetCluster(), view.Inputs)
	if err != nil {
		return err
	}
	for _, in := range view.Inputs {
		if indexOf(read, in.ID()) < 0 {
			noteTo(cmd)(fmt.Sprintf("%s: %s is left out: nothing that the hub released to cluster %s has it, and only the "+
				"cluster knows whether it exists", in.Field, in, key.GetCluster()))
		}
	}
	return of.print(cmd, object, read)
}

// releasedInputs returns the objects that a renderable reads, as they were released to a cluster.
func releasedInputs(ctx context.Context, client adminv1.AdminServiceClient, cluster string, inputs []api.Input) (
	found []*manifest.Object, err error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	p, err := askPublished(ctx, client, []string{cluster}, false)
	if err != nil {
		return nil, err
	}
	if why := p.unreadable[cluster]; why != "" {
		return nil, fmt.Errorf("the hub cannot read the release of cluster %s: %s", cluster, why)
	}
	reader, apps := newLastReader(client), p.clusters[cluster]
	for _, name := range slices.SortedFunc(maps.Keys(apps), bundle.ApplicationName.Compare) {
		has, err := inputsOf(ctx, reader, apps[name], inputs)
		if err != nil {
			return nil, fmt.Errorf("%s of the hub: %w", name, err)
		}
		found = append(found, has...)
	}
	return found, nil
}

// inputsOf returns the inputs that an Application has.
func inputsOf(ctx context.Context, reader *lastReader, a publishedApplication, inputs []api.Input) (
	found []*manifest.Object, err error) {
	app, err := reader.application(ctx, a)
	if err != nil {
		return nil, err
	}
	for _, reference := range app.Objects {
		if !slices.ContainsFunc(inputs, func(in api.Input) bool { return in.ID() == reference.ID() }) {
			continue
		}
		o := &manifest.Object{}
		data, err := reader.object(ctx, a, reference.Digest)
		if err == nil {
			err = json.Unmarshal(data, &o.Object)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", reference.ID(), err)
		}
		found = append(found, o)
	}
	showTexts(found, app.Substitution)
	return found, nil
}

// indexOf returns the index of the object with an ID; -1 if there is none.
func indexOf(objects []*manifest.Object, id manifest.ID) int {
	return slices.IndexFunc(objects, func(o *manifest.Object) bool { return manifest.IDOf(o) == id })
}

// printReleaseValues prints the merged values of a HelmRelease.
func printReleaseValues(cmd *cobra.Command, o *api.Object, read []*manifest.Object) error {
	m := &manifest.Object{}
	if err := json.Unmarshal(o.JSON, &m.Object); err != nil {
		return err
	}
	release, err := api.NewChartRelease(m)
	if err != nil {
		return err
	}
	build := release.Build
	build.ValuesFrom = slices.DeleteFunc(slices.Clone(build.ValuesFrom), func(v api.ChartValues) bool {
		return indexOf(read, v.ID()) < 0
	})
	if err := build.SetData(read); err != nil {
		return err
	}
	return printMerged(cmd, o.Key, &build)
}

// printVariables prints the variables of a Kustomization in the order of their names.
func printVariables(cmd *cobra.Command, o *api.Object, read []*manifest.Object) error {
	view, err := o.Renderable()
	if err != nil {
		return err
	}
	all := map[string]string{}
	for _, in := range view.Inputs {
		if err := addVariables(all, in, read); err != nil {
			return fmt.Errorf("%s: %w", in.Field, err)
		}
	}
	var build api.Build
	if err := json.Unmarshal(view.Spec, &build); err != nil {
		return err
	}
	maps.Copy(all, build.Substitute)
	return writeVariables(cmd.OutOrStdout(), all)
}

// addVariables adds the variables of one object, if that was read.
func addVariables(all map[string]string, in api.Input, read []*manifest.Object) error {
	at := indexOf(read, in.ID())
	if at < 0 {
		return nil
	}
	data, err := api.DataOf(read[at])
	for name, value := range data {
		if all[name] = value; in.IsSecret() {
			all[name] = reporting.Mask
		}
	}
	return err
}

// writeVariables writes variables as NAME=VALUE, without encrypted values. As in a build, values have no newlines.
func writeVariables(out io.Writer, all map[string]string) (err error) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value := oneLine(strings.ReplaceAll(all[name], "\n", ""))
		if len(sealed.Find(value)) > 0 {
			value = reporting.Mask
		}
		_, line := fmt.Fprintf(out, "%s=%s\n", oneLine(name), value)
		err = errors.Join(err, line)
	}
	return err
}
