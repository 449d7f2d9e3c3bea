package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

// TestPreviewLive sends the content of a question, which is checked before a spoke is asked.
func TestPreviewLive(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	asked := 0
	r.server.ask = func(_ context.Context, cluster string, apps []bundle.Entry, content map[manifest.Digest][]byte) (
		[]*spokev1.ApplicationPreview, error) {
		asked++
		if cluster != "a" || len(apps) != 1 || len(content) != 2 || content[apps[0].Digest] == nil ||
			string(content[manifest.DigestOf([]byte("an object"))]) != "an object" {
			t.Errorf("cluster %s, applications %v, %d contents", cluster, apps, len(content))
		}
		return []*spokev1.ApplicationPreview{{Name: apps[0].Name.Message()}}, nil
	}
	application := func(name string) *adminv1.PreviewLiveRequest {
		data, err := (&bundle.Application{Name: kustomizationKey("a", name).Application()}).Encode()
		must(t, err)
		return &adminv1.PreviewLiveRequest{Cluster: "a", Data: data, Last: true, Application: true}
	}
	send := func(client adminv1.AdminServiceClient, parts ...*adminv1.PreviewLiveRequest) error {
		stream, err := client.PreviewLive(t.Context())
		must(t, err)
		for _, part := range parts {
			if stream.Send(part) != nil {
				break
			}
		}
		_, err = stream.CloseAndRecv()
		return err
	}
	must(t, send(r, application("app"), &adminv1.PreviewLiveRequest{Data: []byte("an ")},
		&adminv1.PreviewLiveRequest{Data: []byte("object"), Last: true}))
	if asked != 1 {
		t.Fatalf("asked %d times", asked)
	}
	var many, large []*adminv1.PreviewLiveRequest
	for i := range bundle.MaxPreviewApplications + 1 {
		many = append(many, application(fmt.Sprint("app-", i)))
	}
	for range bundle.MaxPreviewBytes/maxPart + 1 {
		large = append(large, &adminv1.PreviewLiveRequest{Data: make([]byte, maxPart)})
	}
	elsewhere := application("app")
	elsewhere.Cluster = "nobody"
	for _, c := range []struct {
		name   string
		client adminv1.AdminServiceClient
		parts  []*adminv1.PreviewLiveRequest
		want   codes.Code
	}{
		{"many", r, many, codes.InvalidArgument},
		{"large", r, large, codes.InvalidArgument},
		{"no_application", r, []*adminv1.PreviewLiveRequest{{Data: []byte("x"), Last: true, Application: true}},
			codes.InvalidArgument},
		{"no_cluster", r, []*adminv1.PreviewLiveRequest{elsewhere}, codes.NotFound},
		{"spoke", r.dial(r.credential(identity.Cluster, "a")), []*adminv1.PreviewLiveRequest{application("app")},
			codes.PermissionDenied},
	} {
		t.Run(c.name, func(t *testing.T) { wantCode(t, send(c.client, c.parts...), c.want) })
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestPreviewLive_shared opens all questions that one operator may have without their content: another operator is
// answered.
func TestPreviewLive_shared(t *testing.T) {
	r := newRig(t)
	r.apply(clusterA)
	r.server.silence = time.Hour
	r.server.ask = func(context.Context, string, []bundle.Entry, map[manifest.Digest][]byte) (
		[]*spokev1.ApplicationPreview, error) {
		return nil, nil
	}
	for range maxQuestions {
		r.question(r)
	}
	one := identity.ID{TrustDomain: r.authority.TrustDomain(), Role: identity.Operator, Name: "admin"}
	for own := 0; own < maxQuestions/2; _, own = r.server.questions.count(one) {
		must(t, t.Context().Err())
	}
	_, err := r.question(r.dial(r.credential(identity.Operator, "other"))).CloseAndRecv()
	must(t, err)
}

// TestPreviewLive_silent leaves a question without its content.
func TestPreviewLive_silent(t *testing.T) {
	r := newRig(t)
	r.server.silence = time.Millisecond
	wantCode(t, r.question(r).RecvMsg(&adminv1.PreviewLiveResponse{}), codes.DeadlineExceeded, "no content")
}

// question begins a question about cluster a.
func (r *rig) question(client adminv1.AdminServiceClient) adminv1.AdminService_PreviewLiveClient {
	r.t.Helper()
	stream, err := client.PreviewLive(r.t.Context())
	must(r.t, err)
	err = stream.Send(&adminv1.PreviewLiveRequest{Cluster: "a"})
	if !errors.Is(err, io.EOF) { // else the hub has ended the stream, and what is received says why
		must(r.t, err)
	}
	return stream
}

// TestQuestion_objects adds more objects to a question than it may have. Each is tiny.
func TestQuestion_objects(t *testing.T) {
	q := &question{content: map[manifest.Digest][]byte{}}
	for i := range bundle.MaxPreviewObjects {
		must(t, q.add(&adminv1.PreviewLiveRequest{Cluster: "a", Data: fmt.Append(nil, i), Last: true}))
	}
	must(t, q.add(&adminv1.PreviewLiveRequest{Data: []byte("7"), Last: true})) // it has that one
	wantCode(t, q.add(&adminv1.PreviewLiveRequest{Data: []byte("x"), Last: true}), codes.InvalidArgument, "4096 objects")
}
