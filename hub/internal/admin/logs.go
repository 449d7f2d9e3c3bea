package admin

import (
	"context"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// maxReaders is how many logs the hub sends at the same time, of one operator half as many.
const maxReaders = 32

// Records are the newest records of a log. *telemetry.Records implements it.
type Records interface {
	Read(ctx context.Context, q telemetry.Query, send func(batch []telemetry.Record, lost uint64) error) error
}

// Logs asks the spokes of clusters for the newest records of their logs, as Records does.
type Logs interface {
	Logs(ctx context.Context, cluster string, q telemetry.Query,
		send func(batch []telemetry.Record, lost uint64) error) error
}

// Logs implements adminv1.AdminServiceServer.
func (s *Server) Logs(r *adminv1.LogsRequest, stream adminv1.AdminService_LogsServer) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	who, err := s.operator(ctx)
	if err != nil {
		return err
	}
	query, err := readLogs(r)
	if err != nil {
		return err
	}
	if err := s.readers.accept(stream, who, "logs", "nave logs"); err != nil {
		return err
	}
	defer s.readers.give(who)
	go func() {
		select {
		case <-s.draining:
			cancel(status.Error(codes.Unavailable, "the hub is stopping"))
		case <-ctx.Done():
		}
	}()
	err = s.sendLogs(ctx, who, r.GetCluster(), query, func(batch []telemetry.Record, lost uint64) error {
		return stream.Send(&adminv1.LogsResponse{Records: recordMessages(batch), Lost: lost})
	})
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return s.fail(err)
}

// sendLogs sends the records of the hub, or of the spoke of a cluster. If the cluster does not exist, the error is
// NOT_FOUND.
func (s *Server) sendLogs(ctx context.Context, who identity.ID, cluster string, q telemetry.Query,
	send func([]telemetry.Record, uint64) error) error {
	if cluster == "" {
		s.log.Info("operator reads the log of the hub", telemetry.Peer(who))
		if s.records == nil {
			return status.Error(codes.FailedPrecondition, "the hub keeps no records of its log")
		}
		return s.records.Read(ctx, q, send)
	}
	err := s.store.View(ctx, func(tx *store.Tx) error {
		_, err := resource(tx, api.ClusterKey(cluster))
		return err
	})
	if err != nil {
		return err
	}
	s.log.Info("operator reads the log of a spoke", telemetry.Cluster(cluster), telemetry.Peer(who))
	err = s.logs.Logs(ctx, cluster, q, send)
	if st, ok := status.FromError(err); ok && err != nil {
		err = status.Errorf(st.Code(), "cluster %s: %s", cluster, st.Message())
	}
	return err
}

// readLogs returns the query of a request. A kind may have any name of the hub's kinds, or be one of a cluster.
func readLogs(r *adminv1.LogsRequest) (telemetry.Query, error) {
	q := telemetry.Query{Level: slog.Level(r.GetLevel()), Since: r.GetSince().AsDuration(), Tail: -1,
		Follow: r.GetFollow(), Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName()}
	if r.Tail != nil {
		q.Tail = int(r.GetTail())
	}
	if kind, ok := api.KindByName(q.Kind); ok {
		q.Kind = kind.Name
	}
	switch {
	case q.Since < 0:
		return q, status.Errorf(codes.InvalidArgument, "since %s: want a duration of 0 or more", q.Since)
	case (q.Kind == "") != (q.Name == ""):
		return q, status.Error(codes.InvalidArgument, "an object has a kind and a name: set both or none")
	}
	return q, nil
}

func recordMessages(records []telemetry.Record) (messages []*adminv1.LogRecord) {
	for _, r := range records {
		m := &adminv1.LogRecord{Time: timestamppb.New(r.Time), Level: int32(r.Level),
			Message: telemetry.Printable(r.Message, telemetry.MaxText)}
		for _, a := range r.Attributes {
			m.Attributes = append(m.Attributes, &adminv1.LogAttribute{Key: telemetry.Printable(a.Key, telemetry.MaxKey),
				Value: telemetry.Printable(a.Value, telemetry.MaxText)})
		}
		messages = append(messages, m)
	}
	return messages
}
