package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// The numbers of clusters, and of applications of a cluster, that are printed of an impact.
const (
	mostClusters     = 20
	mostApplications = 10
)

// agreement gets the operator's agreement to the objects that a command removes: by --yes, or by an answer on the
// terminal.
type agreement struct{ yes bool }

func (a *agreement) flag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "agree to the removals without being asked")
}

// to prints the objects that a change removes. If the operator agrees, or the change removes no object, the error is
// nil.
func (a *agreement) to(cmd *cobra.Command, client adminv1.AdminServiceClient,
	change *adminv1.ImpactRequest) (*adminv1.ImpactResponse, error) {
	impact, err := client.Impact(cmd.Context(), change)
	if text := status.Convert(err).Message(); status.Code(err) == codes.InvalidArgument &&
		strings.HasPrefix(text, "the change is missing") { // a hub takes a kind of change that is newer for none
		return nil, status.Error(codes.Unimplemented, "it does not know what the change removes")
	}
	if err != nil {
		return nil, err
	}
	return impact, a.toImpact(cmd, impact, change)
}

// announce prints the objects that a change would remove, and that it would be asked about.
func (a *agreement) announce(cmd *cobra.Command, impact *adminv1.ImpactResponse, change *adminv1.ImpactRequest) {
	if !takesNothing(impact, change) {
		printImpact(cmd.ErrOrStderr(), impact)
		fmt.Fprintln(cmd.ErrOrStderr(), "Without --dry-run you are asked whether to go on; --yes agrees")
	}
}

// toImpact is to for a change whose impact is known.
func (a *agreement) toImpact(cmd *cobra.Command, impact *adminv1.ImpactResponse, change *adminv1.ImpactRequest) error {
	if takesNothing(impact, change) {
		return nil
	}
	printImpact(cmd.ErrOrStderr(), impact)
	return a.ask(cmd, "the removals")
}

// ask returns nil if the operator agrees, by --yes or by an answer. what is what to agree to.
func (a *agreement) ask(cmd *cobra.Command, what string) error {
	if a.yes {
		return nil
	}
	if !isTerminal(cmd.InOrStdin()) {
		return usageError("nothing was changed: add --yes to agree to %s", what)
	}
	fmt.Fprint(cmd.ErrOrStderr(), "Go on? [y/N] ")
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && answer == "" {
		return errors.New("nothing was changed: no answer; add --yes to agree without being asked")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}

// seen returns the digest of the impact that the operator has seen. With --yes it returns "", which agrees to the
// impact at the time of the change.
func (a *agreement) seen(impact *adminv1.ImpactResponse) string {
	if a.yes {
		return ""
	}
	return impact.GetDigest()
}

// toDelete deletes an object if the operator agrees to the objects that are removed with it.
func (a *agreement) toDelete(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey) error {
	impact, err := a.to(cmd, client, &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Delete{Delete: key}})
	if err != nil {
		return err
	}
	_, err = client.Delete(cmd.Context(), &adminv1.DeleteRequest{Key: key, Confirmed: true, Digest: a.seen(impact)})
	return err
}

// toDeleteAll deletes objects of the hub at once if the operator agrees to the objects that are removed with them.
func (a *agreement) toDeleteAll(cmd *cobra.Command, client adminv1.AdminServiceClient,
	keys []*adminv1.ObjectKey) error {
	all := &adminv1.ObjectKeys{Keys: keys}
	impact, err := a.to(cmd, client, &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_DeleteAll{DeleteAll: all}})
	if err != nil {
		return err
	}
	_, err = client.Delete(cmd.Context(), &adminv1.DeleteRequest{Keys: keys, Confirmed: true, Digest: a.seen(impact)})
	return err
}

// toApply returns the request to apply a manifest, made of files, if the operator agrees to the objects that this
// removes.
func (a *agreement) toApply(cmd *cobra.Command, client adminv1.AdminServiceClient, manifest []byte,
	files ...*adminv1.ManifestFile) (*adminv1.ApplyRequest, error) {
	change := &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Apply{Apply: manifest}, Files: files}
	impact, err := a.to(cmd, client, change)
	return &adminv1.ApplyRequest{Manifest: manifest, Files: files, Confirmed: true, Digest: a.seen(impact)}, err
}

// isTerminal reports whether in is a terminal, where a person may answer. /dev/null is a character device, too, but no
// terminal.
func isTerminal(in io.Reader) bool {
	f, is := in.(*os.File)
	if !is {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // compared as files, because the name of standard input is always the same
	return err != nil || !os.SameFile(info, null)
}

// takesNothing reports whether a change removes no object, but for those of the hub that the operator named.
func takesNothing(m *adminv1.ImpactResponse, change *adminv1.ImpactRequest) bool {
	named := map[api.Key]bool{keyOf(change.GetDelete()): true}
	for _, key := range change.GetDeleteAll().GetKeys() {
		named[keyOf(key)] = true
	}
	more := slices.ContainsFunc(m.GetHubObjects(), func(gone *adminv1.ObjectKey) bool { return !named[keyOf(gone)] })
	return !more && len(m.GetClusters()) == 0 && len(m.GetUnknown()) == 0 && len(m.GetUsedBy()) == 0
}

// printImpact prints the removed objects: those of the hub, then the applications of each cluster with their objects.
func printImpact(out io.Writer, m *adminv1.ImpactResponse) {
	fmt.Fprintln(out, "This removes:")
	for _, key := range m.GetHubObjects() {
		fmt.Fprintf(out, "  %s\n", show(key))
	}
	if len(m.GetUsedBy()) > 0 {
		var users []string
		for _, key := range m.GetUsedBy() {
			users = append(users, show(key))
		}
		fmt.Fprintf(out, "  it is used by: %s\n", wording.List(users, len(users), mostApplications))
	}
	for i, c := range m.GetClusters() {
		if i == mostClusters {
			fmt.Fprintf(out, "  and of %s more, in all %s\n", wording.Count(len(m.GetClusters())-i, "cluster"),
				total(m.GetClusters()))
			break
		}
		printClusterImpact(out, c)
	}
	for _, key := range m.GetUnknown() {
		fmt.Fprintf(out, "  the objects that %s no longer gives. They are unknown until the hub renders it; if they are "+
			"too many, the hub holds their removal until nave confirm\n", show(key))
	}
}

func printClusterImpact(out io.Writer, c *adminv1.ClusterImpact) {
	if c.GetForgotten() {
		fmt.Fprintf(out, "  cluster %s: with its labels and variables; its spoke is refused from then on. The workloads and "+
			"the spoke keep running there\n", oneLine(c.GetCluster()))
		return
	}
	fmt.Fprintf(out, "  cluster %s: %s\n", oneLine(c.GetCluster()), total([]*adminv1.ClusterImpact{c}))
	for i, a := range c.GetApplications() {
		if i == mostApplications {
			fmt.Fprintf(out, "    and %s more\n", wording.Count(len(c.GetApplications())-i, "application"))
			return
		}
		name := show(&adminv1.ObjectKey{Kind: a.GetKey().GetKind(), Namespace: a.GetKey().GetNamespace(),
			Name: a.GetKey().GetName()})
		fmt.Fprintf(out, "    %s: %s\n", name, fate(a))
		for _, object := range a.GetPruned() {
			fmt.Fprintf(out, "      %s\n", oneLine(object))
		}
	}
}

// fate returns a text with the number of an application's objects, and whether they stay in the cluster or the
// application goes on without them.
func fate(a *adminv1.ApplicationImpact) string {
	objects := wording.Count(int(a.GetObjects()), "object")
	if a.GetObjects() == 0 {
		objects = "no objects"
	}
	if a.GetUnreadable() {
		objects = "an unknown number of objects, because the hub cannot read the Application"
	}
	switch {
	case a.GetOrphaned():
		return objects + ", left in the cluster"
	case len(a.GetPruned()) > 0:
		return "stays, without " + objects
	}
	return objects
}

// total returns a text with the numbers of removed applications and objects. Objects that another application takes
// over, or that are annotated to stay, are not deleted.
func total(clusters []*adminv1.ClusterImpact) string {
	applications, objects, least := 0, 0, ""
	for _, c := range clusters {
		for _, a := range c.GetApplications() {
			if len(a.GetPruned()) == 0 {
				applications++
			}
			if !a.GetOrphaned() {
				objects += int(a.GetObjects())
			}
			if a.GetUnreadable() {
				least = "at least "
			}
		}
	}
	return wording.Count(applications, "application") + " with " + least + wording.Count(objects, "object")
}

func newConfirmCommand(s *session) *cobra.Command {
	var agreed agreement
	cmd := &cobra.Command{
		Use:   "confirm (hub | cluster NAME | KIND NAME --cluster CLUSTER)",
		Short: "Confirm the removals that are held now",
		Long: "Confirm the removals that are held now.\n\n" +
			"When one change by Git would remove more than one change should, the hub or the spoke holds the removal and goes " +
			"on\n" +
			"with everything else. This command shows what is held and, when you agree, lets exactly that pass.",
		Example: "  nave confirm cluster prod-1\n  nave confirm hub\n  nave confirm kustomization apps --cluster " +
			"prod-1",
		Args: cobra.MinimumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if len(args) == 1 && args[0] == "hub" {
				if err := refuse(cmd, "cluster", "namespace"); err != nil {
					return err
				}
				return confirm(cmd, client, &adminv1.ObjectKey{}, agreed)
			}
			key, err := s.key(args)
			if err != nil {
				return err
			}
			if key.GetNamespace() != "" && key.GetCluster() == "" {
				return usageError("name the cluster with --cluster, or confirm the removals of the hub's own objects " +
					"with nave confirm hub")
			}
			return confirm(cmd, client, key, agreed)
		}),
	}
	agreed.flag(cmd)
	return cmd
}

func confirm(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey, agreed agreement) error {
	change := &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Confirm{Confirm: key}}
	impact, err := agreed.to(cmd, client, change)
	if err != nil {
		return elsewhere(cmd.Context(), client, key, err)
	}
	answer, err := client.Confirm(cmd.Context(), &adminv1.ConfirmRequest{Key: key, Digest: impact.GetDigest()})
	if err != nil {
		return elsewhere(cmd.Context(), client, key, err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "✔ confirmed: %s\n", summary(answer.GetImpact()))
	return nil
}

// summary returns a text with the numbers of confirmed objects and applications.
func summary(m *adminv1.ImpactResponse) string {
	text := total(m.GetClusters()) + " on " + wording.Count(len(m.GetClusters()), "cluster")
	if n := len(m.GetHubObjects()); n > 0 {
		text = wording.Count(n, "object") + " of the hub; " + text
	}
	return text
}
