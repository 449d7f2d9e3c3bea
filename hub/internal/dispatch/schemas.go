package dispatch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/reporting"
)

const (
	schemaTime = 50 * time.Second // that an answer may take
	maxSchemas = 32 << 20         // bytes of documents that the hub keeps, compressed
)

// schemaHash is the SHA-512 of a document.
type schemaHash [sha512.Size]byte

// schemaQuestion waits for the answer to a SchemaRequest.
type schemaQuestion struct {
	id      string
	answers chan *schemaAnswer
}

// schemaAnswer is what a spoke answers: a list, or a document.
type schemaAnswer struct {
	err    string
	served []*spokev1.SchemaVersion
	data   []byte // compressed
	hash   schemaHash
}

// ListSchemas asks the spoke of a cluster for the versions that its API server has OpenAPI v3 documents of. Errors are
// those of Preview.
func (s *Server) ListSchemas(ctx context.Context, cluster string) ([]*spokev1.SchemaVersion, error) {
	a, err := s.askSchemas(ctx, cluster, nil)
	if err != nil {
		return nil, err
	}
	return a.served, nil
}

// ReadSchema returns the compressed document of a version, and its SHA-512. If the hub has a document of the hash of
// the version, the spoke is not asked: clusters of one release of Kubernetes have equal documents. A document is kept
// under the hash that the hub computes, so that no spoke can put another one in its place.
func (s *Server) ReadSchema(ctx context.Context, cluster string, v *spokev1.SchemaVersion) (data, hash []byte,
	err error) {
	if len(v.GetHash()) == sha512.Size {
		if data, ok := s.schemas.Get(schemaHash(v.GetHash())); ok {
			return data, v.GetHash(), nil
		}
	}
	a, err := s.askSchemas(ctx, cluster, &spokev1.SchemaVersion{Group: v.GetGroup(), Version: v.GetVersion()})
	if err != nil {
		return nil, nil, err
	}
	s.schemas.Put(a.hash, a.data, len(a.data))
	return a.data, a.hash[:], nil
}

// askSchemas asks the spoke of a cluster for a document, or for the list of them if v is nil.
func (s *Server) askSchemas(ctx context.Context, cluster string, v *spokev1.SchemaVersion) (*schemaAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, schemaTime)
	defer cancel()
	x, done, err := s.turn(ctx, cluster, bundle.Schemas)
	if err != nil {
		return nil, err
	}
	defer done()
	open := &schemaQuestion{id: rand.Text(), answers: make(chan *schemaAnswer, 1)}
	x.schemas.Store(open)
	defer x.schemas.Store(nil)
	a, err := exchange(ctx, x, open.answers, &spokev1.SessionResponse{Message: &spokev1.SessionResponse_Schemas{
		Schemas: &spokev1.SchemaRequest{Id: []byte(open.id), Version: v},
	}})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, status.Error(codes.DeadlineExceeded, "the spoke did not answer in time")
	case err != nil:
		return nil, err
	case a.err != "":
		return nil, status.Error(codes.Aborted, a.err)
	case v != nil && len(a.data) == 0:
		return nil, status.Error(codes.Aborted, "the spoke sent no document")
	}
	return a, nil
}

// AnswerSchemas implements spokev1.SpokeServiceServer. It trusts nothing, because the spoke's machine may be an
// attacker's.
func (s *Server) AnswerSchemas(stream spokev1.SpokeService_AnswerSchemasServer) error {
	ctx, cancel := context.WithTimeout(stream.Context(), schemaTime)
	defer cancel()
	caller, err := s.caller(ctx)
	if err != nil {
		return err
	}
	release, err := s.quotas.report(caller.cluster, 0)
	if err != nil {
		return err
	}
	defer release()
	if err := s.view(ctx, caller, func(*store.Tx) error { return nil }); err != nil {
		return refusal(err)
	}
	received := make(chan error, 1)
	go func() { received <- s.receiveSchemas(stream, caller.cluster) }() // ends with the stream when nobody waits any more
	select {
	case err := <-received:
		if err != nil {
			return err
		}
		return stream.SendAndClose(&spokev1.AnswerSchemasResponse{})
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-s.draining:
		return errStopping
	}
}

// receiveSchemas receives an answer, and gives it to the question that waits for it. An answer that is not accepted is
// an error for the question, too.
func (s *Server) receiveSchemas(stream spokev1.SpokeService_AnswerSchemasServer, cluster string) error {
	first, err := s.receiveSchemaPart(stream, cluster)
	if err != nil {
		return err
	}
	open := s.askedSchemas(cluster, string(first.Id))
	if open == nil {
		return errNobodyAskedSchemas
	}
	a := &schemaAnswer{}
	for part := first; err == nil; {
		if err = a.add(part); err == nil {
			part, err = s.receiveSchemaPart(stream, cluster)
		}
	}
	if errors.Is(err, io.EOF) {
		err = a.hashDocument()
	}
	if err != nil {
		a = &schemaAnswer{err: "the answer of the spoke is not accepted: " + status.Convert(err).Message()}
	}
	select {
	case open.answers <- a:
		return err
	default: // it was answered
		return errNobodyAskedSchemas
	}
}

func (s *Server) receiveSchemaPart(stream spokev1.SpokeService_AnswerSchemasServer, cluster string) (
	*spokev1.AnswerSchemasRequest, error) {
	part, err := stream.Recv()
	if err == nil && !s.quotas.bytes.Allow(cluster, proto.Size(part), time.Now()) {
		err = comeBack(codes.ResourceExhausted, "the cluster reports more than %d bytes per second", reportRate)
	}
	return part, err
}

var errNobodyAskedSchemas = status.Error(codes.NotFound, "nobody waits for these schemas")

// askedSchemas returns the open question of a cluster with an id; nil if there is none.
func (s *Server) askedSchemas(cluster, id string) *schemaQuestion {
	if x := s.sessions.get(cluster); x != nil {
		if open := x.schemas.Load(); open != nil && open.id == id {
			return open
		}
	}
	return nil
}

// add adds one message. If the answer is over a limit, the error is INVALID_ARGUMENT.
func (a *schemaAnswer) add(m *spokev1.AnswerSchemasRequest) error {
	switch {
	case len(a.data)+len(m.Data) > reporting.MaxSchemaSent:
		return invalid("a document of more than %d bytes", reporting.MaxSchemaSent)
	case len(a.served)+len(m.Served) > reporting.MaxSchemaVersions:
		return invalid("schemas of more than %d versions", reporting.MaxSchemaVersions)
	}
	if m.Error != "" {
		a.err = clean(m.Error, reporting.MaxMessage)
	}
	a.data = append(a.data, m.Data...)
	for _, v := range m.Served {
		if v.Group != "" && len(validation.IsDNS1123Subdomain(v.Group)) > 0 ||
			len(validation.IsDNS1123Label(v.Version)) > 0 || len(v.Hash) > sha512.Size {
			return invalid("%.64q, version %.64q: no version of an API group", v.Group, v.Version)
		}
		a.served = append(a.served, &spokev1.SchemaVersion{Group: v.Group, Version: v.Version, Hash: v.Hash})
	}
	return nil
}

// hashDocument computes the hash of the document, if there is one.
func (a *schemaAnswer) hashDocument() error {
	if len(a.data) == 0 {
		return nil
	}
	plain, err := gzip.NewReader(bytes.NewReader(a.data))
	if err != nil {
		return errNoDocument
	}
	hash := sha512.New()
	size, err := io.Copy(hash, io.LimitReader(plain, reporting.MaxSchema+1))
	switch {
	case err != nil:
		return errNoDocument
	case size > reporting.MaxSchema:
		return errLargeDocument
	}
	hash.Sum(a.hash[:0])
	return nil
}

var (
	errNoDocument    = invalid("a document that is not compressed by gzip")
	errLargeDocument = invalid("a document of more than %d bytes", reporting.MaxSchema)
)
