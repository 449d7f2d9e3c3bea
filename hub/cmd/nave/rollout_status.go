package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/rollout"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// rolloutPause is the pause of nave rollout status --watch between two looks.
const rolloutPause = 2 * time.Second

const rolloutStatusLong = `Print how far the newest rollout of a Fleet is: its stages, the clusters that are not done
and why, and what to do next. With --revision, print a rollout of nave rollout list by its number; the hub keeps only
the stages of those that are not the newest.

With --watch, go on until the rollout has ended, and print what changes. The exit code is 0 if it has succeeded, and 1
if it has failed, was rolled back, aborted or superseded. A rollout that waits for an approval has not ended.

With -o json or yaml: what nave rollout list has of a rollout, and clusters (those that need a look first; at most
500, and moreClusters says how many more there are), each with cluster, stage, state, message, since, offeredAt,
target, previous and joined. The states are Waiting, UnderWay, Done, Failed, Skipped (not connected or pinned; caught
up later), LeftOut (by nave rollout skip), Restoring, Restored and Leaving.`

func newRolloutStatusCommand(s *session) *cobra.Command {
	var o outputFlags
	var follow bool
	var number uint64
	cmd := &cobra.Command{
		Use:   "status FLEET",
		Short: "Print how far a rollout is, which clusters are not done, and what to do next",
		Long:  rolloutStatusLong,
		Example: "  nave rollout status production\n  nave rollout status production --watch\n" +
			"  nave rollout status production --revision 3\n" +
			"  nave rollout status production -o jsonpath='{.clusters[?(@.state==\"Failed\")].cluster}'",
		Args: cobra.ExactArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			p, err := o.printer(cmd)
			if err != nil {
				return err
			}
			request := &adminv1.GetRolloutRequest{Fleet: args[0], Number: number}
			if follow {
				w := rolloutWatch{printer: p, client: client, request: request, progress: newProgress(cmd), pause: rolloutPause}
				return w.run(cmd.Context())
			}
			answer, err := client.GetRollout(cmd.Context(), request)
			if err != nil {
				return rolloutError(cmd.Context(), client, args[0], err)
			}
			return p.print(printoutOfRollout(answer, number == 0))
		}),
	}
	o.add(cmd)
	cmd.Flags().BoolVarP(&follow, "watch", "w", false, "print what changes, until the rollout has ended")
	cmd.Flags().Uint64Var(&number, "revision", 0, "number of a rollout, as in nave rollout list; 0: the newest")
	return cmd
}

// printoutOfRollout returns a rollout with its clusters. isNewest: the next commands are about it.
func printoutOfRollout(answer *adminv1.GetRolloutResponse, isNewest bool) printout {
	r := rolloutOf(answer.GetRollout())
	r.More = answer.GetMore()
	for _, c := range answer.GetClusters() {
		r.Clusters = append(r.Clusters, clusterOfTurn{Cluster: c.GetCluster(), Stage: c.GetStage(), State: c.GetState(),
			Message: c.GetMessage(), Since: timeOf(c.GetSince()), OfferedAt: timeOf(c.GetOfferedAt()), Target: c.GetTarget(),
			Previous: c.GetPrevious(), Joined: c.GetJoined()})
	}
	l := printout{value: r, items: []any{}}
	for _, c := range r.Clusters {
		l.items = append(l.items, c)
	}
	l.text = func(out io.Writer) error { return r.print(out, isNewest) }
	return l
}

// print prints a rollout for people.
func (r printedRollout) print(out io.Writer, isNewest bool) error {
	if r.Number == 0 {
		fmt.Fprintf(out, "Fleet %s had no rollout yet: one begins when its clusters are to get something else\n",
			oneLine(r.Fleet))
		if next := r.next(); isNewest && next != "" {
			fmt.Fprintln(out, next)
		}
		return nil
	}
	fmt.Fprintf(out, "Fleet %s, rollout %d of %s: %s\n\n", oneLine(r.Fleet), r.Number, said(oneLine(r.Revision)),
		r.verdict())
	stages := newTableWriter(out, []string{"STAGE", "CLUSTERS", "DONE", "UNDERWAY", "FAILED", "SKIPPED", "WAITING",
		"STATE"}, true, false)
	if err := stages.print(r.stageRows()); err != nil {
		return err
	}
	if rows := r.clusterRows(); len(rows) > 0 {
		fmt.Fprintln(out)
		clusters := newTableWriter(out, []string{"CLUSTER", "STAGE", "STATE", "SINCE", "MESSAGE"}, true, false)
		if err := clusters.print(rows); err != nil {
			return err
		}
	}
	if r.More > 0 {
		fmt.Fprintf(out, "and %s more\n", wording.Count(int(r.More), "cluster"))
	}
	if next := r.next(); isNewest && next != "" {
		fmt.Fprintf(out, "\n%s\n", next)
	}
	return nil
}

// verdict returns the phase with its time and message.
func (r printedRollout) verdict() string {
	text := r.Phase
	if !r.Since.IsZero() {
		text += " since " + wording.Time(r.Since)
	}
	if r.Message != "" {
		text += ": " + r.Message
	}
	return oneLine(text)
}

func (r printedRollout) stageRows() (rows [][]string) {
	for _, st := range r.Stages {
		state := st.State
		switch {
		case st.AwaitsApproval != "":
			state += ", an approval is awaited " + st.AwaitsApproval + " it"
		case st.ApprovedAfter != "":
			state += ", approved by " + st.ApprovedAfter
		case st.ApprovedBefore != "":
			state += ", approved by " + st.ApprovedBefore
		}
		row := []string{st.Name}
		for _, n := range []uint32{st.Clusters, st.Done, st.UnderWay, st.Failed, st.Skipped, st.Waiting} {
			row = append(row, fmt.Sprint(n))
		}
		rows = append(rows, append(row, state))
	}
	return rows
}

// clusterRows returns the clusters that are not done.
func (r printedRollout) clusterRows() (rows [][]string) {
	for _, c := range r.Clusters {
		isDone := rollout.State(c.State) == rollout.ClusterDone || rollout.State(c.State) == rollout.ClusterRestored
		if !isDone || c.Message != "" {
			since := ""
			if !c.Since.IsZero() {
				since = wording.Time(c.Since)
			}
			rows = append(rows, []string{c.Cluster, c.Stage, c.State, said(since), said(c.Message)})
		}
	}
	return rows
}

// next returns what an operator may do next; empty: nothing is to be done.
func (r printedRollout) next() string {
	fleet := oneLine(r.Fleet)
	for _, st := range r.Stages {
		if st.AwaitsApproval != "" {
			return fmt.Sprintf("To approve: nave rollout approve %s --stage %s", fleet, oneLine(st.Name))
		}
	}
	switch phase := rollout.Phase(r.Phase); {
	case phase == rollout.Suspended || r.Suspended:
		return "To go on: nave rollout resume " + fleet
	case phase == rollout.Failed:
		return fmt.Sprintf("To try again: nave rollout retry %[1]s; without the clusters that failed: nave rollout skip "+
			"%[1]s CLUSTER; back: nave rollout rollback %[1]s", fleet)
	case phase == rollout.RolledBack || phase == rollout.Aborted:
		return "The next change begins the next rollout; to begin with this one again: nave rollout release " + fleet
	}
	return ""
}

// rolloutWatch prints a rollout until it has ended.
type rolloutWatch struct {
	*printer
	client   adminv1.AdminServiceClient
	request  *adminv1.GetRolloutRequest
	progress *progress
	pause    time.Duration
	last     *adminv1.GetRolloutResponse // nil: nothing was printed yet
}

// run returns nil if the rollout has succeeded, or the wait was interrupted.
func (w *rolloutWatch) run(ctx context.Context) error {
	defer w.progress.endHubGone()
	again := afterHubGone()
	for {
		answer, err := w.client.GetRollout(ctx, w.request)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (w.last == nil || !mayComeBack(err)):
			return rolloutError(ctx, w.client, w.request.GetFleet(), err)
		case err != nil:
			w.progress.showHubGone(err)
			if again.Pause(ctx) != nil {
				return nil
			}
			continue
		}
		again.Reset()
		w.progress.endHubGone()
		if err := w.show(answer); err != nil {
			return err
		}
		if ended, err := outcomeOf(answer.GetRollout()); ended {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(w.pause):
		}
	}
}

// show prints an answer: all of a rollout that is new, and then what is different.
func (w *rolloutWatch) show(answer *adminv1.GetRolloutResponse) error {
	before := w.last
	w.last = answer
	switch {
	case proto.Equal(before, answer):
		return nil
	case before.GetRollout() == nil || before.GetRollout().GetNumber() != answer.GetRollout().GetNumber() || !w.isTable():
		return w.print(printoutOfRollout(answer, w.request.GetNumber() == 0))
	}
	for _, line := range changesOfRollout(before, answer) {
		w.progress.printf("%s %s\n", wording.Time(time.Now()), oneLine(line))
	}
	return nil
}

// changesOfRollout returns what is different in a later answer about a rollout.
func changesOfRollout(before, after *adminv1.GetRolloutResponse) (lines []string) {
	states := map[string]*adminv1.RolloutCluster{}
	for _, c := range before.GetClusters() {
		states[c.GetCluster()] = c
	}
	for _, c := range after.GetClusters() {
		old, known := states[c.GetCluster()]
		if !known && before.GetMore() > 0 || old.GetState() == c.GetState() && old.GetMessage() == c.GetMessage() {
			continue
		}
		line := fmt.Sprintf("%s (%s): %s", c.GetCluster(), c.GetStage(), c.GetState())
		if c.GetMessage() != "" {
			line += ": " + c.GetMessage()
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	old, r := before.GetRollout(), after.GetRollout()
	if old.GetPhase() != r.GetPhase() || old.GetMessage() != r.GetMessage() {
		line := r.GetPhase()
		if r.GetMessage() != "" {
			line += ": " + r.GetMessage()
		}
		lines = append(lines, line)
	}
	return lines
}

// outcomeOf reports whether a rollout has ended, and returns an error if it did not succeed. One that failed goes on
// only if an operator decides something.
func outcomeOf(r *adminv1.Rollout) (ended bool, err error) {
	switch rollout.Phase(r.GetPhase()) {
	case rollout.Succeeded:
		return true, nil
	case rollout.Failed, rollout.RolledBack, rollout.Aborted, rollout.Superseded:
		text := fmt.Sprintf("rollout %d of Fleet %s is %s", r.GetNumber(), r.GetFleet(), r.GetPhase())
		if r.GetMessage() != "" {
			text += ": " + r.GetMessage()
		}
		return true, errors.New(oneLine(text))
	}
	return false, nil
}
