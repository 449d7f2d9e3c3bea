package session

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/state"

	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
)

// FuzzOffer reads what a hub sends in a session. What is taken has a bundle, an envelope or its digest, and no more
// blobs than were sent.
func FuzzOffer(f *testing.F) {
	d := manifest.DigestOf([]byte("a"))
	for _, o := range []*spokev1.Offer{
		{Bundle: id(1).Message(), Envelope: []byte("envelope"),
			Blobs: []*spokev1.Blob{{Digest: d[:], Size: 1, Frame: []byte("frame")}, {Digest: []byte("short")}, {}}},
		{Bundle: id(1).Message(), EnvelopeDigest: d[:]},
		{Bundle: id(1).Message(), EnvelopeDigest: []byte("short")},
		{Bundle: bundle.ID{}.Message()},
		{},
	} {
		data, err := proto.Marshal(&spokev1.SessionResponse{Message: &spokev1.SessionResponse_Offer{Offer: o}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m spokev1.SessionResponse
		if proto.Unmarshal(data, &m) != nil || m.GetOffer() == nil {
			return
		}
		o, err := readOffer(m.GetOffer())
		if err != nil {
			return
		}
		if !bytes.Equal(o.ID.Digest[:], m.GetOffer().GetBundle().GetDigest()) {
			t.Errorf("the bundle is %v", o.ID)
		}
		if len(o.Envelope) == 0 && !bytes.Equal(o.EnvelopeDigest[:], m.GetOffer().GetEnvelopeDigest()) {
			t.Errorf("no envelope, and its digest is %s", o.EnvelopeDigest)
		}
		if len(o.Blobs) > len(m.GetOffer().GetBlobs()) {
			t.Errorf("%d blobs of %d", len(o.Blobs), len(m.GetOffer().GetBlobs()))
		}
	})
}

// chunkStream is the answer to a Fetch.
type chunkStream struct {
	grpc.ClientStream
	data []byte // messages, each with its length before it
}

func (c *chunkStream) Recv() (*spokev1.FetchResponse, error) {
	one, n := protowire.ConsumeBytes(c.data)
	m := &spokev1.FetchResponse{}
	if n < 0 || proto.Unmarshal(one, m) != nil {
		return nil, io.EOF
	}
	c.data = c.data[n:]
	return m, nil
}

func chunksOf(chunks ...*spokev1.FetchResponse) (data []byte) {
	for _, c := range chunks {
		one, _ := proto.Marshal(c)
		data = protowire.AppendBytes(data, one)
	}
	return data
}

// FuzzBlob reads the chunks of one blob. What is taken is no longer than was announced and allowed.
func FuzzBlob(f *testing.F) {
	want := manifest.DigestOf([]byte("a"))
	_, good := blob(5<<10, 1<<10)
	good[0].Digest = want[:]
	f.Add(chunksOf(good...))
	f.Add(chunksOf(good[0], good[0]))
	f.Add(chunksOf(&spokev1.FetchResponse{Digest: want[:], Size: 1, Data: make([]byte, 3<<10)}))
	f.Add(chunksOf(&spokev1.FetchResponse{Digest: want[:], Size: 1 << 60, Last: true}))
	f.Add(chunksOf(&spokev1.FetchResponse{Data: []byte("x"), Last: true}))
	f.Add(chunksOf(&spokev1.FetchResponse{Digest: want[:]}, &spokev1.FetchResponse{Size: 5, Last: true}))
	f.Fuzz(func(t *testing.T, data []byte) {
		stream := &chunkStream{data: data}
		size, frame, err := readBlob(stream, want, func() {})
		if err != nil {
			if !errors.Is(err, ErrProtocol) || len(frame) > 0 {
				t.Errorf("got %d bytes and %v", len(frame), err)
			}
		}
		if err == nil && (size > bundle.MaxBlobBytes || uint64(len(frame)) > state.MaxFrame(size)) {
			t.Errorf("%d bytes were announced, and %d taken", size, len(frame))
		}
	})
}
