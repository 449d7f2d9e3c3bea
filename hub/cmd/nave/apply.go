package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func newApplyCommand(s *session) *cobra.Command {
	var from manifests
	var dryRun bool
	var agreed agreement
	cmd := &cobra.Command{
		Use:   "apply -f FILE | -k DIR",
		Short: "Create or change objects of the hub: clusters, fleets, sources, kustomizations, secrets",
		Example: "  nave apply -f fleet.yaml\n  nave apply -f clusters -R\n  nave apply -k overlays/prod\n" +
			"  kustomize build hub | nave apply -f -",
		Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
			manifest, err := from.read(cmd)
			if err != nil {
				return err
			}
			request := &adminv1.ApplyRequest{Manifest: manifest, DryRun: dryRun}
			if !dryRun {
				if request, err = agreed.toApply(cmd, client, manifest); err != nil {
					return err
				}
			}
			return apply(cmd.Context(), cmd.OutOrStdout(), client, request)
		}),
	}
	from.flags(cmd, "apply")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the result without changing anything")
	agreed.flag(cmd)
	cmd.MarkFlagsOneRequired("filename", "kustomize")
	return cmd
}

// readFiles joins files into one manifest of several documents.
func readFiles(stdin io.Reader, files []string) ([]byte, error) {
	var documents [][]byte
	for _, file := range files {
		b, err := readInput(stdin, file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		documents = append(documents, b)
	}
	return bytes.Join(documents, []byte("\n---\n")), nil
}

// apply sends a manifest, and prints the answer. The operator must have agreed to the objects that it removes.
func apply(ctx context.Context, out io.Writer, client adminv1.AdminServiceClient, request *adminv1.ApplyRequest) error {
	answer, err := client.Apply(ctx, request)
	if err != nil {
		return err
	}
	suffix := ""
	if request.GetDryRun() {
		suffix = " (dry run)"
	}
	for _, o := range answer.GetObjects() {
		fmt.Fprintf(out, "%s/%s %s%s\n", oneLine(strings.ToLower(o.GetKey().GetKind())), oneLine(o.GetKey().GetName()),
			oneLine(o.GetAction()), suffix)
	}
	return nil
}
