package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/condition"
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

With --output-dir the command ends when the spoke is connected with its new certificate, or with 1 when --timeout is
over or the spoke was offline already. A Secret must be applied first: wait for the spoke then with nave wait cluster
NAME --for=condition=Connected.

Labels, variables, plan and history stay. Certificates are renewed by themselves at half of their life; rotate is not
needed for that.`,
		Example: "  nave cluster rotate prod-1 --yes | kubectl --context prod-1 apply -f -",
		Args:    cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			return s.rotateCluster(cmd, client, args[0], n)
		}),
	}
	cmd.Flags().DurationVar(&n.ttl, "token-ttl", time.Hour, "how long the join token can be used")
	cmd.Flags().StringVar(&n.outputDir, "output-dir", "", "for a spoke that runs as a process of its own: write the "+
		"token into this folder (DIR/token), and print no Secret")
	n.agreed.flag(cmd)
	n.addFlags(cmd)
	cmd.Flag("wait").Usage = "with --output-dir, wait until the spoke is back, at most --timeout"
	cmd.Flag("yes").Usage = "agree without being asked"
	return cmd
}

// newToken has the flags of nave cluster rotate.
type newToken struct {
	waiting
	agreed    agreement
	ttl       time.Duration
	outputDir string
}

// rotateCluster ends the certificate of a cluster's spoke, and prints or writes a join token. If it writes the token,
// it waits until the spoke is back.
func (s *session) rotateCluster(cmd *cobra.Command, client adminv1.AdminServiceClient, name string, n newToken) error {
	ctx, key := cmd.Context(), &adminv1.ObjectKey{Kind: api.ClusterKind, Name: name}
	if err := n.check(cmd); err != nil {
		return err
	}
	if _, err := client.Get(ctx, &adminv1.GetRequest{Key: key}); err != nil {
		return elsewhere(ctx, client, key, err)
	}
	if err := n.ask(cmd, name); err != nil {
		return err
	}
	absent, err := absenceOf(ctx, client, name)
	if err != nil {
		return err
	}
	token, err := n.endCertificate(ctx, client, name)
	switch {
	case err != nil:
		return err
	case n.outputDir == "":
		return printToken(cmd.OutOrStdout(), token)
	}
	if err := writeToken(n.outputDir, token); err != nil || !n.wanted() {
		return err
	}
	if absent != nil && time.Since(absent.since) > reconnects {
		return fmt.Errorf("the token is written, and nothing is awaited: cluster %s %s. Its spoke uses the token when it "+
			"starts", name, absent.state())
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return awaitOutcome(ctx, newProgress(cmd), client, key, isBack)
}

// check checks the flags before anything is changed.
func (n newToken) check(cmd *cobra.Command) error {
	if err := checkTTL(n.ttl); err != nil {
		return err
	}
	if n.outputDir == "" {
		return refuse(cmd, "wait", "no-wait")
	}
	if err := checkOutputDir(n.outputDir); err != nil {
		return usageError("--output-dir: %w; nothing was changed", err)
	}
	return nil
}

// ask asks the operator whether the certificate is to end.
func (n newToken) ask(cmd *cobra.Command, name string) error {
	until := "the Secret that is printed is applied there"
	if n.outputDir != "" {
		until = "it reads the token of --output-dir"
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "This ends the certificate of cluster %s: its spoke is refused until %s. What runs "+
		"there stays.\n", oneLine(name), until)
	return n.agreed.ask(cmd, "that")
}

// endCertificate ends the certificate of a cluster's spoke, and returns a join token.
func (n newToken) endCertificate(ctx context.Context, client adminv1.AdminServiceClient, name string) (string, error) {
	join, err := client.CreateJoinToken(ctx, &adminv1.CreateJoinTokenRequest{Cluster: name,
		TtlSeconds: int64(n.ttl.Seconds()), EndCertificate: true})
	if err == nil && !join.GetCertificateEnded() {
		err = fmt.Errorf("the certificate of cluster %s did not end: %w", name, errTooOld("this command"))
	}
	return join.GetToken(), err
}

// isBack is a check that the spoke of a cluster whose certificate ended has a new one, and is connected with it. The
// end of a certificate takes its expiry out of the status.
func isBack(object map[string]any) (done bool, message string, err error) {
	expires, _, _ := unstructured.NestedString(object, "status", "certificateExpires")
	registered, _, _ := unstructured.NestedString(object, "status", "registeredAt")
	connected := api.FindCondition(object, condition.Connected)
	switch {
	case expires == "":
		return false, "the spoke has not used the new token yet", nil
	case fieldText(connected, "status") != condition.True || fieldText(connected, "lastTransitionTime") < registered:
		return false, "the spoke has its new certificate, and is not connected yet", nil
	}
	return true, "the spoke is connected with its new certificate, which ends at " + expires, nil
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
