package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func newClusterRotateCommand(s *session) *cobra.Command {
	var agreed agreement
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "End the certificate of a cluster's spoke, and print the Secret that lets the spoke register again",
		Long: `End the certificate of a cluster's spoke at once, for example because it may have leaked, and print a Secret with a new
join token.

Until the Secret is applied in the cluster, the hub refuses the spoke; what runs there stays, and the spoke goes on
repairing it. The spoke takes the token up without a restart and gets a certificate of a new registration. Join tokens
of the cluster that were made before and not used end, too. Labels, variables, plan and history stay. Certificates are
renewed by themselves at half of their life; rotate is not needed for that.`,
		Example: "  nave cluster rotate prod-eu-1 --yes | kubectl --context prod-eu-1 apply -f -",
		Args:    cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			key := &adminv1.ObjectKey{Kind: api.ClusterKind, Name: args[0]}
			if _, err := client.Get(cmd.Context(), &adminv1.GetRequest{Key: key}); err != nil {
				return elsewhere(cmd.Context(), client, key, err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "This ends the certificate of cluster %s: its spoke is refused until the Secret "+
				"that is printed is applied there. What runs there stays.\n", oneLine(args[0]))
			if err := agreed.ask(cmd, "that"); err != nil {
				return err
			}
			join, err := client.CreateJoinToken(cmd.Context(), &adminv1.CreateJoinTokenRequest{Cluster: args[0],
				TtlSeconds: int64(ttl.Seconds()), EndCertificate: true})
			if err != nil {
				return err
			}
			if !join.GetCertificateEnded() {
				return fmt.Errorf("the certificate of cluster %s did not end: %w", args[0], errTooOld("this command"))
			}
			return printToken(cmd.OutOrStdout(), join.GetToken())
		}),
	}
	cmd.Flags().DurationVar(&ttl, "token-ttl", time.Hour, "how long the join token can be used")
	agreed.flag(cmd)
	cmd.Flag("yes").Usage = "agree without being asked"
	return cmd
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
