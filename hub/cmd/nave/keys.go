package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func newKeysCommand(s *session) *cobra.Command {
	return group("keys", "Show and rotate the key that signs what clusters run",
		newKeysListCommand(s), newKeysRotateCommand(s), newKeysRetireCommand(s))
}

// signingKeys are the keys of a hub, as nave keys list prints them. The field names are stable.
type signingKeys struct {
	Keys     []signingKeyRow `json:"keys"`
	Clusters uint32          `json:"clusters"` // registered
	Reached  uint32          `json:"reached"`  // of these, those that have a bundle which the newest key signed
	Waiting  []string        `json:"waiting,omitempty"`
}

type signingKeyRow struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`
	Since   time.Time `json:"since,omitzero"`
	Retires time.Time `json:"retires,omitzero"`
}

func newKeysListCommand(s *session) *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys that sign bundles, and those that did",
		Long: `List the keys that sign bundles, and those that did.

The newest key signs (Signing). After a rotation spokes accept the one before, too (Accepted), until it is retired
(Retired). Below the table is how many clusters have a bundle that the newest key signed.`,
		Args: cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			answer, err := client.ListSigningKeys(cmd.Context(), &adminv1.ListSigningKeysRequest{})
			if err != nil {
				return err
			}
			return p.print(printoutOfKeys(answer))
		}),
	}
	o.add(cmd)
	return cmd
}

// printoutOfKeys returns the keys of a hub.
func printoutOfKeys(answer *adminv1.ListSigningKeysResponse) printout {
	all := signingKeys{Keys: []signingKeyRow{}, Clusters: answer.GetClusters(), Reached: answer.GetReached(),
		Waiting: answer.GetWaiting()}
	l := printout{items: []any{}, names: []string{}, table: table{headings: []string{"KEY", "STATE", "SINCE", "RETIRES"}}}
	for _, key := range answer.GetKeys() {
		row := signingKeyRow{ID: key.GetId(), State: key.GetState(), Since: timeOf(key.GetSince()),
			Retires: timeOf(key.GetRetires())}
		all.Keys = append(all.Keys, row)
		l.items, l.names = append(l.items, row), append(l.names, oneLine(row.ID))
		l.table.rows = append(l.table.rows, []string{row.ID[:min(len(row.ID), 12)], row.State, day(row.Since),
			day(row.Retires)})
	}
	l.value = all
	note := fmt.Sprintf("%d of %d clusters have a bundle that the newest key signed", all.Reached, all.Clusters)
	if len(all.Waiting) > 0 {
		note += ", without " + oneLine(strings.Join(all.Waiting, ", "))
	}
	if uint32(len(all.Waiting)) < all.Clusters-min(all.Reached, all.Clusters) {
		note += " and others"
	}
	l.notes = []string{note}
	return l
}

// day returns a time for a table; "-" if there is none.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func newKeysRotateCommand(s *session) *cobra.Command {
	var overlap time.Duration
	var force bool
	var agreed agreement
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new key that signs bundles from now on",
		Long: `Make a new key that signs bundles from now on.

The key before signs a statement that names the new one. Spokes verify the statement, keep the new key, and accept both;
a spoke that is offline does so when it is back, however many rotations it missed. The hub signs every bundle anew, and
nothing is applied anew. nave keys list tells how many clusters have come along. The key before is retired when
--overlap is over, or, without it, by nave keys retire. Its private part is deleted at once.

Back up the hub's data folder afterwards: a backup from before has the old key, and spokes do not go back to it.`,
		Example: "  nave keys rotate --overlap 168h --yes",
		Args:    cobra.NoArgs,
		RunE: s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
			if overlap < 0 || cmd.Flags().Changed("overlap") && overlap == 0 {
				return usageError("--overlap=%s: want more than nothing, such as 168h", overlap)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "This makes a new signing key; the private part of the present one is deleted. "+
				"Backups from before cannot sign for spokes that have the new key once the present one is retired.")
			if err := agreed.ask(cmd, "that"); err != nil {
				return err
			}
			request := &adminv1.RotateSigningKeyRequest{Force: force}
			if overlap > 0 {
				request.Overlap = durationpb.New(overlap)
			}
			answer, err := client.RotateSigningKey(cmd.Context(), request)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %.12s signs from now on; back up the hub's data folder\n",
				oneLine(answer.GetKey().GetId()))
			return nil
		}),
	}
	cmd.Flags().DurationVar(&overlap, "overlap", 0, "retire the key before after this time (default: not before nave "+
		"keys retire)")
	cmd.Flags().BoolVar(&force, "force", false, "although there are spokes that are too old to learn of the new key")
	agreed.flag(cmd)
	cmd.Flag("yes").Usage = "agree without being asked"
	return cmd
}

func newKeysRetireCommand(s *session) *cobra.Command {
	var agreed agreement
	cmd := &cobra.Command{
		Use:   "retire [KEY]",
		Short: "End the overlap of a rotation: spokes refuse the key before",
		Long: `End the overlap of a rotation: spokes refuse what the key before signed, and it does not come back, whatever
manifest is applied. KEY is its id, or the beginning of that (nave keys list). A spoke that is offline still follows
the rotation when it is back.`,
		Args: cobra.MaximumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			answer, err := client.ListSigningKeys(cmd.Context(), &adminv1.ListSigningKeysRequest{})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d clusters have a bundle that the newest key signed. The others keep what "+
				"they run, and follow when they are back.\n", answer.GetReached(), answer.GetClusters())
			if err := agreed.ask(cmd, "the retirement"); err != nil {
				return err
			}
			retired, err := client.RetireSigningKey(cmd.Context(), &adminv1.RetireSigningKeyRequest{
				Id: strings.Join(args, "")})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %.12s is retired\n", oneLine(retired.GetKey().GetId()))
			return nil
		}),
	}
	agreed.flag(cmd)
	cmd.Flag("yes").Usage = "agree without being asked"
	return cmd
}
