package kube

import (
	"context"
	"net/http"
)

// Answers returns nil if the API server answers one request before ctx ends. The request waits for no others.
func (c *Client) Answers(ctx context.Context) error {
	spoke := &Client{connection: c.connection}
	_, _, _, err := spoke.once(ctx, request{op: "ask for", object: "the version of the API server",
		method: http.MethodGet, path: "/version", accept: mediaJSON})
	return err
}
