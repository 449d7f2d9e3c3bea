package dispatch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/reporting"
)

func compressed(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	must(t, err)
	must(t, z.Close())
	return b.Bytes()
}

// document is the end of a ReadSchema.
type document struct {
	data, hash []byte
	err        error
}

// readSchema asks a cluster for the document of apps/v1.
func (r *rig) readSchema(cluster string, hash []byte) chan document {
	ended := make(chan document, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		data, got, err := r.server.ReadSchema(ctx, cluster, &spokev1.SchemaVersion{Group: "apps", Version: "v1", Hash: hash})
		ended <- document{data, got, err}
	}()
	return ended
}

// answerSchemas sends the messages of an answer.
func answerSchemas(t *testing.T, client spokev1.SpokeServiceClient, messages ...*spokev1.AnswerSchemasRequest) error {
	t.Helper()
	stream, err := client.AnswerSchemas(t.Context())
	must(t, err)
	for _, m := range messages {
		if stream.Send(m) != nil {
			break // CloseAndRecv knows why
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// TestSchemas asks a spoke for the list and for a document. Another cluster that names the hash of the document gets it
// without being asked, and one that names it for another document does not replace it.
func TestSchemas(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.cluster("b", false)
	client, other := r.dial(identity.Cluster, "a"), r.dial(identity.Cluster, "b")
	hello := &spokev1.Hello{Features: bundle.Schemas.Names()}
	c := r.helloWith(client, bundle.ID{}, hello)
	c.welcome()
	r.helloWith(other, bundle.ID{}, hello).welcome()
	data := compressed(t, "a document")
	hash := sha512.Sum512([]byte("a document"))

	listed := make(chan []*spokev1.SchemaVersion, 1)
	go func() {
		found, err := r.server.ListSchemas(context.Background(), "a")
		if err != nil {
			t.Error(err)
		}
		listed <- found
	}()
	m, err := c.Recv()
	must(t, err)
	id := m.GetSchemas().GetId()
	wantCode(t, answerSchemas(t, other, &spokev1.AnswerSchemasRequest{Id: id}), codes.NotFound)
	wantCode(t, answerSchemas(t, client, &spokev1.AnswerSchemasRequest{Id: []byte("x")}), codes.NotFound)
	must(t, answerSchemas(t, client, &spokev1.AnswerSchemasRequest{Id: id, Served: []*spokev1.SchemaVersion{
		{Version: "v1"}, {Group: "apps", Version: "v1", Hash: hash[:]}}}))
	if got := <-listed; m.GetSchemas().GetVersion() != nil || len(got) != 2 || !bytes.Equal(got[1].Hash, hash[:]) {
		t.Fatalf("asked with %v, got %v", m, got)
	}
	wantCode(t, answerSchemas(t, client, &spokev1.AnswerSchemasRequest{Id: id}), codes.NotFound)

	ended := r.readSchema("a", hash[:])
	m, err = c.Recv()
	must(t, err)
	if v := m.GetSchemas().GetVersion(); v.GetGroup() != "apps" || v.GetVersion() != "v1" {
		t.Fatalf("asked with %v", m)
	}
	must(t, answerSchemas(t, client, &spokev1.AnswerSchemasRequest{Id: m.GetSchemas().GetId(), Data: data[:5]},
		&spokev1.AnswerSchemasRequest{Data: data[5:]}))
	for _, cluster := range []string{"", "b"} {
		if cluster != "" {
			ended = r.readSchema(cluster, hash[:])
		}
		if d := <-ended; d.err != nil || !bytes.Equal(d.data, data) || !bytes.Equal(d.hash, hash[:]) {
			t.Fatalf("%q: %q, %x, %v", cluster, d.data, d.hash, d.err)
		}
	}

	claimed := sha512.Sum512([]byte("the document of others"))
	for range 2 { // it is not kept under the hash that the spoke claims
		ended = r.readSchema("a", claimed[:])
		m, err = c.Recv()
		must(t, err)
		must(t, answerSchemas(t, client, &spokev1.AnswerSchemasRequest{Id: m.GetSchemas().GetId(), Data: data}))
		if d := <-ended; d.err != nil || !bytes.Equal(d.hash, hash[:]) {
			t.Fatalf("%x, %v", d.hash, d.err)
		}
	}
}

// TestSchemas_unanswered asks spokes that do not answer, or not well.
func TestSchemas_unanswered(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	wantCode(t, (<-r.readSchema("a", nil)).err, codes.Unavailable)
	client := r.dial(identity.Cluster, "a")
	old := r.open(client, bundle.ID{}, 0)
	wantCode(t, (<-r.readSchema("a", nil)).err, codes.FailedPrecondition)
	must(t, old.CloseSend())
	c := r.helloWith(client, bundle.ID{}, &spokev1.Hello{Features: bundle.Schemas.Names()})
	c.welcome()
	bomb := compressed(t, strings.Repeat("a", reporting.MaxSchema+1))
	for _, bad := range []struct {
		name, want string
		code       codes.Code
		answer     *spokev1.AnswerSchemasRequest
	}{
		{"error", "forbidden", codes.OK, &spokev1.AnswerSchemasRequest{Error: "forbidden\x1b"}},
		{"nothing", "no document", codes.OK, &spokev1.AnswerSchemasRequest{}},
		{"not_compressed", "not compressed by gzip", codes.InvalidArgument, &spokev1.AnswerSchemasRequest{Data: []byte("{}")}},
		{"cut_off", "not compressed by gzip", codes.InvalidArgument, &spokev1.AnswerSchemasRequest{Data: bomb[:999]}},
		{"bomb", "more than 16777216 bytes", codes.InvalidArgument, &spokev1.AnswerSchemasRequest{Data: bomb}},
		{"too_long", "more than 4194304 bytes", codes.InvalidArgument, nil},
		{"no_version", "no version of an API group", codes.InvalidArgument,
			&spokev1.AnswerSchemasRequest{Served: []*spokev1.SchemaVersion{{Group: "a", Version: "../v1"}}}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			ended := r.readSchema("a", nil)
			m, err := c.Recv()
			must(t, err)
			id := m.GetSchemas().GetId()
			if bad.answer != nil {
				bad.answer.Id = id
				err = answerSchemas(t, client, bad.answer)
			} else {
				parts := []*spokev1.AnswerSchemasRequest{{Id: id}}
				for range 9 {
					parts = append(parts, &spokev1.AnswerSchemasRequest{Data: make([]byte, reporting.MaxSchemaSent/8)})
				}
				err = answerSchemas(t, client, parts...)
			}
			wantCode(t, err, bad.code)
			d := <-ended
			wantCode(t, d.err, codes.Aborted)
			if !strings.Contains(d.err.Error(), bad.want) || strings.Contains(d.err.Error(), "\x1b") {
				t.Errorf("error %v, want %q", d.err, bad.want)
			}
		})
	}
	ended := r.readSchema("a", nil)
	_, err := c.Recv()
	must(t, err)
	must(t, c.CloseSend())
	wantCode(t, (<-ended).err, codes.Unavailable)
}

// FuzzSchemaAnswer adds messages of a spoke to an answer.
func FuzzSchemaAnswer(f *testing.F) {
	add := func(m *spokev1.AnswerSchemasRequest) {
		data, _ := proto.Marshal(m)
		f.Add(data)
	}
	add(&spokev1.AnswerSchemasRequest{Error: "forbidden\x1b"})
	add(&spokev1.AnswerSchemasRequest{Data: []byte("\x1f\x8b\x08")})
	add(&spokev1.AnswerSchemasRequest{Served: []*spokev1.SchemaVersion{{Group: "apps", Version: "v1", Hash: []byte("x")}}})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, a := &spokev1.AnswerSchemasRequest{}, &schemaAnswer{}
		if proto.Unmarshal(data, m) != nil || a.add(m) != nil {
			return
		}
		_ = a.hashDocument()
		for _, v := range a.served {
			if strings.ContainsFunc(v.Group+v.Version, func(r rune) bool { return r < ' ' || r == '/' }) {
				t.Errorf("%q", v)
			}
		}
		if strings.Contains(a.err, "\x1b") {
			t.Errorf("%q", a.err)
		}
	})
}
