package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/deploy"
	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/durable"
	"github.com/navefleet/nave/shared/identity"
)

func newClusterCommand(s *session) *cobra.Command {
	return refusedExit2(group("cluster", "Add, list, change and remove clusters",
		newClusterAddCommand(s), newClusterGetCommand(s), newClusterLabelCommand(s), newClusterListCommand(s),
		newClusterRemoveCommand(s), newClusterRotateCommand(s), newClusterSetCommand(s),
		newClusterUpgradeCommand(s)))
}

// refusedExit2 makes a command whose objects are made of its arguments, and its subcommands, end with exit code 2 when
// the hub does not accept an object.
func refusedExit2(cmd *cobra.Command) *cobra.Command {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			err := run(cmd, args)
			if statusOf(err).Code() == codes.InvalidArgument {
				return withExit2(err)
			}
			return err
		}
	}
	for _, below := range cmd.Commands() {
		refusedExit2(below)
	}
	return cmd
}

// newCluster holds the flags of "cluster add".
type newCluster struct {
	labels, vars map[string]string
	ttl          time.Duration
	hub, image   string
	replaces     string
	adopt        bool
	outputDir    string
}

func newClusterAddCommand(s *session) *cobra.Command {
	var n newCluster
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Register a cluster and print the manifest that installs its spoke",
		Long: "Register a cluster and print the manifest that installs its spoke.\n\nThe manifest holds a join token that " +
			"works once. If the cluster exists, only a new token is made;\n" +
			"what you changed in the manifest before (such as --policy) must be changed again.\n" +
			"A spoke that is another cluster already refuses the manifest and changes nothing, unless --replace names that " +
			"cluster.\n\nA Cluster that Git gives later under the same name belongs to Git from then on, and its spoke stays " +
			"joined.\nIf such a Cluster leaves Git, --adopt takes it over as it is: its spoke stays joined, and no token is " +
			"made.",
		Example: "  nave cluster add prod-1 --label env=prod | kubectl --context prod-1 apply -f -",
		Args:    cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if n.adopt {
				return adoptCluster(cmd, client, args[0])
			}
			return addCluster(cmd, client, args[0], n)
		}),
	}
	f := cmd.Flags()
	f.StringToStringVar(&n.labels, "label", nil, "label of the cluster, key=value (repeatable)")
	f.StringToStringVar(&n.vars, "var", nil, "variable of the cluster, name=value (repeatable)")
	f.DurationVar(&n.ttl, "token-ttl", time.Hour, "how long the join token can be used")
	f.StringVar(&n.hub, "hub", "", "host:port at which the spoke reaches the hub (default: as the hub advertises)")
	f.StringVar(&n.replaces, "replace", "", "the cluster that the spoke belongs to now: it takes the new name in place "+
		"of this one")
	f.StringVar(&n.image, "image", "", "container image of the spoke (default: as the hub says)")
	f.StringVar(&n.outputDir, "output-dir", "", "for a spoke that runs as a process of its own: write its settings and "+
		"its join token into this folder (DIR/config, DIR/token), and print no manifest")
	cmd.MarkFlagsMutuallyExclusive("output-dir", "image")
	f.BoolVar(&n.adopt, "adopt", false, "take over a Cluster that left Git, as it is, without a new join token")
	for _, other := range []string{"label", "var", "token-ttl", "hub", "replace", "image", "output-dir"} {
		cmd.MarkFlagsMutuallyExclusive("adopt", other)
	}
	return cmd
}

// adoptCluster makes a Cluster that left Git an object of the operators.
func adoptCluster(cmd *cobra.Command, client adminv1.AdminServiceClient, name string) error {
	clusters, err := chosenClusters(cmd.Context(), client, []string{name}, "")
	if err != nil {
		return err
	}
	seen, err := documents(clusters...)
	if err != nil {
		return err
	}
	leaveOwner(clusters)
	manifest, err := documents(clusters...)
	if err != nil {
		return err
	}
	request := &adminv1.ApplyRequest{Manifest: []byte(manifest), Replaces: []byte(seen)}
	answer, err := client.Apply(cmd.Context(), request)
	if err != nil {
		return err
	}
	for _, o := range answer.GetObjects() {
		if o.GetAction() == "unchanged" {
			fmt.Fprintf(cmd.OutOrStdout(), "► cluster %s was the operators' already: nothing changed\n", oneLine(name))
			return nil
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "✔ cluster %s is the operators' now; its spoke stays joined\n", oneLine(name))
	return nil
}

// addCluster registers a cluster if there is none of that name, and prints the manifest of its spoke.
func addCluster(cmd *cobra.Command, client adminv1.AdminServiceClient, name string, n newCluster) error {
	ctx := cmd.Context()
	if err := n.check(); err != nil {
		return err
	}
	_, err := client.Get(ctx, &adminv1.GetRequest{Key: &adminv1.ObjectKey{Kind: api.ClusterKind, Name: name}})
	switch known := status.Code(err) != codes.NotFound; {
	case !known:
		err = createCluster(ctx, client, name, n)
	case err == nil && (len(n.labels) > 0 || len(n.vars) > 0):
		err = fmt.Errorf("cluster %[1]s exists: change its labels and variables where it is defined (in Git, or with nave "+
			"cluster label %[1]s and nave cluster set %[1]s), or call without --label and --var for a new join token", name)
	case err == nil && n.outputDir == "":
		fmt.Fprintf(cmd.ErrOrStderr(), "cluster %s exists: this is a new join token for it. The manifest is as Nave ships "+
			"it: what you changed in it (--policy, --default-service-account, resources …) is not in it, so change it "+
			"again before you apply it\n", oneLine(name))
	}
	if err != nil {
		return err
	}
	join, err := client.CreateJoinToken(ctx, &adminv1.CreateJoinTokenRequest{Cluster: name,
		TtlSeconds: int64(n.ttl.Seconds())})
	if err != nil {
		return err
	}
	settings := joinSettings(name, join, n)
	if n.outputDir != "" {
		return writeJoinSettings(n.outputDir, settings, join.GetToken())
	}
	return printJoinManifest(cmd.OutOrStdout(), settings, join.GetToken(), cmp.Or(n.image, join.GetSpokeImage()))
}

// check returns an error about the flags before the hub makes a token that nobody would get.
func (n newCluster) check() error {
	if err := checkTTL(n.ttl); err != nil {
		return err
	}
	if n.hub != "" {
		if err := identity.CheckAddress(n.hub); err != nil {
			return usageError("--hub: %w", err)
		}
	}
	if n.outputDir != "" {
		if err := checkOutputDir(n.outputDir); err != nil {
			return usageError("--output-dir: %w; the hub was not asked for a token", err)
		}
	}
	return nil
}

// checkTTL returns an error about a --token-ttl with which no spoke could join.
func checkTTL(ttl time.Duration) error {
	if ttl < time.Second {
		return usageError("--token-ttl=%s: want a second or more, such as 1h", ttl)
	}
	return nil
}

// joinSettings returns what a spoke needs to reach and to trust this hub, by the names of its settings.
func joinSettings(name string, join *adminv1.CreateJoinTokenResponse, n newCluster) map[string]string {
	return map[string]string{
		"hub": cmp.Or(n.hub, join.GetHubAddress()), "cluster": name, "trust-domain": join.GetTrustDomain(),
		"ca-pin": join.GetCaPin(), "signing-keys.pem": join.GetSigningKeys(),
		"replaces": n.replaces, // even if empty, to remove an earlier value
	}
}

// writeJoinSettings writes the settings of a spoke that is a process of its own into dir/config, for its flag
// --config-dir, and then the token into dir/token, for --join-token-file. Nobody else may read them, even if they
// replace files that others could read.
func writeJoinSettings(dir string, settings map[string]string, token string) error {
	for name, value := range settings {
		if err := durable.WriteFile(filepath.Join(dir, "config", name), []byte(value), 0o600); err != nil {
			return err
		}
	}
	return writeToken(dir, token)
}

// checkOutputDir returns an error if writeJoinSettings could not write into dir. It makes the folders that are missing.
func checkOutputDir(dir string) error {
	for _, folder := range []string{dir, filepath.Join(dir, "config")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		f, err := os.CreateTemp(folder, ".nave.*")
		if err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func createCluster(ctx context.Context, client adminv1.AdminServiceClient, name string, n newCluster) error {
	spec := map[string]any{}
	if len(n.vars) > 0 {
		spec["vars"] = n.vars
	}
	manifest, err := documents(map[string]any{
		"apiVersion": api.GroupFleet + "/" + api.Version, "kind": api.ClusterKind,
		"metadata": map[string]any{"name": name, "labels": n.labels}, "spec": spec,
	})
	if err != nil {
		return err
	}
	_, err = client.Apply(ctx, &adminv1.ApplyRequest{Manifest: []byte(manifest)})
	return err
}

// imageName is the pattern of image names that may be written into a manifest.
var imageName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)

const spokeNamespace = "nave-system" // as deploy/spoke has it

const defaultImage = "ghcr.io/navefleet/nave-spoke:latest" // as deploy/spoke/deployment.yaml has it

// printJoinManifest prints the manifests of the spoke, with its settings and its join token.
func printJoinManifest(out io.Writer, settings map[string]string, token, image string) error {
	base, err := spokeManifest(image)
	if err != nil {
		return err
	}
	rest, err := documents(
		map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": settings,
			"metadata": map[string]any{"name": "nave-spoke", "namespace": spokeNamespace}},
		tokenSecret(token))
	if err != nil {
		return err
	}
	fmt.Fprint(out, base, rest)
	return nil
}

// spokeManifest returns the manifests of deploy/spoke with an image. If image is "", they keep the default image.
func spokeManifest(image string) (string, error) {
	if image != "" && !imageName.MatchString(image) {
		return "", usageError("%q is not the name of an image: set --image to the image of the spoke", image)
	}
	var all strings.Builder
	for _, file := range []string{"namespace.yaml", "rbac.yaml", "deployment.yaml"} {
		text, err := deploy.Spoke.ReadFile("spoke/" + file)
		if err != nil {
			return "", err
		}
		all.WriteString("---\n" + string(text))
	}
	return strings.ReplaceAll(all.String(), defaultImage, cmp.Or(image, defaultImage)), nil
}

func newClusterListCommand(s *session) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the clusters",
		Args:    cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
			return s.get(cmd, []string{"clusters"}, client, o)
		}),
	}
	o.add(cmd)
	addSelector(cmd, &o.selector, "label selector")
	return cmd
}

func newClusterRemoveCommand(s *session) *cobra.Command {
	var agreed agreement
	cmd := &cobra.Command{
		Use:     "remove NAME",
		Aliases: []string{"rm"},
		Short:   "Remove a cluster: its spoke is refused from then on, and its workloads stay",
		Long: "Forget a cluster, with its labels and variables. Its spoke is refused from then on; what runs there stays, " +
			"and the spoke\n" +
			"goes on repairing it. nave cluster add of the same name takes the cluster back. To take out the spoke as well, " +
			"delete\n" +
			"the namespace nave-system and the ClusterRole and the ClusterRoleBinding nave-spoke in the cluster.",
		Args: cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			key := &adminv1.ObjectKey{Kind: api.ClusterKind, Name: args[0]}
			if err := agreed.toDelete(cmd, client, key); err != nil {
				return elsewhere(cmd.Context(), client, key, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "✔ cluster %s removed\n", args[0])
			return nil
		}),
	}
	agreed.flag(cmd)
	return cmd
}
