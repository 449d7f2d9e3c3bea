package kube

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/navefleet/nave/shared/wait"
)

const (
	mediaJSON      = "application/json"
	mediaApply     = "application/apply-patch+yaml"
	mediaJSONPatch = "application/json-patch+json"
	mediaMerge     = "application/merge-patch+json"
	mediaMetadata  = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
	mediaMetadatas = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

	maxBody    = 64 << 20 // an etcd value is at most 1.5 MiB; a page of 500 of them that are full is refused
	maxRetries = 4        // of a request that the API server was too busy for
)

// errLarge is the error of an answer that is not read to its end.
var errLarge = errors.New("answer of more")

// request is one call of the API.
type request struct {
	op, object  string  // for errors
	mapping     Mapping // of the kind that the request is about; zero: of none
	method      string
	path        string
	query       url.Values
	accept      string
	encoding    string // of the answer, which the caller decodes; empty: none
	contentType string
	body        []byte
	most        int // bytes of the answer; 0: maxBody
	// read reads a successful answer before another request begins, so that few answers are in memory; nil: the caller
	// reads it.
	read func(body []byte, code int) error
	tag  *string // the ETag of the last answer, which is not sent again if it holds; set to that of this answer
}

// do sends a request and returns the body and the code of a successful answer. After a 429, and after a 503 with
// Retry-After, the request is sent again.
func (c *Client) do(ctx context.Context, r request) ([]byte, int, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, 0, unanswered(ctx, r.op, r.object, ctx.Err())
	}
	for attempt := 0; ; attempt++ {
		body, code, pause, err := c.once(ctx, r)
		if err == nil && r.read != nil {
			return nil, code, wrong(r.op, r.object, r.read(body, code))
		}
		if err == nil || pause == 0 || attempt == maxRetries {
			return body, code, err
		}
		if wait.For(ctx, max(pause, 100*time.Millisecond<<attempt)) != nil {
			return nil, 0, err
		}
	}
}

// once sends a request. If the request should be sent again, pause is the time to wait first.
func (c *Client) once(ctx context.Context, r request) (body []byte, code int, pause time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, errNoAnswer)
	defer cancel()
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, 0, 0, err
	}
	defer resp.Body.Close()
	body, err = readAll(resp, cmp.Or(r.most, maxBody))
	if r.most > 0 && errors.Is(err, errLarge) {
		return nil, 0, 0, wrong(r.op, r.object, err)
	}
	if err != nil {
		return nil, 0, 0, unanswered(ctx, r.op, r.object, err)
	}
	code = resp.StatusCode
	if r.tag != nil && code < 300 {
		*r.tag = resp.Header.Get("ETag")
	}
	if code < 300 || r.tag != nil && code == http.StatusNotModified {
		return body, code, 0, nil
	}
	if code == http.StatusTooManyRequests ||
		code == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" {
		pause = backoff(resp.Header)
	}
	return nil, code, pause, c.refused(r, code, body)
}

// refused returns the error of an answer to a request. If the API does not serve the request's kind any more, the next
// request looks for the kind again.
func (c *Client) refused(r request, code int, body []byte) *Error {
	err := refusal(r.op, r.object, code, body)
	if err.Reason == NoMatch && r.mapping.Resource != "" {
		c.Invalidate(r.mapping.Group)
	}
	return err
}

// send waits for the rate limit, sends a request, and returns the answer with any code; the caller closes the body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	if err := c.limit.Wait(ctx); err != nil {
		return nil, unanswered(ctx, r.op, r.object, err)
	}
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, wrong(r.op, r.object, err)
	}
	c.requests.Add(1)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unanswered(ctx, r.op, r.object, err)
	}
	return resp, nil
}

func (c *Client) build(ctx context.Context, r request) (*http.Request, error) {
	u := *c.base
	u.Path = strings.TrimRight(u.Path, "/") + r.path
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", FieldManager)
	req.Header.Set("Accept", r.accept)
	if r.encoding != "" {
		req.Header.Set("Accept-Encoding", r.encoding)
	}
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if r.tag != nil && *r.tag != "" {
		req.Header.Set("If-None-Match", *r.tag)
	}
	if c.user != "" {
		req.Header.Set("Impersonate-User", c.user)
	}
	return req, nil
}

// readAll reads an answer of at most so many bytes. If there are more, the error is errLarge.
func readAll(resp *http.Response, most int) ([]byte, error) {
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 && n < int64(most) {
		b.Grow(int(n) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(resp.Body, int64(most)+1))
	if err == nil && n > int64(most) {
		err = fmt.Errorf("%w than %d MiB", errLarge, most>>20)
	}
	return b.Bytes(), err
}
