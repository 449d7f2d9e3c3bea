package main

import (
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/durable"
)

func newClusterRotateCommand(s *session) *cobra.Command {
	var n newToken
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "End the certificate of a cluster's spoke, and print the Secret that lets the spoke register again",
		Long: `End the certificate of a cluster's spoke at once, for example because it may have leaked, and print a Secret with a new
join token.

Until the Secret is applied in the cluster, or the spoke reads the token that --output-dir has written, the hub refuses
the spoke; what runs there stays, and the spoke goes on repairing it. The spoke takes the token up without a restart and
gets a certificate of a new registration. Join tokens of the cluster that were made before and not used end, too.
Labels, variables, plan and history stay. Certificates are renewed by themselves at half of their life; rotate is not
needed for that.`,
		Example: "  nave cluster rotate prod-1 --yes | kubectl --context prod-1 apply -f -",
		Args:    cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			return rotateCluster(cmd, client, args[0], n)
		}),
	}
	cmd.Flags().DurationVar(&n.ttl, "token-ttl", time.Hour, "how long the join token can be used")
	cmd.Flags().StringVar(&n.outputDir, "output-dir", "", "for a spoke that runs as a process of its own: write the "+
		"token into this folder (DIR/token), and print no Secret")
	n.agreed.flag(cmd)
	cmd.Flag("yes").Usage = "agree without being asked"
	return cmd
}

// newToken has the flags of nave cluster rotate.
type newToken struct {
	agreed    agreement
	ttl       time.Duration
	outputDir string
}

// rotateCluster ends the certificate of a cluster's spoke, and prints or writes a join token.
func rotateCluster(cmd *cobra.Command, client adminv1.AdminServiceClient, name string, n newToken) error {
	ctx, key := cmd.Context(), &adminv1.ObjectKey{Kind: api.ClusterKind, Name: name}
	if err := checkTTL(n.ttl); err != nil {
		return err
	}
	if _, err := client.Get(ctx, &adminv1.GetRequest{Key: key}); err != nil {
		return elsewhere(ctx, client, key, err)
	}
	until := "the Secret that is printed is applied there"
	if n.outputDir != "" {
		if err := checkOutputDir(n.outputDir); err != nil {
			return usageError("--output-dir: %w; nothing was changed", err)
		}
		until = "it reads the token of --output-dir"
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "This ends the certificate of cluster %s: its spoke is refused until %s. What runs "+
		"there stays.\n", oneLine(name), until)
	if err := n.agreed.ask(cmd, "that"); err != nil {
		return err
	}
	join, err := client.CreateJoinToken(ctx, &adminv1.CreateJoinTokenRequest{Cluster: name,
		TtlSeconds: int64(n.ttl.Seconds()), EndCertificate: true})
	if err != nil {
		return err
	}
	if !join.GetCertificateEnded() {
		return fmt.Errorf("the certificate of cluster %s did not end: %w", name, errTooOld("this command"))
	}
	if n.outputDir != "" {
		return writeToken(n.outputDir, join.GetToken())
	}
	return printToken(cmd.OutOrStdout(), join.GetToken())
}

// writeToken writes a join token into dir/token, for the flag --join-token-file of a spoke. Nobody else may read it.
func writeToken(dir, token string) error {
	return durable.WriteFile(filepath.Join(dir, "token"), []byte(token), 0o600)
}

// tokenSecret returns the Secret that gives a spoke its join token.
func tokenSecret(token string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": api.SecretKind, "stringData": map[string]any{"token": token},
		"metadata": map[string]any{"name": "nave-join", "namespace": spokeNamespace}}
}

func printToken(out io.Writer, token string) error {
	text, err := documents(tokenSecret(token))
	fmt.Fprint(out, text)
	return err
}
