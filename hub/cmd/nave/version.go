package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/version"
	"github.com/navefleet/nave/shared/wording"
)

// versions is what "nave version" found out. Fields are left out that it does not know.
type versions struct {
	Client clientVersion  `json:"client"`
	Hub    *hubVersion    `json:"hub,omitempty"`
	Spokes []spokeVersion `json:"spokes,omitempty"`
}

type clientVersion struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

type hubVersion struct {
	Version  string `json:"version"`
	Protocol uint32 `json:"protocol"`
}

// spokeVersion counts the spokes of one version, which is empty if it is not known.
type spokeVersion struct {
	Version   string `json:"version"`
	Clusters  uint32 `json:"clusters"`
	Connected uint32 `json:"connected"`
}

func newVersionCommand(s *session) *cobra.Command {
	var client bool
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the versions of this program, of the hub, and of the spokes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			v := versions{Client: clientVersion{Go: runtime.Version()}}
			v.Client.Version, v.Client.Commit = version.Build()
			if !client {
				err = s.run(func(cmd *cobra.Command, _ []string, hub adminv1.AdminServiceClient) error {
					return v.ask(cmd, hub)
				})(cmd, args)
			}
			if printErr := p.print(printout{value: v, text: v.print}); printErr != nil {
				return printErr
			}
			return err // what is known was printed, as kubectl does
		},
	}
	cmd.Flags().BoolVar(&client, "client", false, "only of this program")
	o.add(cmd)
	return cmd
}

// ask asks the hub for its version, and those of the spokes.
func (v *versions) ask(cmd *cobra.Command, hub adminv1.AdminServiceClient) error {
	answer, err := hub.GetVersion(cmd.Context(), &adminv1.GetVersionRequest{Spokes: true})
	if err != nil {
		return err
	}
	v.Hub = &hubVersion{answer.GetVersion(), answer.GetProtocol()}
	for _, c := range answer.GetSpokes() {
		v.Spokes = append(v.Spokes, spokeVersion{c.GetVersion(), c.GetClusters(), c.GetConnected()})
	}
	return nil
}

// print prints the versions as lines.
func (v *versions) print(out io.Writer) error {
	fmt.Fprintf(out, "nave: %s\n", version.String())
	if v.Hub != nil {
		fmt.Fprintf(out, "hub:  %s (protocol %d)\n", oneLine(v.Hub.Version), v.Hub.Protocol)
	}
	for i, c := range v.Spokes {
		heading := "spokes:"
		if i > 0 {
			heading = "       "
		}
		fmt.Fprintf(out, "%s %s\n", heading, c)
	}
	return nil
}

// String returns "v1.2.3 on 3 clusters, 1 of them not connected".
func (c spokeVersion) String() string {
	name := oneLine(c.Version)
	if name == "" {
		name = "unknown"
	}
	text := name + " on " + wording.Count(int(c.Clusters), "cluster")
	if away := int(c.Clusters) - int(c.Connected); away > 0 {
		text += fmt.Sprintf(", %d of them not connected", away)
	}
	return text
}
