package source

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/shared/telemetry"
)

// Errors of a fetch, beside dial.ErrDenied and those of package artifact. A fetcher returns an api.Failure if its kind
// has a reason for the error.
var (
	// ErrRequest: the source's own settings cannot work, whatever the server says.
	ErrRequest = errors.New("the settings cannot work")
	// ErrAccess: the source may not use the Secret that it names.
	ErrAccess = errors.New("access denied")
	// ErrAuthentication: the server refuses these credentials, or wants some; or they cannot be read.
	ErrAuthentication = errors.New("authentication failed")
	// ErrUntrusted: the server's host key or certificate is not trusted.
	ErrUntrusted = errors.New("the server is not trusted")
	// ErrRepositoryNotFound: there is no such repository, or none that these credentials may see.
	ErrRepositoryNotFound = errors.New("repository not found")
	// ErrFileNotFound: the server has no such file.
	ErrFileNotFound = errors.New("file not found")
	// ErrReferenceNotFound: the repository has no such branch, tag, version or commit.
	ErrReferenceNotFound = errors.New("reference not found")
	// ErrVerification: signatures are to be verified and cannot be, whatever the server has.
	ErrVerification = errors.New("signatures cannot be verified")
	// ErrMoved: somebody else moved a reference that was to be pushed to.
	ErrMoved = errors.New("somebody else has pushed meanwhile")
	// ErrRejected: the server declines what was pushed to it.
	ErrRejected = errors.New("the server rejects the push")
	// ErrDeclined: the server declines a call of its API, such as one that opens a pull request.
	ErrDeclined = errors.New("the server declines the request")
	// ErrUnreachable: no answer, or a broken one, from the server's side.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrTimeout: the time limit ended the fetch.
	ErrTimeout = errors.New("over the time limit")
	// ErrProtocol: the answer is not what the protocol allows.
	ErrProtocol = errors.New("the server's answer is not valid")
	// ErrCompose: what the source asks for cannot be made of its inputs.
	ErrCompose = errors.New("the artifact cannot be composed")
	// ErrInput: a source that this one reads has nothing to give, or its last fetch failed.
	ErrInput = errors.New("a source that it reads is not ready")
	// ErrWorker: the process that fetched ended.
	ErrWorker = errors.New("the fetch worker ended")
)

// known are all errors of a fetch. If an error is several of these, the first counts.
var known = []error{
	ErrAccess, ErrAuthentication, artifact.ErrStorage, dial.ErrDenied, artifact.ErrLimit, artifact.ErrTree, ErrRequest,
	ErrVerification, ErrUntrusted, ErrRepositoryNotFound, ErrFileNotFound, ErrReferenceNotFound, ErrTimeout, ErrMoved,
	ErrRejected, ErrDeclined, ErrProtocol, ErrUnreachable, ErrWorker, ErrCompose, ErrInput,
}

// Errors returns every error of a fetch, so that a process can tell another one which it was.
func Errors() []error { return slices.Clone(known) }

// Reason returns the reason of a condition for an error of a fetch. If the error has neither a general reason nor that
// of an api.Failure, Reason returns failed, which the kind has for all other errors.
func Reason(err error, failed string) string {
	if _, busy := errors.AsType[*BusyError](err); busy {
		return condition.RateLimited
	}
	switch {
	case errors.Is(err, ErrAccess):
		return condition.AccessDenied
	case errors.Is(err, ErrAuthentication):
		return condition.AuthenticationFailed
	case errors.Is(err, artifact.ErrStorage):
		return condition.StorageOperationFailed
	case errors.Is(err, ErrVerification):
		return condition.VerificationError
	case errors.Is(err, ErrInput):
		return condition.SourceNotReady
	case errors.Is(err, ErrCompose):
		return condition.BuildFailed
	}
	if own, ok := api.ReasonOf(err); ok {
		return own.Name
	}
	return failed
}

// Classify returns err wrapped in one of the errors of a fetch, unless it is one already or an api.Failure. protocol
// wraps the errors of the fetcher's own protocol and returns nil for others. An unknown error becomes ErrProtocol.
func Classify(err error, protocol func(error) error) error {
	otherwise := ErrProtocol
	var transport *url.Error
	if errors.As(err, &transport) { // its text has the URL, with credentials
		err, otherwise = transport.Err, ErrUnreachable
	}
	if slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }) {
		return err
	}
	if _, ok := api.ReasonOf(err); ok {
		return err
	}
	return cmp.Or(protocol(err), classifySystem(err), fmt.Errorf("%w: %w", otherwise, err))
}

// classifySystem wraps the errors of contexts, files, TLS and connections; it returns nil for others.
func classifySystem(err error) error {
	var (
		file        *os.PathError
		certificate *tls.CertificateVerificationError
		operation   *net.OpError
		network     net.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	case errors.As(err, &file): // such as a full disk
		return artifact.StorageError(err)
	case errors.As(err, &certificate):
		return fmt.Errorf("%w: %w; give the authority's certificate as ca.crt in the Secret of spec.secretRef",
			ErrUntrusted, err)
	case errors.As(err, &operation): // without the local port, which differs each time
		return fmt.Errorf("%w: %s %v: %w", ErrUnreachable, operation.Op, operation.Addr, operation.Err)
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	default:
		return nil
	}
}

const (
	maxMessage = 2 << 10 // bytes of an error's text
	maxQuoted  = 500     // bytes of a server's text that an error quotes
)

// explained is an error whose text can be stored and shown.
type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }

// Explain returns the error of a fetch with a text that can be stored, logged and shown, even if the error quotes a
// server: the address and the text of err, as one line of at most 2 KiB without control characters and without the
// credentials of the source. Every error of a fetch passes through here.
func Explain(err error, address string, secrets map[string]Secret) error {
	return explain("fetch "+Redact(address)+": "+conceal(err.Error(), address, secrets), err)
}

// ExplainComposition returns the error of a composition as Explain does.
func ExplainComposition(err error) error { return explain(err.Error(), err) }

func explain(text string, err error) error {
	return &explained{telemetry.Line(text, maxMessage), err}
}

// Conceal returns err without the credentials of Secrets in its text, for errors that quote what another process does
// not know.
func Conceal(err error, secrets map[string]Secret) error {
	return &explained{conceal(err.Error(), "", secrets), err}
}

// Quote returns the beginning of a server's text, in quotes.
func Quote(text string) string {
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
