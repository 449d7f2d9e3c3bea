package registry

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/navefleet/nave/hub/internal/source"
)

// Classify wraps the errors of the registry in errors of package source; it returns nil for others.
func (a *Access) Classify(err error) error {
	var answer *transport.Error
	if errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Errorf("%w: the registry speaks plain HTTP, not HTTPS; if that is intended, set spec.insecure: true",
			source.ErrUnreachable)
	}
	if !errors.As(err, &answer) {
		return nil
	}
	said := wordsOf(answer)
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: the registry says %s; %s", source.ErrAuthentication, said, a.advice())
	case http.StatusForbidden:
		return fmt.Errorf("%w: the registry says %s: these credentials may not read this repository; %s",
			source.ErrAuthentication, said, a.advice())
	case http.StatusNotFound:
		return fmt.Errorf("%w; the registry says %s", source.ErrReferenceNotFound, said)
	default:
		return fmt.Errorf("%w: the registry says %s", source.ErrUnreachable, said)
	}
}

// wordsOf quotes the answer of a registry, without the details of its errors that are data, such as the scope of a
// token.
func wordsOf(answer *transport.Error) string {
	brief := *answer
	brief.Errors = slices.Clone(answer.Errors)
	for i, e := range brief.Errors {
		if _, isText := e.Detail.(string); !isText {
			brief.Errors[i].Detail = nil
		}
	}
	return source.Quote(brief.Error())
}

// advice returns the advice for refused credentials.
func (a *Access) advice() string {
	host := a.Repository.RegistryStr()
	if a.config == nil {
		return "name a Secret with credentials for " + host + " in spec.secretRef"
	}
	if _, ok := a.config.For(host, a.Repository.RepositoryStr()); !ok {
		return fmt.Sprintf("the Secret of spec.secretRef has no credentials for %s; it has some for: %s", host,
			a.config.Addresses())
	}
	if a.giver != "" {
		return fmt.Sprintf("check the credentials for %s that %s gives", host, a.giver)
	}
	return "check the credentials for " + host + " in the Secret of spec.secretRef"
}
