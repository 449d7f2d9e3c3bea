package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/operatorconfig"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/version"
)

// session has the flags of all commands, and connects to the hub that they name.
type session struct {
	config    string
	context   string
	namespace string
	cluster   string
	timeout   time.Duration
	operator  *operatorconfig.Context // that dial chose
	warning   string                  // about the operator's certificate; empty: there is none
	warned    bool                    // the warning was printed

	namespaceGiven bool // by a flag
}

// maxMessage limits an answer of the hub, in bytes. The largest is a list of all objects of a large fleet.
const maxMessage = 256 << 20

// connectTimeout limits an attempt to connect to the hub, if --timeout is longer.
const connectTimeout = 20 * time.Second

// maxRequest is how large a request the hub reads, in bytes.
const maxRequest = 1 << 20

const rootLong = `Operate a fleet of Kubernetes clusters from one hub.

Exit codes:

- 0: done, and what was asked about is as it should be
- 1: it failed, or what was asked about or awaited is not ready
- 2: the command line is wrong, and nothing was done
- 4: an object or a cluster that the command line names does not exist

nave diff, nave migrate and nave image update --dry-run end as diff does: with 0 if nothing is different, 1 if
something is, and 2 if they failed.

nave completion bash, zsh, fish or powershell prints a script with which the shell completes commands, flags, and the
names of objects of the hub; nave completion bash --help says where the script belongs.`

func newCommand() *cobra.Command {
	var s session
	root := &cobra.Command{
		Use:           "nave",
		Short:         "Operate a fleet of Kubernetes clusters from one hub",
		Version:       version.String(),
		Long:          rootLong,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			s.namespaceGiven = cmd.Flags().Changed("namespace")
			return checkFlags(cmd)
		},
	}
	root.SetFlagErrorFunc(withUsage)
	f := root.PersistentFlags()
	f.StringVar(&s.config, "config", "", "operator configuration (default $NAVE_CONFIG or ~/.config/nave/config)")
	f.StringVar(&s.context, "context", "", "context of the configuration to use")
	f.StringVarP(&s.namespace, "namespace", "n", "flux-system", "namespace of the object")
	f.StringVar(&s.cluster, "cluster", "", "cluster whose graph holds the object (default: the hub's own "+
		"objects; of lists: those of the hub and of all clusters)")
	f.DurationVar(&s.timeout, "timeout", 2*time.Minute, "how long to wait for an answer of the hub, and for an outcome")
	root.AddCommand(
		without(newBootstrapCommand(&s), "cluster"), without(newClusterCommand(&s), "cluster", "namespace"),
		without(newApplyCommand(&s), "cluster", "namespace"), newCreateCommand(&s), newDeleteCommand(&s),
		newConfirmCommand(&s),
		newGetCommand(&s), newDescribeCommand(&s), newReconcileCommand(&s), newSuspendCommand(&s), newResumeCommand(&s),
		newTestCommand(&s), newWaitCommand(&s), newStatsCommand(&s), newTraceCommand(&s),
		without(newExportCommand(&s), "cluster"),
		without(newCheckCommand(&s), "cluster", "namespace"),
		newTreeCommand(&s), newEventsCommand(&s), newAuditCommand(&s), newExplainCommand(&s), newLogsCommand(&s),
		without(newVersionCommand(&s), "cluster", "namespace"), newBuildCommand(&s), newDiffCommand(&s),
		newDebugCommand(&s), newImageCommand(&s), without(newKeysCommand(&s), "cluster", "namespace"),
		without(newOperatorCommand(&s), "cluster", "namespace"),
		without(newHistoryCommand(&s), "cluster", "namespace"), without(newRollbackCommand(&s), "cluster", "namespace"),
		without(newReleaseCommand(&s), "cluster", "namespace"),
		without(newRolloutCommand(&s), "cluster", "namespace"), without(newPlanCommand(&s), "cluster", "namespace"),
		errorsExit2(without(newMigrateCommand(&s), "cluster", "config", "namespace", "timeout")),
	)
	root.AddCommand(artifactCommands(&s)...)
	for _, command := range root.Commands() {
		helpWithArgs(command)
	}
	completeAll(&s, root)
	return root
}

// group returns a command that has only subcommands, and prints its help.
func group(name, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   name + " COMMAND",
		Short: short,
		Args:  cobra.NoArgs, // without this an unknown command is no error
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(below...)
	return cmd
}

// loadConfig reads the operator configuration that the flags name.
func (s *session) loadConfig() (path string, config *operatorconfig.Config, err error) {
	if path = s.config; path == "" {
		if path, err = operatorconfig.DefaultPath(); err != nil {
			return "", nil, err
		}
	}
	config, err = operatorconfig.Load(path)
	return path, config, err
}

// isConfigured reports whether the user means a hub: by a flag, by the environment, or by a file at the default path.
func (s *session) isConfigured() bool {
	return s.config != "" || s.context != "" || operatorconfig.HasDefault()
}

// dial connects to the hub of the chosen context.
func (s *session) dial() (adminv1.AdminServiceClient, func(), error) {
	if s.timeout <= 0 {
		return nil, nil, usageError("--timeout=%s: want more than nothing, such as 30s", s.timeout)
	}
	path, config, err := s.loadConfig()
	if err != nil {
		return nil, nil, err
	}
	x, err := config.Context(s.context)
	if err != nil {
		err = fmt.Errorf("%s: %w; %s", path, err, contextsOf(config))
		if s.context != "" {
			err = withExit2(err)
		}
		return nil, nil, err
	}
	tls, err := x.TLS()
	if err != nil {
		return nil, nil, fmt.Errorf("context %s of %s: %w", x.Name, path, err)
	}
	s.operator, s.warning = x, certificateWarning(x, time.Now())
	conn, err := grpc.NewClient("passthrough:///"+x.Hub, grpc.WithTransportCredentials(credentials.NewTLS(tls)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)), grpc.WithUnaryInterceptor(s.limit),
		grpc.WithStreamInterceptor(s.openStream), grpc.WithKeepaliveParams(pings),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig,
			MinConnectTimeout: min(connectTimeout, s.timeout)}))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to hub %s: %w", x.Hub, err)
	}
	return adminv1.NewAdminServiceClient(conn), func() { conn.Close() }, nil
}

// warn prints the warning about the operator's certificate once.
func (s *session) warn(cmd *cobra.Command) {
	if s.warning != "" && !s.warned {
		fmt.Fprintln(cmd.ErrOrStderr(), s.warning)
		s.warned = true
	}
}

// contextsOf returns the part of a message that lists the contexts.
func contextsOf(c *operatorconfig.Config) string {
	if len(c.Contexts) == 0 {
		return "it has none: nave-hub operator-config prints one"
	}
	var names []string
	for _, x := range c.Contexts {
		names = append(names, x.Name)
	}
	return "name one with --context: " + strings.Join(names, ", ")
}

// limit ends a call after --timeout, and refuses a request that the hub would not read.
func (s *session) limit(ctx context.Context, method string, request, answer any, conn *grpc.ClientConn,
	call grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if m, is := request.(proto.Message); is && proto.Size(m) > maxRequest {
		return status.Errorf(codes.InvalidArgument, "the hub reads at most %d KiB at once, and this is %d KiB: choose fewer "+
			"objects", maxRequest>>10, proto.Size(m)>>10)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.named(call(ctx, method, request, answer, conn, options...))
}

// run wraps a command that needs the hub.
func (s *session) run(do func(*cobra.Command, []string, adminv1.AdminServiceClient) error) func(*cobra.Command,
	[]string) error {
	return func(cmd *cobra.Command, args []string) error {
		client, done, err := s.dial()
		if err != nil {
			return err
		}
		defer done()
		s.warn(cmd)
		return s.missingCluster(cmd.Context(), client, do(cmd, args, client))
	}
}

// keyCommand does what a command does for one object.
type keyCommand func(*cobra.Command, adminv1.AdminServiceClient, *adminv1.ObjectKey) error

// runKey is run for a command about one object.
func (s *session) runKey(do keyCommand) func(*cobra.Command, []string) error {
	return s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
		key, err := s.key(args)
		if err != nil {
			return err
		}
		return s.onKey(cmd, client, key, do)
	})
}

// onKey carries out a command for one object. Its context ends after --timeout.
func (s *session) onKey(cmd *cobra.Command, client adminv1.AdminServiceClient, key *adminv1.ObjectKey,
	do keyCommand) error {
	all := cmd.Context()
	ctx, cancel := context.WithTimeout(all, s.timeout)
	defer cancel()
	cmd.SetContext(ctx)
	defer cmd.SetContext(all)
	return elsewhere(ctx, client, key, do(cmd, client, key))
}
