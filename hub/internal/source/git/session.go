package git

import (
	"context"
	"errors"
	"io"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/hub/internal/artifact"
)

// session is one connection to a server's git-upload-pack.
type session interface {
	// advertise reads the references and capabilities. It comes first.
	advertise(context.Context) (*packp.AdvRefs, error)
	// ask sends a request and returns the answer from its first byte. It may be called once.
	ask(context.Context, *packp.UploadPackRequest) (io.ReadCloser, error)
	close()
}

// open opens a session. Each session has a transport of its own; the global ones of go-git are not used.
func open(ctx context.Context, f *fetching) (session, error) {
	if f.url.Scheme == "ssh" {
		return openSSH(ctx, f)
	}
	return openHTTP(f)
}

// decodeAdvertisement decodes the list of references, which begins every session.
func decodeAdvertisement(r io.Reader, limits Limits) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(artifact.Bound(r, limits.Advertised, "the list of references"))
	if errors.Is(err, packp.ErrEmptyAdvRefs) {
		return packp.NewAdvRefs(), nil
	}
	return refs, err
}
