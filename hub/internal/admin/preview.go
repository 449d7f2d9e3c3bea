package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	fold "github.com/navefleet/nave/hub/internal/status"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

const (
	// maxQuestions is how many questions are open at the same time, of one operator half as many: their content is in
	// memory.
	maxQuestions = 8
	questionTime = time.Minute      // of one question
	maxSilence   = 10 * time.Second // between two messages with the content of a question or a change
)

// Asker asks the spoke of a cluster what Applications would change. content has the Applications, by their digests, and
// what they list and the release of the cluster does not reach.
type Asker func(ctx context.Context, cluster string, apps []bundle.Entry, content map[manifest.Digest][]byte) (
	[]*spokev1.ApplicationPreview, error)

// PreviewLive implements adminv1.AdminServiceServer.
func (s *Server) PreviewLive(stream adminv1.AdminService_PreviewLiveServer) error {
	return s.inTurn(stream.Context(), s.questions, questionTime, "previews", func(ctx context.Context,
		who identity.ID) error {
		q, err := s.readQuestion(ctx, stream)
		if err != nil {
			return s.fail(err)
		}
		s.log.Info("operator previews in a cluster", slog.String("cluster", q.cluster),
			slog.String("peer", who.String()))
		found, err := s.ask(ctx, q.cluster, q.apps, q.content)
		if err != nil {
			return s.fail(err)
		}
		response := &adminv1.PreviewLiveResponse{}
		for _, a := range found {
			response.Applications = append(response.Applications, previewedApplication(q.cluster, a))
		}
		return stream.SendAndClose(response)
	})
}

// readQuestion reads the content of a question. If the cluster does not exist, the error is NOT_FOUND.
func (s *Server) readQuestion(ctx context.Context, stream adminv1.AdminService_PreviewLiveServer) (*question, error) {
	q := &question{content: map[manifest.Digest][]byte{}}
	err := s.receive(ctx, "the question", func(heard func()) error { return q.receive(stream, heard) })
	if err != nil {
		return nil, err
	}
	return q, s.store.View(ctx, func(tx *store.Tx) error {
		_, err := resource(tx, api.ClusterKey(q.cluster))
		return err
	})
}

// receive calls read, which reads the messages of a stream to the end, and calls heard after each. If none comes for
// some time, or ctx ends, receive returns an error, and read goes on until the stream ends. what is what comes.
func (s *Server) receive(ctx context.Context, what string, read func(heard func()) error) error {
	received := make(chan error, 1)
	silent := time.NewTimer(s.silence)
	defer silent.Stop()
	go func() { received <- read(func() { silent.Reset(s.silence) }) }() // ends with the stream
	select {
	case err := <-received:
		return err
	case <-silent.C:
		return status.Errorf(codes.DeadlineExceeded, "no content of %s came for %s: try again", what, s.silence)
	case <-ctx.Done():
		return status.Errorf(codes.DeadlineExceeded, "%s was not complete in time: try again", what)
	}
}

// previewedApplication returns what a spoke said about an application.
func previewedApplication(cluster string, a *spokev1.ApplicationPreview) *adminv1.PreviewedApplication {
	m := &adminv1.PreviewedApplication{Error: a.GetError(), More: a.GetMore(),
		Key: fold.KeyMessage(api.ApplicationKey(cluster, bundle.NameFrom(a.GetName())))}
	for _, o := range a.GetObjects() {
		object := &adminv1.PreviewedObject{Object: bundle.ObjectFrom(o.GetObject()).ID().String(), Action: o.GetAction(),
			More: o.GetMore(), Message: o.GetMessage()}
		for _, f := range o.GetFields() {
			object.Fields = append(object.Fields, &adminv1.PreviewedField{Path: f.GetPath(), Before: f.GetBefore(),
				After: f.GetAfter()})
		}
		m.Objects = append(m.Objects, object)
	}
	return m
}

// question is what an operator asks the spoke of a cluster.
type question struct {
	cluster string
	apps    []bundle.Entry
	content map[manifest.Digest][]byte
	size    int
	data    []byte // of the object that is being received
}

// receive adds all messages of a stream, and calls heard after each.
func (q *question) receive(stream adminv1.AdminService_PreviewLiveServer, heard func()) error {
	for ; ; heard() {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = q.add(part)
		}
		if err != nil {
			return err
		}
	}
}

// add adds one message.
func (q *question) add(part *adminv1.PreviewLiveRequest) error {
	if part.GetCluster() != "" {
		q.cluster = part.GetCluster()
	}
	if q.size += len(part.GetData()); q.size > bundle.MaxPreviewBytes {
		return status.Errorf(codes.InvalidArgument, "what differs has more than %d MiB: compare fewer Kustomizations at a "+
			"time (nave diff kustomization)", bundle.MaxPreviewBytes>>20)
	}
	if q.data = append(q.data, part.GetData()...); !part.GetLast() {
		return nil
	}
	digest := manifest.DigestOf(q.data)
	if q.content[digest] = q.data; len(q.content) > bundle.MaxPreviewObjects {
		return status.Errorf(codes.InvalidArgument, "what differs has more than %d objects: compare fewer Kustomizations at "+
			"a time (nave diff kustomization)", bundle.MaxPreviewObjects)
	}
	data := q.data
	q.data = nil
	if !part.GetApplication() {
		return nil
	}
	app, err := bundle.DecodeApplication(data)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "%v", err)
	}
	if len(q.apps) == bundle.MaxPreviewApplications {
		return status.Errorf(codes.InvalidArgument, "more than %d applications", bundle.MaxPreviewApplications)
	}
	q.apps = append(q.apps, bundle.Entry{Name: app.Name, Digest: digest, Features: app.Features()})
	return nil
}
