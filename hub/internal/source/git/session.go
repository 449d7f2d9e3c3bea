package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Services of a server.
const (
	uploadPack  = "git-upload-pack"  // for a fetch
	receivePack = "git-receive-pack" // for a push
)

// session is one connection to a service of a server.
type session interface {
	// advertise reads the references and capabilities. It comes first.
	advertise(context.Context) (*packp.AdvRefs, error)
	// ask sends a request and returns the answer from its first byte. It may be called once.
	ask(context.Context, request) (io.ReadCloser, error)
	close()
}

// request is written to a service. A stateful connection also says where its parts end.
type request interface {
	write(w io.Writer, stateful bool) error
}

// open opens a session. Each session has a transport of its own; the global ones of go-git are not used.
func open(ctx context.Context, f *fetching, service string) (session, error) {
	if f.url.Scheme == "ssh" {
		return openSSH(ctx, f, service)
	}
	return openHTTP(f, service)
}

// decodeAdvertisement decodes the list of references, which begins every session.
func decodeAdvertisement(r io.Reader, limits Limits) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	var start beginning
	err := refs.Decode(io.TeeReader(artifact.Bound(r, limits.Advertised, "the list of references"), &start))
	switch {
	case bytes.Contains(start, []byte("object-format=sha256")):
		return nil, fmt.Errorf("%w: the repository names its objects by SHA-256, which is not supported: use a repository "+
			"of the format SHA-1 (git init --object-format=sha1)", source.ErrRequest)
	case errors.Is(err, packp.ErrEmptyAdvRefs):
		return packp.NewAdvRefs(), nil
	}
	return refs, err
}

// beginning keeps the first bytes that are written to it: the capabilities of a server are in its first line.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	const most = 4 << 10
	*b = append(*b, p[:min(most-len(*b), len(p))]...)
	return len(p), nil
}
