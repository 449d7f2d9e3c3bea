package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/navefleet/nave/hub/operatorconfig"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/wording"
)

const operatorLong = `List the operators of the hub, add others, change what they may do, and end their certificates.

Each operator has one role:

  read-only  see objects, events, logs and the audit log
  operate    also act on what is there: reconcile, suspend, roll back, pin, confirm removals, control rollouts
  admin      also change objects and credentials, and add clusters and operators

With --selector the role holds for the clusters with these labels only. Such an operator does not see other clusters,
and neither sees nor changes the hub's own objects: sources, Fleets, credentials, rollouts and operators.

An operator whose certificate was made with nave-hub operator-config is an admin until its role is set. Changes have
effect at once, also on commands that are running. Nobody can change the own role, or revoke the certificate that the
command uses, so that an admin is always left; who has the hub's data folder can make one with nave-hub operator-config.`

func newOperatorCommand(s *session) *cobra.Command {
	cmd := group("operator", "List, add, change and remove operators, and revoke their certificates",
		newOperatorListCommand(s), newOperatorAddCommand(s), newOperatorSetCommand(s), newOperatorRemoveCommand(s),
		newOperatorRevokeCommand(s))
	cmd.Long = operatorLong
	return cmd
}

func newOperatorListCommand(s *session) *cobra.Command {
	var f outputFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the operators, their roles, and their certificates that the hub issued or has seen",
		Args:  cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
			p, err := f.printer(cmd)
			if err != nil {
				return err
			}
			answer, err := client.ListOperators(cmd.Context(), &adminv1.ListOperatorsRequest{})
			if err != nil {
				return err
			}
			return p.print(printoutOfOperators(answer.GetOperators()))
		}),
	}
	f.add(cmd)
	return cmd
}

// printedOperator is an operator as it is printed as JSON or YAML. Its field names are stable.
type printedOperator struct {
	Kind         string               `json:"kind"`
	Name         string               `json:"name"`
	Role         string               `json:"role"`
	Selector     string               `json:"selector,omitempty"`
	Certificates []printedCertificate `json:"certificates,omitempty"`
}

type printedCertificate struct {
	Serial    string `json:"serial"`
	IssuedAt  string `json:"issuedAt"`
	ExpiresAt string `json:"expiresAt"`
	IssuedBy  string `json:"issuedBy,omitempty"`
	RevokedAt string `json:"revokedAt,omitempty"`
	RevokedBy string `json:"revokedBy,omitempty"`
}

// printoutOfOperators returns operators as a List, and as a table with a row for each certificate.
func printoutOfOperators(operators []*adminv1.Operator) printout {
	items := make([]any, len(operators))
	var rows [][]string
	for i, o := range operators {
		p := printedOperator{Kind: "Operator", Name: o.GetName(), Role: o.GetRole(), Selector: o.GetSelector()}
		begin := []string{p.Name, p.Role, cmp.Or(p.Selector, "<all>")}
		for _, c := range o.GetCertificates() {
			one := printedCertificate{Serial: c.GetSerial(), IssuedAt: wording.Time(c.GetIssuedAt().AsTime()),
				ExpiresAt: wording.Time(c.GetExpiresAt().AsTime()), IssuedBy: c.GetIssuedBy(), RevokedBy: c.GetRevokedBy()}
			revoked := "-"
			if c.GetRevokedAt() != nil {
				one.RevokedAt = wording.Time(c.GetRevokedAt().AsTime())
				revoked = one.RevokedAt
			}
			p.Certificates = append(p.Certificates, one)
			rows = append(rows, append(begin[:3:3], one.Serial, one.ExpiresAt, revoked))
		}
		if len(p.Certificates) == 0 {
			rows = append(rows, append(begin[:3:3], "-", "-", "-"))
		}
		items[i] = p
	}
	return printout{value: listOf(items), items: items, table: table{
		[]string{"NAME", "ROLE", "CLUSTERS", "CERTIFICATE", "EXPIRES", "REVOKED"}, rows}}
}

// operatorRole has the flags about what an operator may do.
type operatorRole struct{ role, selector string }

func (r *operatorRole) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.role, "role", "", "read-only, operate or admin")
	cmd.Flags().StringVarP(&r.selector, "selector", "l", "", "labels of the clusters for which the role holds, as with "+
		"kubectl, such as env=prod (default: all, and the hub's own objects)")
}

// check returns an error about flags that give more than they seem to: an empty selector selects everything.
func (r *operatorRole) check(cmd *cobra.Command) error {
	if cmd.Flags().Changed("selector") && r.selector == "" {
		return usageError("--selector is empty, which would mean all clusters and the hub: name labels, or leave it out")
	}
	return nil
}

func newOperatorAddCommand(s *session) *cobra.Command {
	var r operatorRole
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Print a configuration for nave with a certificate of a new operator, or another one of one that exists",
		Long: "Print a configuration for nave with a certificate of a new operator. Without --role it is another " +
			"certificate of an operator that exists.\n" +
			"The private key is made here and never sent to the hub. Give the output to the operator over a channel that " +
			"nobody else reads.",
		Example: "  nave operator add alice --role operate --selector env=prod > alice.yaml\n" +
			"  nave operator add alice > alice-laptop.yaml",
		Args: cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if err := r.check(cmd); err != nil {
				return err
			}
			if r.selector != "" && r.role == "" {
				return usageError("--selector needs --role; to change an operator that exists: nave operator set")
			}
			config, err := s.addOperator(cmd.Context(), client, &adminv1.AddOperatorRequest{Name: args[0], Role: r.role,
				Selector: r.selector, TtlSeconds: int64(ttl / time.Second)})
			if err != nil {
				return err
			}
			text, err := yaml.Marshal(config)
			if err != nil {
				return fmt.Errorf("print the configuration: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		}),
	}
	r.flags(cmd)
	cmd.Flags().DurationVar(&ttl, "ttl", 365*24*time.Hour, "how long the certificate is valid")
	return cmd
}

// addOperator makes a key, and returns a configuration with the certificate that the hub issues for it.
func (s *session) addOperator(ctx context.Context, client adminv1.AdminServiceClient, r *adminv1.AddOperatorRequest) (
	*operatorconfig.Config, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if r.Csr, err = identity.NewCSR(key); err != nil {
		return nil, err
	}
	keyPEM, err := identity.MarshalKey(key)
	if err != nil {
		return nil, err
	}
	answer, err := client.AddOperator(ctx, r)
	if err != nil {
		return nil, err
	}
	return &operatorconfig.Config{CurrentContext: s.operator.Name, Contexts: []operatorconfig.Context{{
		Name: s.operator.Name, Hub: s.operator.Hub, CertificateAuthorityData: s.operator.CertificateAuthorityData,
		ClientCertificateData: answer.GetCertificate(), ClientKeyData: keyPEM,
	}}}, nil
}

func newOperatorSetCommand(s *session) *cobra.Command {
	var r operatorRole
	cmd := &cobra.Command{
		Use:     "set NAME --role ROLE",
		Short:   "Change the role of an operator, at once",
		Long:    "Change the role of an operator, at once. Without --selector the role holds for all clusters and the hub.",
		Example: "  nave operator set alice --role read-only\n  nave operator set alice --role admin --selector team=shop",
		Args:    cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			if err := r.check(cmd); err != nil {
				return err
			}
			if r.role == "" || r.role == "none" {
				return usageError("--role: want read-only, operate or admin; to end an operator: nave operator remove %s", args[0])
			}
			return setOperator(cmd, client, &adminv1.SetOperatorRequest{Name: args[0], Role: r.role, Selector: r.selector},
				"operator "+args[0]+" has the role "+r.role)
		}),
	}
	r.flags(cmd)
	return cmd
}

func newOperatorRemoveCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "End all certificates of an operator, at once",
		Long: "End all certificates of an operator, at once. If an operator of this name is added again, the certificates " +
			"of before that nave operator add made stay refused.",
		Args: cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			return setOperator(cmd, client, &adminv1.SetOperatorRequest{Name: args[0], Role: "none"},
				"operator "+args[0]+" removed")
		}),
	}
}

// setOperator changes an operator, and prints what was done.
func setOperator(cmd *cobra.Command, client adminv1.AdminServiceClient, r *adminv1.SetOperatorRequest,
	done string) error {
	answer, err := client.SetOperator(cmd.Context(), r)
	if err != nil {
		return err
	}
	if !answer.GetChanged() {
		done += " already"
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), oneLine(done))
	return err
}

func newOperatorRevokeCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke SERIAL",
		Short: "End one certificate of an operator, at once",
		Long: "End one certificate of an operator, at once, for example because it may have leaked. The serial number is " +
			"in nave operator list and nave audit. Other certificates of the operator stay valid.",
		Example: "  nave operator revoke 4f1c09d2a7",
		Args:    cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			answer, err := client.RevokeCertificate(cmd.Context(), &adminv1.RevokeCertificateRequest{Serial: args[0]})
			if err != nil {
				return err
			}
			done := "revoked"
			if !answer.GetChanged() {
				done = "was revoked already"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "certificate %s of operator %s %s\n", oneLine(args[0]),
				oneLine(answer.GetOperator()), done)
			return err
		}),
	}
}
