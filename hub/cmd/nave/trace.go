package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

const traceText = `Trace an object in a cluster, of any kind, to the Kustomization or HelmRelease that gives it, to
its sources and their revisions, and to the commit with its author and subject. If the cluster has an earlier revision
than the source, its commit is told, too: the hub keeps those of the last 20 revisions of a source. If the commit is the
last one that an ImageUpdateAutomation pushed, the automation is named, with the ImagePolicies whose images it wrote.

Without --cluster the object is looked for in all clusters. If several have it from the same place, the clusters are
named together, and where they differ, each; if from different places, --cluster chooses.

The hub tells what the spoke reported: no kubeconfig is needed. A Pod or another object that a controller in the cluster
made is in no inventory: trace its owner, such as the Deployment. If nothing manages the object, the exit code is 4.`

func newTraceCommand(s *session) *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "trace KIND/NAME | KIND NAME",
		Short: "Trace an object in a cluster to what gives it, its source, its revision and its commit",
		Long:  traceText,
		Example: "  nave trace deployment/podinfo -n apps\n  nave trace deployment/web -n web --cluster prod-1\n" +
			"  nave trace deployment.apps/web -n web --cluster prod-1 -o yaml",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			want, err := s.tracedObject(args)
			if err != nil {
				return err
			}
			return s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
				find := (&tracing{client: client, cluster: s.cluster}).trace
				if s.cluster == "" {
					find = (&fleetTracing{client: client}).trace
				}
				found, err := find(cmd.Context(), want)
				if err != nil {
					return err
				}
				if err := found.addAutomations(cmd.Context(), client); err != nil {
					return err
				}
				return p.print(printout{value: found, text: found.print})
			})(cmd, args)
		},
	}
	o.add(cmd)
	return cmd
}

// tracedObject returns the object that arguments and flags name. Its kind may be any word for a kind.
func (s *session) tracedObject(args []string) (id manifest.ID, err error) {
	kind, name, slash := strings.Cut(args[0], "/")
	switch {
	case slash == (len(args) == 2) || kind == "" || slash && name == "":
		return id, usageError("want one object, as KIND/NAME")
	case !slash:
		name = args[1]
	}
	kind, group, _ := strings.Cut(kind, ".")
	return manifest.ID{Kind: kind, Group: group, Namespace: s.namespace, Name: name}, nil
}

// traced is an object and what it comes from.
type traced struct {
	// Clusters have the object, if it was looked for in all of them and several have it.
	Clusters []string `json:"clusters,omitempty"`

	Object  traceStep   `json:"object"`
	GivenBy traceStep   `json:"givenBy"` // the Kustomization or HelmRelease
	Sources []traceStep `json:"sources"`
	Parents []traceStep `json:"parents"` // of GivenBy, up to the Fleet
}

// traceStep is an object on the way.
type traceStep struct {
	Kind       string `json:"kind"`
	Group      string `json:"group,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	Cluster    string `json:"cluster,omitempty"` // empty: an object of the hub
	Path       string `json:"path,omitempty"`
	Chart      string `json:"chart,omitempty"`
	URL        string `json:"url,omitempty"`
	Reference  string `json:"reference,omitempty"`
	Revision   string `json:"revision,omitempty"`
	Author     string `json:"author,omitempty"`
	CommitTime string `json:"commitTime,omitempty"`
	Subject    string `json:"subject,omitempty"`
	Automation string `json:"automation,omitempty"` // that pushed the commit, and its ImagePolicies
	Status     string `json:"status,omitempty"`     // of Ready, or a word of kstatus
	Since      string `json:"since,omitempty"`
	Message    string `json:"message,omitempty"`
}

// print prints an object and what it comes from, as flux trace does.
func (t *traced) print(out io.Writer) error {
	if len(t.Clusters) > 0 {
		fmt.Fprintf(out, "%-15s %s\n", "Clusters:", oneLine(listed(t.Clusters)))
	}
	printStep(out, t.Object, "Object")
	for _, step := range append([]traceStep{t.GivenBy}, t.Sources...) {
		fmt.Fprintln(out, "---")
		printStep(out, step, step.Kind)
	}
	var parents []string
	for _, p := range t.Parents {
		key := api.Key{Cluster: p.Cluster, Kind: p.Kind, Namespace: p.Namespace, Name: p.Name}
		parents = append(parents, oneLine(key.String()))
	}
	if len(parents) > 0 {
		fmt.Fprintln(out, "---")
		fmt.Fprintf(out, "%-15s %s\n", "Given by:", strings.Join(parents, ", of "))
	}
	return nil
}

// printStep prints the fields that a step has.
func printStep(out io.Writer, s traceStep, title string) {
	name := s.Name
	if title == "Object" {
		name = strings.TrimSuffix(s.Kind+"."+s.Group, ".") + "/" + s.Name
	}
	state := s.Status
	if s.Since != "" {
		state += " since " + s.Since
	}
	for _, field := range [][2]string{
		{title + ":", name}, {"Namespace:", s.Namespace}, {"Cluster:", s.Cluster}, {"Path:", s.Path},
		{"Chart:", s.Chart}, {"URL:", s.URL}, {"Reference:", s.Reference}, {"Revision:", s.Revision},
		{"Author:", s.Author}, {"Committed:", s.CommitTime}, {"Subject:", s.Subject},
		{"Automation:", s.Automation}, {"Status:", state}, {"Message:", s.Message},
	} {
		if field[1] != "" {
			fmt.Fprintf(out, "%-15s %s\n", field[0], oneLine(field[1]))
		}
	}
}
