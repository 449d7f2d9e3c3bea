package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/shared/telemetry"
)

// artifactCommands returns the commands about artifacts on registries, which need no hub.
func artifactCommands(s *session) []*cobra.Command {
	commands := []*cobra.Command{
		group("push", "Push artifacts to an OCI registry", newPushArtifactCommand(s)),
		group("pull", "Pull artifacts from an OCI registry", newPullArtifactCommand(s)),
		group("tag", "Tag artifacts on an OCI registry", newTagArtifactCommand(s)),
		group("list", "List artifacts on an OCI registry", newListArtifactsCommand(s)),
	}
	for _, command := range commands {
		without(command, "cluster", "config", "context", "namespace")
	}
	return commands
}

// limited wraps a command that needs no hub. Its context ends after --timeout.
func (s *session) limited(do func(ctx context.Context, out io.Writer, args []string) error) func(*cobra.Command,
	[]string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
		defer cancel()
		return do(ctx, cmd.OutOrStdout(), args)
	}
}

// said returns a text of a registry for one line of output. If the text is empty, said returns "-".
func said(text string) string {
	if text == "" {
		return "-"
	}
	return telemetry.Printable(text, 500)
}
