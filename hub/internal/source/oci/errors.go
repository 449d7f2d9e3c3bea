package oci

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/navefleet/nave/hub/internal/source"
)

// classify wraps the errors of a registry in errors of package source; it returns nil for others.
func (f *fetching) classify(err error) error {
	var answer *transport.Error
	if errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Errorf("%w: the registry speaks plain HTTP, not HTTPS; if that is intended, set spec.insecure: true",
			source.ErrUnreachable)
	}
	if !errors.As(err, &answer) {
		return nil
	}
	said := source.Quote(answer.Error())
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: the registry says %s; %s", source.ErrAuthentication, said, f.advice())
	case http.StatusForbidden:
		return fmt.Errorf("%w: the registry says %s: these credentials may not read this repository; %s",
			source.ErrAuthentication, said, f.advice())
	case http.StatusNotFound:
		return fmt.Errorf("%w; the registry says %s", source.ErrReferenceNotFound, said)
	default:
		return fmt.Errorf("%w: the registry says %s", source.ErrUnreachable, said)
	}
}

// advice returns the advice for refused credentials.
func (f *fetching) advice() string {
	host := f.repo.RegistryStr()
	if f.config == nil {
		return "name a Secret with credentials for " + host + " in spec.secretRef"
	}
	if _, ok := f.config.For(host, f.repo.RepositoryStr()); !ok {
		return fmt.Sprintf("the Secret of spec.secretRef has no credentials for %s; it has some for: %s", host,
			f.config.Addresses())
	}
	return "check the credentials for " + host + " in the Secret of spec.secretRef"
}

// isSystem reports whether an error is one of the connection, and not of what a registry answered.
func isSystem(err error) bool {
	var transport *url.Error
	return errors.As(err, &transport)
}
