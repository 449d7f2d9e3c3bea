package git

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// errCache says that the cache repository does not hold what it should, or cannot be read or written. The cache is
// thrown away and filled again. If that happens twice in a row, the server does not send what it should, or the disk
// fails; then the error is artifact.ErrStorage, too.
var errCache = errors.New("the cache is incomplete")

// cacheError returns an error of reading or writing a cache as errCache; nil if err is nil. If a file is there and
// cannot be read, the error is artifact.ErrStorage, too.
func cacheError(err error) error {
	if err == nil || errors.Is(err, errCache) {
		return err
	}
	if _, isFile := errors.AsType[*os.PathError](err); isFile && !errors.Is(err, os.ErrNotExist) {
		err = artifact.StorageError(err)
	}
	return fmt.Errorf("%w: %w", errCache, err)
}

// spoilsCache reports whether a cache is to be removed after an error.
func spoilsCache(err error) bool {
	// A transfer that a full disk cut off takes room that the state of the cache does not count.
	return errors.Is(err, errCache) || errors.Is(err, syscall.ENOSPC)
}

// classify wraps errCache and the errors of go-git in errors of package source; it returns nil for others.
func classify(err error) error {
	var (
		remote     *pktline.ErrorLine
		unexpected *packp.ErrUnexpectedData
		malformed  *packfile.Error
	)
	switch {
	case errors.As(err, &remote):
		return remoteError(remote.Text)
	case errors.Is(err, errCache), errors.As(err, &unexpected), errors.As(err, &malformed):
		return fmt.Errorf("%w: %w", source.ErrProtocol, err)
	default:
		return nil
	}
}

// remoteError makes an error of a server's own words. Git has no codes for them, so this one place compares text.
func remoteError(text string) error {
	for _, words := range []string{
		"does not appear to be a git repository", "epository not found", "repository does not exist", "no such repository",
		"could not be found", "not exist or you do not have access",
	} {
		if strings.Contains(text, words) {
			return fmt.Errorf("%w, or these credentials may not see it; the server says %s", source.ErrRepositoryNotFound,
				source.Quote(text))
		}
	}
	for _, words := range []string{"not our ref", "unadvertised object"} {
		if strings.Contains(text, words) {
			return fmt.Errorf("%w; the server says %s", source.ErrReferenceNotFound, source.Quote(text))
		}
	}
	for _, words := range []string{
		"read only", "read-only", "not allowed to", "ermission to", "not permitted", "not authorized", "nauthorized",
		"DENIED by",
	} {
		if strings.Contains(text, words) {
			return fmt.Errorf("%w: these credentials may not do that; the server says %s", source.ErrAuthentication,
				source.Quote(text))
		}
	}
	return fmt.Errorf("%w: it says %s", source.ErrUnreachable, source.Quote(text))
}
