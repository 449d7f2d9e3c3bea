// Package daemon starts and ends Nave's daemons: it makes their command and its flags for the log, and handles signals.
package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/navefleet/nave/shared/memory"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
)

// Command returns the command of a daemon. It takes no arguments. run gets the logger that the flags --log-format and
// --log-level ask for, and the memory limit of the process in bytes, which is in force (see memory.SetLimit).
func Command(name, short string, run func(ctx context.Context, log *slog.Logger, limit int64) error) *cobra.Command {
	var format, level string
	command := &cobra.Command{
		Use:           name,
		Short:         short,
		Args:          cobra.NoArgs,
		Version:       version.String(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := telemetry.NewLogger(cmd.ErrOrStderr(), format, level)
			if err != nil {
				return err
			}
			return run(cmd.Context(), log, memory.SetLimit())
		},
	}
	command.Flags().StringVar(&format, "log-format", "text", "text or json")
	command.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return command
}

// Main executes the command of a daemon and ends the process. The first SIGTERM or SIGINT ends the command's context, a
// further one the process. If the command fails, its error is written to standard error and the exit code is 1.
func Main(command *cobra.Command) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	err := command.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", command.Name(), err)
		os.Exit(1)
	}
}
