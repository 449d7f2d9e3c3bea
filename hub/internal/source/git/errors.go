package git

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// What can be wrong with a fetch. Every error of Fetch is one of these or dial.ErrDenied (errors.Is), or the error of
// the caller's context.
var (
	// ErrRequest: the source's own settings cannot work, whatever the server says.
	ErrRequest = errors.New("the source's settings cannot work")
	// ErrAuthentication: the server refuses these credentials, or wants some.
	ErrAuthentication = errors.New("authentication failed")
	// ErrUntrusted: the server's host key or certificate is not trusted.
	ErrUntrusted = errors.New("the server is not trusted")
	// ErrRepositoryNotFound: there is no such repository, or none that these credentials may see.
	ErrRepositoryNotFound = errors.New("repository not found")
	// ErrReferenceNotFound: the repository has no such branch, tag, version or commit.
	ErrReferenceNotFound = errors.New("reference not found")
	// ErrUnreachable: no answer, or a broken one, from the server's side.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrTimeout: the time limit ended the fetch.
	ErrTimeout = errors.New("over the time limit")
	// ErrProtocol: the answer is not what Git's protocol allows.
	ErrProtocol = errors.New("the server's answer is not valid Git")
	// ErrLimit: a size or count is over its limit.
	ErrLimit = errors.New("over the limit")
	// ErrTree: the commit's tree has an entry that is refused.
	ErrTree = errors.New("the tree is refused")
	// ErrWorker: the process that fetched ended.
	ErrWorker = errors.New("the fetch worker ended")
	// ErrStorage: the hub could not read or write its own disk.
	ErrStorage = errors.New("the hub's storage failed")
)

// errCache says that the cache repository does not hold what it should. It never leaves the package: the cache is
// thrown away and filled again.
var errCache = errors.New("the cache is incomplete")

// Reason returns the Flux condition reason for an error of Fetch.
func Reason(err error) string {
	switch {
	case errors.Is(err, ErrAuthentication):
		return condition.AuthenticationFailed
	case errors.Is(err, ErrStorage):
		return condition.StorageOperationFailed
	default:
		return condition.GitOperationFailed
	}
}

// classify gives an error of the network or of go-git the sentinel it belongs to. It is the only place that knows
// foreign errors.
func classify(err error) error {
	otherwise := ErrProtocol
	var transport *url.Error
	if errors.As(err, &transport) { // it names the URL, with what is secret in it
		err, otherwise = transport.Err, ErrUnreachable
	}
	for _, known := range Reasons {
		if errors.Is(err, known) {
			return err
		}
	}
	var (
		certificate *tls.CertificateVerificationError
		remote      *pktline.ErrorLine
		unexpected  *packp.ErrUnexpectedData
		malformed   *packfile.Error
		operation   *net.OpError
		network     net.Error
	)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errCache):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case errors.As(err, &certificate):
		return fmt.Errorf("%w: %w; give the authority's certificate as ca.crt in the Secret of spec.secretRef",
			ErrUntrusted, err)
	case errors.As(err, &remote):
		return remoteError(remote.Text)
	case errors.As(err, &unexpected), errors.As(err, &malformed):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case errors.As(err, &operation): // without the port on our side, which is another one each time
		return fmt.Errorf("%w: %s %v: %w", ErrUnreachable, operation.Op, operation.Addr, operation.Err)
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	default:
		return fmt.Errorf("%w: %w", otherwise, err)
	}
}

// failure is an error of Fetch. Its text can be stored and shown, whatever a server has put into it.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// explain returns the error that the caller of Fetch sees, with the URL and what was asked for: one line of at most
// maxError bytes, without control characters and without the request's credentials.
func explain(req Request, err error) error {
	text := req.conceal(fmt.Sprintf("fetch %s at %s: %v", Redact(req.URL), req.Ref, err))
	return &failure{telemetry.Printable(strings.Join(strings.Fields(text), " "), maxError), err}
}

// conceal replaces the request's credentials, which a server may repeat in its answer.
func (r Request) conceal(text string) string {
	secrets := []string{r.Auth.Password, r.Auth.BearerToken, string(r.Auth.IdentityPassword)}
	basic := func(user, password string) string {
		return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	}
	if r.Auth.Password != "" {
		secrets = append(secrets, basic(r.Auth.Username, r.Auth.Password))
	}
	if u, err := url.Parse(r.URL); err == nil && u.User != nil {
		if password, ok := u.User.Password(); ok {
			secrets = append(secrets, password, url.QueryEscape(password), basic(u.User.Username(), password))
		}
	}
	for _, secret := range secrets {
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, "(credentials)")
		}
	}
	return text
}

// quoted is a server's text within an error.
func quoted(text string) string {
	return strconv.Quote(telemetry.Printable(strings.TrimSpace(text), maxQuoted))
}

// Redact returns a URL without its user information, except the user name of an ssh URL, and without its query.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(a URL that cannot be read)"
	}
	switch {
	case u.User == nil:
	case u.Scheme == "ssh":
		u.User = url.User(u.User.Username())
	default:
		u.User = nil
	}
	u.RawQuery, u.Fragment, u.RawFragment = "", "", ""
	return u.String()
}
