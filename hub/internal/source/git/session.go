package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/hub/internal/dial"
)

// session is one conversation with a server's git-upload-pack.
type session interface {
	// advertise reads the references and capabilities. It comes first.
	advertise(context.Context) (*packp.AdvRefs, error)
	// ask sends a request and returns the answer from its first byte. It may be called once.
	ask(context.Context, *packp.UploadPackRequest) (io.ReadCloser, error)
	close()
}

// open opens a session. No global of go-git takes part: each session has a transport of its own.
func open(ctx context.Context, dialer *dial.Dialer, u *url.URL, auth Auth, limits Limits, tmp string) (session, error) {
	if u.Scheme == "ssh" {
		return openSSH(ctx, dialer, u, auth, limits, tmp)
	}
	return openHTTP(dialer, u, auth, limits)
}

// decodeAdvertisement reads the list of references, which begins every session.
func decodeAdvertisement(r io.Reader, limits Limits) (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	err := refs.Decode(bound(r, limits.Advertised, "the list of references"))
	if errors.Is(err, packp.ErrEmptyAdvRefs) {
		return packp.NewAdvRefs(), nil
	}
	return refs, err
}

// remoteError makes an error of a server's own words. Git has no codes for them, so this one place compares text.
func remoteError(text string) error {
	for _, words := range []string{
		"does not appear to be a git repository", "epository not found", "repository does not exist", "no such repository",
		"could not be found", "not exist or you do not have access",
	} {
		if strings.Contains(text, words) {
			return fmt.Errorf("%w, or these credentials may not see it; the server says %s", ErrRepositoryNotFound, quoted(text))
		}
	}
	for _, words := range []string{"not our ref", "unadvertised object"} {
		if strings.Contains(text, words) {
			return fmt.Errorf("%w; the server says %s", ErrReferenceNotFound, quoted(text))
		}
	}
	return fmt.Errorf("%w: it says %s", ErrUnreachable, quoted(text))
}
