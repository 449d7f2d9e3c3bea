package forge

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	maxAnswer = 8 << 20 // bytes of one answer
	pageSize  = 50      // pull requests of a page: what every provider gives
	maxPages  = 20
	userAgent = "nave-hub"
)

// rest calls the REST API of a server.
type rest struct {
	client        *http.Client
	base          *url.URL // what the paths of calls are below
	authorization string
}

// below returns the API for calls below a path. Only the first step may have escapes.
func (r rest) below(first string, steps ...string) rest {
	r.base = r.base.JoinPath(first)
	for _, s := range steps {
		r.base = r.base.JoinPath(url.PathEscape(s))
	}
	return r
}

func basic(username, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

// fields is a JSON object that is sent.
type fields map[string]any

func (r rest) get(ctx context.Context, path string, query url.Values, result any) error {
	return r.call(ctx, http.MethodGet, path, query, nil, result)
}

func (r rest) post(ctx context.Context, path string, body fields, result any) error {
	return r.call(ctx, http.MethodPost, path, nil, body, result)
}

func (r rest) put(ctx context.Context, path string, body fields) error {
	return r.call(ctx, http.MethodPut, path, nil, body, nil)
}

func (r rest) patch(ctx context.Context, path string, body fields) error {
	return r.call(ctx, http.MethodPatch, path, nil, body, nil)
}

// call sends body and decodes the answer into result; each may be nil. Errors name the call and quote the server.
func (r rest) call(ctx context.Context, method, path string, query url.Values, body fields, result any) error {
	address := r.base.JoinPath(path)
	address.RawQuery = query.Encode()
	request, err := r.request(ctx, method, address, body)
	if err != nil {
		return err
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(artifact.Bound(answer.Body, maxAnswer, "the answer of the server"))
	if err != nil {
		return err
	}
	what := method + " " + address.Path
	if err := check(answer.StatusCode, what, text); err != nil || result == nil {
		return err
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("%w: %s: the answer is not the JSON of this API: %w", source.ErrProtocol, what, err)
	}
	return nil
}

func (r rest) request(ctx context.Context, method string, address *url.URL, body fields) (*http.Request, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, address.String(), content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", source.ErrRequest, err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", userAgent) // GitHub refuses requests without
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if r.authorization != "" {
		request.Header.Set("Authorization", r.authorization)
	}
	return request, nil
}

// check returns the error of an answer that is no success.
func check(status int, what string, text []byte) error {
	kind := source.ErrProtocol
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		kind = source.ErrAuthentication
	case status == http.StatusNotFound:
		kind = source.ErrRepositoryNotFound
	case status == http.StatusTooManyRequests, status >= 500:
		kind = source.ErrUnreachable
	case status >= 400:
		kind = source.ErrRejected
	}
	return fmt.Errorf("%w: %s: the server answers %d %s: %s", kind, what, status, http.StatusText(status),
		source.Quote(string(text)))
}

// pages calls next for each page, from 1, until one has fewer entries than pageSize.
func pages(next func(page int) (entries int, err error)) error {
	for page := 1; page <= maxPages; page++ {
		n, err := next(page)
		if err != nil || n < pageSize {
			return err
		}
	}
	return fmt.Errorf("%w: %d pull requests or more are open for the branch: close some", artifact.ErrLimit,
		maxPages*pageSize)
}

// isSame reports whether two names are one to a server, which does not tell upper from lower case.
func isSame(a, b string) bool { return strings.EqualFold(a, b) }
