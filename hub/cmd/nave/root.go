package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/navefleet/nave/hub/operatorconfig"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// session is what every command that speaks to a hub is given: flags, and the connection they lead to.
type session struct {
	config    string
	context   string
	namespace string
	cluster   string
	timeout   time.Duration
}

// maxMessage bounds an answer of the hub: a list of all objects of a large fleet.
const maxMessage = 256 << 20

func newCommand() *cobra.Command {
	var s session
	root := &cobra.Command{
		Use:           "nave",
		Short:         "Operate a fleet of Kubernetes clusters from one hub",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	f := root.PersistentFlags()
	f.StringVar(&s.config, "config", "", "operator configuration (default $NAVE_CONFIG or ~/.config/nave/config)")
	f.StringVar(&s.context, "context", "", "context of the configuration to use")
	f.StringVarP(&s.namespace, "namespace", "n", "flux-system", "namespace of the object")
	f.StringVar(&s.cluster, "cluster", "", "cluster whose graph holds the object (default: the hub's own objects)")
	f.DurationVar(&s.timeout, "timeout", 2*time.Minute, "how long to wait")
	root.AddCommand(
		newBootstrapCommand(&s), newClusterCommand(&s), newApplyCommand(&s), newDeleteCommand(&s), newConfirmCommand(&s),
		newGetCommand(&s), newDescribeCommand(&s), newReconcileCommand(&s), newSuspendCommand(&s), newResumeCommand(&s),
		newTreeCommand(&s), newEventsCommand(&s), newExplainCommand(&s), newVersionCommand(&s), newBuildCommand(),
	)
	for _, command := range root.Commands() {
		helpWithArgs(command)
	}
	return root
}

// helpWithArgs adds the usage of a command and of those below it to what they say of a wrong number of arguments.
func helpWithArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
			}
			return nil
		}
	}
	for _, below := range c.Commands() {
		helpWithArgs(below)
	}
}

// dial connects to the hub of the chosen context.
func (s *session) dial() (adminv1.AdminServiceClient, func(), error) {
	path := s.config
	if path == "" {
		var err error
		if path, err = operatorconfig.DefaultPath(); err != nil {
			return nil, nil, err
		}
	}
	config, err := operatorconfig.Load(path)
	if err != nil {
		return nil, nil, err
	}
	x, err := config.Context(s.context)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	tls, err := x.TLS()
	if err != nil {
		return nil, nil, fmt.Errorf("context %s of %s: %w", x.Name, path, err)
	}
	conn, err := grpc.NewClient("passthrough:///"+x.Hub, grpc.WithTransportCredentials(credentials.NewTLS(tls)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to hub %s: %w", x.Hub, err)
	}
	return adminv1.NewAdminServiceClient(conn), func() { conn.Close() }, nil
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
		return do(cmd, args, client)
	}
}
