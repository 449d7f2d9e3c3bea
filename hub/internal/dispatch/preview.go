package dispatch

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
	"github.com/navefleet/nave/shared/wait"
)

const (
	askAgain     = time.Second // after the answer that a spoke is busy
	withdrawTime = time.Second // to tell a spoke that nobody waits for its answer any more
)

// Question is a preview for one cluster.
type Question struct {
	Cluster  string
	Envelope []byte            // of the signed preview
	Features bundle.FeatureSet // that a spoke must know to answer
	// Content has the Applications of the preview, and what they list and the cluster's release does not reach. It must
	// not be changed.
	Content map[manifest.Digest][]byte
}

// question is a Question that waits for its answer.
type question struct {
	content map[manifest.Digest][]byte
	id      manifest.Digest // of the envelope
	answers chan *spokev1.AnswerPreviewRequest
}

// Preview asks the spoke of a cluster, and waits for the answer until ctx ends. Previews of one cluster wait for one
// another. If the spoke is away, the error is UNAVAILABLE; if it does not know a feature, FAILED_PRECONDITION.
func (s *Server) Preview(ctx context.Context, q Question) ([]*spokev1.ApplicationPreview, error) {
	x, done, err := s.turn(ctx, q.Cluster, q.Features)
	if err != nil {
		return nil, err
	}
	defer done()
	open := &question{content: q.Content, id: manifest.DigestOf(q.Envelope),
		answers: make(chan *spokev1.AnswerPreviewRequest, 1)}
	x.question.Store(open)
	defer x.question.Store(nil)
	return x.ask(ctx, open, q.Envelope)
}

// turn returns the session of a cluster whose spoke knows some features, and takes its turn to be asked until done is
// called.
func (s *Server) turn(ctx context.Context, cluster string, features bundle.FeatureSet) (x *session, done func(),
	err error) {
	if x, err = s.connected(cluster, features); err != nil {
		return nil, nil, err
	}
	select {
	case x.asking <- struct{}{}:
		return x, func() { <-x.asking }, nil
	case <-x.ended:
		return nil, nil, errGone
	case <-ctx.Done():
		return nil, nil, status.Error(codes.DeadlineExceeded, "other questions to the cluster took too long: try again")
	}
}

// connected returns the session of a cluster whose spoke knows some features.
func (s *Server) connected(cluster string, features bundle.FeatureSet) (*session, error) {
	x := s.sessions.get(cluster)
	if x == nil {
		return nil, status.Error(codes.Unavailable, "the spoke is not connected")
	}
	if lacks := features.Without(x.features); lacks != "" {
		return nil, status.Errorf(codes.FailedPrecondition, "the spoke does not know %s: upgrade the spoke", lacks)
	}
	return x, nil
}

// ask sends a question again and again until the spoke is not busy.
func (x *session) ask(ctx context.Context, q *question, envelope []byte) ([]*spokev1.ApplicationPreview, error) {
	message := &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Preview{
		Preview: &spokev1.PreviewRequest{Envelope: envelope},
	}}
	late := status.Error(codes.DeadlineExceeded, "the spoke did not answer in time")
	for {
		a, err := exchange(ctx, x, q.answers, message)
		switch {
		case err != nil && ctx.Err() != nil:
			x.withdraw()
			return nil, late
		case err != nil:
			return nil, err
		case !a.Busy && a.Error != "":
			return nil, status.Error(codes.Aborted, a.Error)
		case !a.Busy:
			return a.Applications, nil
		}
		late = status.Error(codes.DeadlineExceeded, "the spoke was applying all the time: try again")
		if wait.For(ctx, askAgain) != nil {
			return nil, late
		}
	}
}

// exchange sends a question once, and waits for the answer.
func exchange[A any](ctx context.Context, x *session, answers <-chan A, message *spokev1.SessionResponse) (answer A,
	err error) {
	ask := x.questions
	for {
		select {
		case ask <- message:
			ask = nil // once
		case answer = <-answers:
			return answer, nil
		case <-x.ended:
			return answer, errGone
		case <-ctx.Done():
			return answer, ctx.Err()
		}
	}
}

// withdraw tells the spoke that nobody waits for its answer any more. A spoke that cannot be told finds out with the
// next question, or at the end of the session.
func (x *session) withdraw() {
	nothing := &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Preview{Preview: &spokev1.PreviewRequest{}}}
	select {
	case x.questions <- nothing:
	case <-x.ended:
	case <-time.After(withdrawTime):
	}
}

var errGone = status.Error(codes.Unavailable, "the spoke lost its connection: try again")

// asked returns the content of the open question of a cluster; nil if there is none.
func (s *Server) asked(cluster string) map[manifest.Digest][]byte {
	if x := s.sessions.get(cluster); x != nil {
		if open := x.question.Load(); open != nil {
			return open.content
		}
	}
	return nil
}

// AnswerPreview implements spokev1.SpokeServiceServer. It trusts no field, because the spoke's machine may be an
// attacker's.
func (s *Server) AnswerPreview(ctx context.Context, r *spokev1.AnswerPreviewRequest) (*spokev1.AnswerPreviewResponse,
	error) {
	caller, err := s.caller(ctx)
	if err != nil {
		return nil, err
	}
	release, err := s.quotas.report(caller.cluster, proto.Size(r))
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.view(ctx, caller, func(*store.Tx) error { return nil }); err != nil {
		return nil, refusal(err)
	}
	if err := checkAnswer(r); err != nil {
		return nil, err
	}
	id, err := manifest.DigestFromBytes(r.Preview)
	x := s.sessions.get(caller.cluster)
	if err != nil || x == nil {
		return nil, errNobodyAsked
	}
	open := x.question.Load()
	if open == nil || open.id != id {
		return nil, errNobodyAsked
	}
	select {
	case open.answers <- r:
		return &spokev1.AnswerPreviewResponse{}, nil
	default: // it was answered
		return nil, errNobodyAsked
	}
}

var errNobodyAsked = status.Error(codes.NotFound, "nobody waits for this preview")

// checkAnswer checks and cuts an answer. If a list is over its limit, the error is INVALID_ARGUMENT.
func checkAnswer(r *spokev1.AnswerPreviewRequest) error {
	if n := proto.Size(r); n > reporting.MaxAnswer {
		return invalid("an answer of %d bytes: at most %d", n, reporting.MaxAnswer)
	}
	if n := len(r.Applications); n > bundle.MaxPreviewApplications {
		return invalid("%d applications: at most %d", n, bundle.MaxPreviewApplications)
	}
	r.Error = clean(r.Error, reporting.MaxMessage)
	for _, a := range r.Applications {
		if _, err := applicationKey("", a.GetName()); err != nil {
			return err
		}
		if n := len(a.Objects); n > reporting.MaxPreviewObjects {
			return invalid("%d objects: at most %d", n, reporting.MaxPreviewObjects)
		}
		a.ProtoReflect().SetUnknown(nil)
		if n := objectBytes(a); n > reporting.MaxPreview {
			return invalid("objects of %d bytes: at most %d", n, reporting.MaxPreview)
		}
		a.Name.ProtoReflect().SetUnknown(nil)
		a.Error = clean(a.Error, reporting.MaxMessage)
		for _, o := range a.Objects {
			if err := checkObjectPreview(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// objectBytes returns how many bytes the objects of an answer have, as the spoke counts them.
func objectBytes(a *spokev1.ApplicationPreview) (n int) {
	for _, o := range a.Objects {
		n += proto.Size(o)
	}
	return n
}

func checkObjectPreview(o *spokev1.ObjectPreview) error {
	switch n := len(o.Fields); {
	case o.Object == nil:
		return invalid("a preview of an object without an identity")
	case n > reporting.MaxPreviewFields:
		return invalid("%d fields: at most %d", n, reporting.MaxPreviewFields)
	}
	o.ProtoReflect().SetUnknown(nil)
	cleanObjects(o.Object)
	o.Action, o.Message = clean(o.Action, reporting.MaxWord), clean(o.Message, reporting.MaxMessage)
	for _, f := range o.Fields {
		f.ProtoReflect().SetUnknown(nil)
		f.Path = clean(f.Path, reporting.MaxWord)
		f.Before, f.After = clean(f.Before, reporting.MaxPreviewValue), clean(f.After, reporting.MaxPreviewValue)
	}
	return nil
}
