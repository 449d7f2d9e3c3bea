package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func newApplyCommand(s *session) *cobra.Command {
	var from manifests
	var dryRun bool
	var agreed agreement
	cmd := &cobra.Command{
		Use:   "apply -f FILE | -k DIR",
		Short: "Create or change objects of the hub: clusters, fleets, sources, kustomizations, secrets",
		Long: "Create or change objects of the hub: all of them, or none if one is refused. The error names the file, the " +
			"line\nand the document of each.",
		Example: "  nave apply -f fleet.yaml\n  nave apply -f clusters -R\n  nave apply -k overlays/prod\n" +
			"  kubectl kustomize hub | nave apply -f -",
		Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
			files, err := from.read(cmd)
			if err != nil {
				return err
			}
			requests, err := applyRequests(files)
			switch {
			case err != nil:
				return err
			case len(requests) > 1:
				return applyAll(cmd, client, requests, dryRun, agreed)
			}
			request := &adminv1.ApplyRequest{Manifest: requests[0].GetManifest(), Files: requests[0].GetFiles(), DryRun: true}
			if dryRun {
				if err := apply(cmd.Context(), cmd.OutOrStdout(), client, request); err != nil {
					return err
				}
				change := &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Apply{Apply: request.GetManifest()},
					Files: request.GetFiles()}
				impact, err := client.Impact(cmd.Context(), change)
				agreed.announce(cmd, impact, change)
				return err
			}
			if _, err := client.Apply(cmd.Context(), request); err != nil { // before the operator agrees to what it removes
				return err
			}
			if request, err = agreed.toApply(cmd, client, request.GetManifest(), request.GetFiles()...); err != nil {
				return err
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

// readFiles reads files of manifests.
func readFiles(stdin io.Reader, names []string) (files []api.File, err error) {
	for _, name := range names {
		data, err := readInput(stdin, name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		files = append(files, api.File{Name: name, Data: data})
	}
	return files, nil
}

// joinFiles joins files into one manifest of several documents.
func joinFiles(files []api.File) (manifest []byte, parts []*adminv1.ManifestFile) {
	for _, f := range files {
		data := slices.Concat(f.Data, []byte("\n---\n"))
		manifest = append(manifest, data...)
		parts = append(parts, &adminv1.ManifestFile{Name: f.Name, Size: uint64(len(data)),
			Documents: uint32(f.Start.Documents), Lines: uint32(f.Start.Lines)})
	}
	return manifest, parts
}

// apply sends a manifest, and prints the answer. The operator must have agreed to the objects that it removes.
func apply(ctx context.Context, out io.Writer, client adminv1.AdminServiceClient, request *adminv1.ApplyRequest) error {
	answer, err := client.Apply(ctx, request)
	if err != nil {
		return err
	}
	printApplied(out, answer.GetObjects(), request.GetDryRun())
	return nil
}

// printApplied prints what was done with objects, or what a dry run says would be.
func printApplied(out io.Writer, objects []*adminv1.AppliedObject, dryRun bool) {
	suffix := ""
	if dryRun {
		suffix = " (dry run)"
	}
	for _, o := range objects {
		fmt.Fprintf(out, "%s/%s %s%s\n", oneLine(strings.ToLower(o.GetKey().GetKind())), oneLine(o.GetKey().GetName()),
			oneLine(o.GetAction()), suffix)
	}
}
