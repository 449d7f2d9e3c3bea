package kube

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/navefleet/nave/shared/wait"
)

const (
	mediaJSON      = "application/json"
	mediaApply     = "application/apply-patch+yaml"
	mediaJSONPatch = "application/json-patch+json"
	mediaMetadata  = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
	mediaMetadatas = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

	maxBody    = 64 << 20 // an etcd value is at most 1.5 MiB; a page of 500 of them that are full is refused
	maxRetries = 4        // of a request that the API server was too busy for
)

// request is one call of the API.
type request struct {
	op, object  string // for errors
	method      string
	path        string
	query       url.Values
	accept      string
	contentType string
	body        []byte
	tag         *string // of the last answer, which is not sent again while it holds; set to that of the answer
}

// do sends a request and returns the body of a successful answer, and its code. A 429, and a 503 that says when to come
// back, is sent again.
func (c *Client) do(ctx context.Context, r request) ([]byte, int, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, 0, unanswered(ctx, r.op, r.object, ctx.Err())
	}
	for attempt := 0; ; attempt++ {
		body, code, pause, err := c.once(ctx, r)
		if err == nil || pause == 0 || attempt == maxRetries {
			return body, code, err
		}
		if wait.For(ctx, max(pause, 100*time.Millisecond<<attempt)) != nil {
			return nil, 0, err
		}
	}
}

// once sends a request. pause is not zero when it should be sent again after that time.
func (c *Client) once(ctx context.Context, r request) (body []byte, code int, pause time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errNoAnswer)
	defer cancel()
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, 0, 0, err
	}
	defer resp.Body.Close()
	body, err = readAll(resp)
	if err != nil {
		return nil, 0, 0, unanswered(ctx, r.op, r.object, err)
	}
	if r.tag != nil && resp.StatusCode < 300 {
		*r.tag = resp.Header.Get("ETag")
	}
	if resp.StatusCode < 300 || r.tag != nil && resp.StatusCode == http.StatusNotModified {
		return body, resp.StatusCode, 0, nil
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable &&
		resp.Header.Get("Retry-After") != "" {
		pause = backoff(resp.Header)
	}
	return nil, resp.StatusCode, pause, refusal(r.op, r.object, resp.StatusCode, body)
}

// send waits for the rate limit, sends, and returns whatever the API server answers; the caller closes the body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	if err := c.limit.Wait(ctx); err != nil {
		return nil, unanswered(ctx, r.op, r.object, err)
	}
	req, err := c.build(ctx, r)
	if err != nil {
		return nil, &Error{Op: r.op, Object: r.object, Reason: Other, Message: err.Error(), err: err}
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
	u.Path = singleSlash(u.Path) + r.path
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("Accept", r.accept)
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

// singleSlash takes the slash off the end of the base path, since every path begins with one.
func singleSlash(base string) string {
	for len(base) > 0 && base[len(base)-1] == '/' {
		base = base[:len(base)-1]
	}
	return base
}

func readAll(resp *http.Response) ([]byte, error) {
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 && n < maxBody {
		b.Grow(int(n) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && n > maxBody {
		err = fmt.Errorf("answer of more than %d MiB", maxBody>>20)
	}
	return b.Bytes(), err
}
