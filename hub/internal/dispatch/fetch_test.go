package dispatch

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/codes"

	"github.com/navefleet/nave/hub/internal/store"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/manifest"
)

// fetch gets blobs as a spoke does, holding the hub to chunks of at most maxChunk and to the order asked for.
func (r *rig) fetch(client spokev1.SpokeServiceClient, wanted ...manifest.Digest) map[manifest.Digest][]byte {
	r.t.Helper()
	blobs, err := r.tryFetch(client, wanted...)
	must(r.t, err)
	return blobs
}

func (r *rig) tryFetch(client spokev1.SpokeServiceClient, wanted ...manifest.Digest) (map[manifest.Digest][]byte,
	error) {
	r.t.Helper()
	request := &spokev1.FetchRequest{}
	for _, d := range wanted {
		request.Digests = append(request.Digests, d[:])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	stream, err := client.Fetch(ctx, request)
	must(r.t, err)
	decoder, err := zstd.NewReader(nil)
	must(r.t, err)
	defer decoder.Close()
	blobs := map[manifest.Digest][]byte{}
	var frame []byte
	var size uint64
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return blobs, nil
		}
		if err != nil {
			return blobs, err
		}
		if len(m.Data) > maxChunk {
			r.t.Fatalf("chunk of %d bytes", len(m.Data))
		}
		if len(frame) == 0 {
			if !bytes.Equal(m.Digest, wanted[len(blobs)][:]) {
				r.t.Fatalf("blob %d is %x", len(blobs), m.Digest)
			}
			size = m.Size
		}
		frame = append(frame, m.Data...)
		if !m.Last {
			continue
		}
		data, err := decoder.DecodeAll(frame, nil)
		must(r.t, err)
		if uint64(len(data)) != size || manifest.DigestOf(data) != wanted[len(blobs)] {
			r.t.Fatalf("blob %d has %d bytes of %d, digest %s", len(blobs), len(data), size, manifest.DigestOf(data))
		}
		blobs[wanted[len(blobs)]], frame = data, nil
	}
}

func TestFetch(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	noise := make([]byte, 3*maxChunk)
	_, _ = rand.Read(noise)
	entry := r.application("app", `{"x":1}`, string(noise), `{"x":2}`)
	row := r.desire("a", 1, entry)
	client := r.dial(identity.Cluster, "a")
	one, big, two := manifest.DigestOf([]byte(`{"x":1}`)), manifest.DigestOf(noise), manifest.DigestOf([]byte(`{"x":2}`))
	blobs := r.fetch(client, manifest.DigestOf(row.Envelope), entry.Digest, big, two, one)
	if len(blobs) != 5 || !bytes.Equal(blobs[big], noise) {
		t.Fatalf("got %d blobs", len(blobs))
	}
	a, err := bundle.DecodeApplication(blobs[entry.Digest])
	if err != nil || len(a.Objects) != 3 {
		t.Fatalf("application is %v, %v", a, err)
	}
}

func TestFetchUnreachable(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	r.cluster("ab", false)
	mine, theirs := r.application("mine", `{"mine":1}`), r.application("theirs", `{"theirs":1}`)
	r.desire("a", 1, mine)
	row := r.desire("ab", 1, theirs)
	client := r.dial(identity.Cluster, "a")
	for name, d := range map[string]manifest.Digest{
		"another_cluster_object":      manifest.DigestOf([]byte(`{"theirs":1}`)),
		"another_cluster_application": theirs.Digest,
		"another_cluster_envelope":    manifest.DigestOf(row.Envelope),
		"what_nobody_has":             manifest.DigestOf([]byte("nothing")),
		"zero":                        {},
	} {
		t.Run(name, func(t *testing.T) {
			blobs, err := r.tryFetch(client, manifest.DigestOf([]byte(`{"mine":1}`)), d)
			wantCode(t, err, codes.NotFound)
			if len(blobs) != 0 {
				t.Fatalf("%d blobs were sent before the refusal", len(blobs))
			}
		})
	}
}

func TestFetchOlderBundle(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client := r.dial(identity.Cluster, "a")
	r.desire("a", 1, r.application("app", `{"old":1}`))
	r.fetch(client, manifest.DigestOf([]byte(`{"old":1}`)))
	r.desire("a", 2, r.application("app", `{"new":1}`))
	_, err := r.tryFetch(client, manifest.DigestOf([]byte(`{"old":1}`)))
	wantCode(t, err, codes.NotFound)
	r.update(func(tx *store.Tx) error { return store.SignedBundles.Delete(tx, "a") })
	_, err = r.tryFetch(client, manifest.DigestOf([]byte(`{"new":1}`)))
	wantCode(t, err, codes.NotFound)
}

func TestFetchBound(t *testing.T) {
	r := newRig(t)
	r.cluster("a", false)
	client := r.dial(identity.Cluster, "a")
	many := make([]manifest.Digest, maxFetchDigests+1)
	for i := range many {
		many[i] = manifest.DigestOf(fmt.Append(nil, i))
	}
	_, err := r.tryFetch(client, many...)
	wantCode(t, err, codes.InvalidArgument)
	row := r.desire("a", 1)
	twice := manifest.DigestOf(row.Envelope)
	_, err = r.tryFetch(client, twice, twice)
	wantCode(t, err, codes.InvalidArgument)
	stream, err := client.Fetch(t.Context(), &spokev1.FetchRequest{Digests: [][]byte{{1, 2, 3}}})
	must(t, err)
	_, err = stream.Recv()
	wantCode(t, err, codes.InvalidArgument)
}
