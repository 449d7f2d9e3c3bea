package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/wording"
)

// logsFlags has the flags of "nave logs".
type logsFlags struct {
	follow       bool
	since        time.Duration
	tail         int32
	level, about string
	output       string
}

const logsLong = `Show the newest lines of the log of the hub, or of the spoke of a cluster, which the hub asks
for them. Both keep the newest of the lines that their --log-level lets through in memory: some thousand. A restart ends
them. The whole log is that of the Pod or process.`

func newLogsCommand(s *session) *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:   "logs [hub | CLUSTER]",
		Short: "Show the newest lines of the log of the hub, or of the spoke of a cluster",
		Long:  logsLong,
		Example: "  nave logs -f\n  nave logs prod-1 --level=warn --since=1h\n" +
			"  nave logs prod-1 --for=kustomization/apps --tail=20",
		Args: cobra.MaximumNArgs(1),
		RunE: s.run(func(cmd *cobra.Command, args []string, client adminv1.AdminServiceClient) error {
			request, err := s.logsRequest(cmd, args, f)
			if err != nil {
				return err
			}
			return s.logs(cmd, client, request, f.output)
		}),
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with the lines that come, also after the hub or the spoke "+
		"was away")
	flags.DurationVar(&f.since, "since", 0, "only lines of this long before now, such as 5m or 1h; "+
		"default: all that are kept")
	flags.Int32Var(&f.tail, "tail", -1, "only this many of the newest lines; -1: all that are kept")
	flags.StringVar(&f.level, "level", "debug", "only lines of this level and above: debug, info, warn or error")
	flags.StringVar(&f.about, "for", "", "only lines about an object: KIND/NAME, of all namespaces or of --namespace")
	flags.StringVarP(&f.output, "output", "o", "", "json, an object for each line, in place of text")
	return cmd
}

// logsRequest returns the request that arguments and flags make.
func (s *session) logsRequest(cmd *cobra.Command, args []string, f logsFlags) (*adminv1.LogsRequest, error) {
	r := &adminv1.LogsRequest{Cluster: s.cluster, Follow: f.follow}
	if len(args) > 0 {
		if err := refuse(cmd, "cluster"); err != nil {
			return nil, err
		}
		name, isCluster := strings.CutPrefix(args[0], "cluster/") // for a cluster of the name hub
		if r.Cluster = name; name == "hub" && !isCluster {
			r.Cluster = ""
		}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return nil, usageError("--level %q: want debug, info, warn or error", f.level)
	}
	r.Level = int32(level)
	switch {
	case f.output != "" && f.output != "json":
		return nil, usageError("unknown output %q: want json", f.output)
	case f.since < 0:
		return nil, usageError("--since %s: want a duration of 0 or more, such as 5m", f.since)
	case f.since > 0:
		r.Since = durationpb.New(f.since)
	}
	if f.tail >= 0 {
		r.Tail = proto.Uint32(uint32(f.tail))
	}
	return r, s.logsAbout(cmd, r, f.about)
}

// logsAbout limits a request to the object that --for names.
func (s *session) logsAbout(cmd *cobra.Command, r *adminv1.LogsRequest, about string) error {
	if !cmd.Flags().Changed("for") {
		return refuse(cmd, "namespace")
	}
	kind, name, err := kindAndName(about)
	if err != nil {
		return err
	}
	if k, ok := api.KindByName(kind); ok {
		kind = k.Name
	}
	r.Kind, r.Name = kind, name
	if cmd.Flags().Changed("namespace") {
		r.Namespace = s.namespace
	}
	return nil
}

// logs prints the lines that the hub sends, until there are no more or the user ends the command.
func (s *session) logs(cmd *cobra.Command, client adminv1.AdminServiceClient, r *adminv1.LogsRequest,
	format string) error {
	ctx := cmd.Context()
	l := &logReader{cmd: cmd, client: client, request: r, format: format, opened: time.Now()}
	var err error
	if r.GetFollow() {
		err = l.follow(ctx)
	} else {
		limited, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		err = l.read(limited, func() {})
	}
	if errors.Is(err, io.EOF) || r.GetFollow() && ctx.Err() != nil { // the user ended it
		return nil
	}
	return elsewhere(cmd.Context(), client, &adminv1.ObjectKey{Kind: api.ClusterKind, Name: r.GetCluster()}, err)
}

// logReader prints a log.
type logReader struct {
	cmd     *cobra.Command
	client  adminv1.AdminServiceClient
	request *adminv1.LogsRequest
	format  string
	last    time.Time // of the last line that was printed
	opened  time.Time // when the log was first asked for
	began   bool      // the log can be read

	progress *progress // if it is followed
}

// follow prints the lines that the hub sends. If the hub or the spoke goes away meanwhile, follow waits for it, and
// goes on after the last line that it has printed.
func (l *logReader) follow(ctx context.Context) error {
	name := "the log of the hub"
	if cluster := l.request.GetCluster(); cluster != "" {
		name = "the log of cluster " + cluster
	}
	again := afterHubGone()
	l.progress = newProgress(l.cmd)
	defer l.progress.end(name)
	for {
		opened := time.Now()
		err := l.read(ctx, func() { again.Reset(); l.progress.end(name) })
		l.began = l.began || isCutOff(err) || time.Since(opened) > reconnects
		switch {
		case ctx.Err() != nil || !l.began || !mayComeBack(err):
			return err
		case errors.Is(err, io.EOF) && l.request.GetCluster() == "":
			return err
		case errors.Is(err, io.EOF):
			err = errors.New("the spoke ended it")
		}
		l.progress.show(name, "it ended, waiting for it: "+message(err))
		if again.Pause(ctx) != nil {
			return nil
		}
	}
}

// read prints the lines of one answer that are newer than all that were printed before.
func (l *logReader) read(ctx context.Context, received func()) error {
	r, printed := l.request, l.last
	switch {
	case !printed.IsZero():
		r = proto.CloneOf(r)
		r.Tail, r.Since = nil, nil
	case l.began && r.Tail != nil: // none of the lines that there were at first was wanted, or there were none
		r = proto.CloneOf(r)
		r.Tail, r.Since = nil, durationpb.New(time.Since(l.opened))
	}
	stream, err := l.client.Logs(ctx, r)
	for err == nil {
		var m *adminv1.LogsResponse
		if m, err = stream.Recv(); err == nil {
			l.began = true
			received()
			m.Records = slices.DeleteFunc(m.GetRecords(), func(r *adminv1.LogRecord) bool {
				return !printed.IsZero() && !r.GetTime().AsTime().After(printed)
			})
			for _, r := range m.GetRecords() {
				l.last = r.GetTime().AsTime()
			}
			err = printLogs(l.cmd, m, l.format)
		}
	}
	return err
}

func printLogs(cmd *cobra.Command, m *adminv1.LogsResponse, format string) error {
	if n := m.GetLost(); n > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "nave: %s missing here: they came faster than they could be sent\n",
			wording.Count(int(n), "line"))
	}
	for _, r := range m.GetRecords() {
		if format == "" {
			fmt.Fprintln(cmd.OutOrStdout(), lineOf(r))
			continue
		}
		if err := printLogJSON(cmd.OutOrStdout(), r); err != nil {
			return err
		}
	}
	return nil
}

// lineOf returns a record as a line, with the attributes as slog writes them.
func lineOf(r *adminv1.LogRecord) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s %s", r.GetTime().AsTime().Format("2006-01-02T15:04:05.000Z"), slog.Level(r.GetLevel()),
		oneLine(r.GetMessage()))
	for _, a := range r.GetAttributes() {
		value := a.GetValue()
		if value == "" || strings.ContainsAny(value, " \"=\n\t") {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, " %s=%s", oneLine(a.GetKey()), value)
	}
	return b.String()
}

// printLogJSON prints a record as a JSON object on one line, with the fields that slog gives it. The fields of a record
// itself come before those of attributes with the same name.
func printLogJSON(out io.Writer, r *adminv1.LogRecord) error {
	fields := map[string]string{}
	for _, a := range r.GetAttributes() {
		fields[a.GetKey()] = a.GetValue()
	}
	fields["time"] = r.GetTime().AsTime().Format(time.RFC3339Nano)
	fields["level"] = slog.Level(r.GetLevel()).String()
	fields["msg"] = r.GetMessage()
	line, err := json.Marshal(fields)
	if err == nil {
		_, err = fmt.Fprintln(out, escaped(string(line), jsonEscape))
	}
	return err
}
