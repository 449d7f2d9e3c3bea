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
	"strconv"
	"strings"
	"time"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

const (
	maxAnswer = 8 << 20          // bytes of one answer
	callTime  = 15 * time.Second // of one call: a server that does not answer costs a run not all of its time
	pageSize  = 50               // pull requests of a page, unless the server has smaller pages
	maxPages  = 40
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

// page is get for a page of a list. It reports whether there is a further page, if the server says so in the header
// Link. GitHub says nothing of lists with one page.
func (r rest) page(ctx context.Context, path string, query url.Values, result any) (next, told bool, err error) {
	header, err := r.send(ctx, http.MethodGet, path, query, nil, result)
	links := strings.Join(header.Values("Link"), ",")
	return strings.Contains(strings.ReplaceAll(links, `"`, ""), "rel=next"), links != "", err
}

func (r rest) post(ctx context.Context, path string, body fields, result any) error {
	return r.call(ctx, http.MethodPost, path, nil, body, result)
}

func (r rest) put(ctx context.Context, path string, body fields, result any) error {
	return r.call(ctx, http.MethodPut, path, nil, body, result)
}

func (r rest) patch(ctx context.Context, path string, body fields) error {
	return r.call(ctx, http.MethodPatch, path, nil, body, nil)
}

// call sends body and decodes the answer into result; each may be nil. Errors name the call and quote the server.
func (r rest) call(ctx context.Context, method, path string, query url.Values, body fields, result any) error {
	_, err := r.send(ctx, method, path, query, body, result)
	return err
}

// send is call, and returns the header of the answer.
func (r rest) send(ctx context.Context, method, path string, query url.Values, body fields, result any) (http.Header,
	error) {
	address := r.base.JoinPath(path)
	address.RawQuery = query.Encode()
	request, err := r.request(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	what := method + " " + source.Redact(address.String())
	answer, text, err := r.read(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, source.Classify(err, func(error) error { return nil }))
	}
	if err := check(answer, what, text, time.Now()); err != nil || result == nil {
		return answer.Header, err
	}
	if err := json.Unmarshal(text, result); err != nil {
		return nil, fmt.Errorf("%w: %s: the answer is not the JSON of this API: %w", source.ErrProtocol, what, err)
	}
	return answer.Header, nil
}

// read carries out a request, and reads the whole answer.
func (r rest) read(request *http.Request) (*http.Response, []byte, error) {
	answer, err := r.client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(artifact.Bound(answer.Body, maxAnswer, "the answer of the server"))
	return answer, text, err
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

// check returns the error of an answer that is no success. If the server asks to wait, that is a source.BusyError.
func check(answer *http.Response, what string, text []byte, now time.Time) error {
	status := answer.StatusCode
	if status >= 200 && status < 300 {
		return nil
	}
	says := fmt.Sprintf("%s: the server answers %d %s: %s", what, status, http.StatusText(status),
		source.Quote(string(text)))
	if until, limited := limitedUntil(answer, now); limited {
		busy := &source.BusyError{Until: until} // without a server: a limit of the API does not hold back fetches from Git
		busy.Until = now.Add(busy.Wait(now)).UTC()
		busy.Text = says + "; the hub tries again at " + busy.Until.Format(time.TimeOnly) + " UTC"
		return busy
	}
	return fmt.Errorf("%w: %s", kindOf(status), says)
}

// kindOf returns which error of a source the status of an answer is.
func kindOf(status int) error {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return source.ErrAuthentication
	case status == http.StatusNotFound:
		return source.ErrRepositoryNotFound
	case status >= 500:
		return source.ErrUnreachable
	case status >= 400:
		return source.ErrDeclined
	}
	return source.ErrProtocol
}

// limitedUntil returns until when the server takes no more requests. GitHub also answers 403 then, with Retry-After or
// with the time of its limit.
func limitedUntil(answer *http.Response, now time.Time) (time.Time, bool) {
	if busy := source.NewBusyError(answer, answer.Request.URL, now); busy != nil {
		return busy.Until, true
	}
	reset, err := strconv.ParseInt(answer.Header.Get("X-RateLimit-Reset"), 10, 64)
	switch {
	case answer.StatusCode != http.StatusForbidden:
	case answer.Header.Get("Retry-After") != "":
		seconds, _ := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 31)
		return now.Add(time.Duration(seconds) * time.Second), true
	case answer.Header.Get("X-RateLimit-Remaining") == "0" && err == nil:
		return time.Unix(reset, 0), true
	}
	return time.Time{}, false
}

// pages calls next for each page, from 1, until next says that there is no further one.
func pages(next func(page int) (more bool, err error)) error {
	for page := 1; page <= maxPages; page++ {
		more, err := next(page)
		if err != nil || !more {
			return err
		}
	}
	return fmt.Errorf("%w: %d pages of pull requests or more are open for the branch: close some", artifact.ErrLimit,
		maxPages)
}

// errNoList is the error of an answer that should have a list in a field.
func errNoList(path, field string) error {
	return fmt.Errorf("%w: GET %s: the answer is not the JSON of this API: it has no %s", source.ErrProtocol, path, field)
}

// numbered reads a list whose pages have numbers. A server may have smaller pages than it was asked for, so the number
// of entries alone says nothing.
func (r rest) numbered(ctx context.Context, path, size string, query url.Values, read func(text json.RawMessage) (
	entries int, err error)) error {
	return pages(func(page int) (bool, error) {
		query.Set(size, strconv.Itoa(pageSize))
		query.Set("page", strconv.Itoa(page))
		var text json.RawMessage
		next, told, err := r.page(ctx, path, query, &text)
		if err != nil {
			return false, err
		}
		n, err := read(text)
		if err != nil {
			err = fmt.Errorf("%w: GET %s: the answer is not the JSON of this API: %w", source.ErrProtocol, path, err)
		}
		return n > 0 && (next || !told && n >= pageSize), err
	})
}

// isSame reports whether two names are one to a server, which does not tell upper from lower case.
func isSame(a, b string) bool { return strings.EqualFold(a, b) }
